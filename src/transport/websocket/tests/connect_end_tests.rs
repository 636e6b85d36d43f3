//! The connect end.

use super::*;

/// Both ends over memory, the connect end asking for `ws://example:8080/path`.
fn pair() -> (ByteStream, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    (ByteStream::Memory(ours), theirs)
}

fn endpoint() -> Endpoint {
    "ws://example:8080/path?q".parse().unwrap()
}

/// What our end makes of an answer, which is given its key.
async fn answered(
    answer: impl FnOnce(&str) -> String,
) -> Result<WebSocketStream<ByteStream>, TransportError> {
    let (ours, mut theirs) = pair();
    let endpoint = endpoint();
    let headers = RequestHeaders::default();
    let (outcome, ()) = tokio::join!(
        crate::transport::websocket::connect(ours, &endpoint, &headers),
        async {
            let mut request = vec![0; 1024];
            let read = theirs.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            assert!(
                request.starts_with("GET /path?q HTTP/1.1\r\nHost: example:8080\r\n"),
                "{request}"
            );
            let key = request
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let answer = answer(&key::accept(key.unwrap().as_bytes()));
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
        }
    );
    outcome
}

fn good(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_answer_is_checked() {
    answered(good).await.unwrap();
    assert!(matches!(
        answered(|_| "HTTP/1.1 404 Not Found\r\n\r\n".into()).await,
        Err(TransportError::UpgradeStatus { status: 404, .. })
    ));
    let wrong: [fn(&str) -> String; 6] = [
        |_| good("another"),
        |accept| good(accept).replace("websocket", "h2c"),
        |accept| good(accept).replace("Connection: upgrade", "Connection: close"),
        |accept| good(accept).replace("101 Fine\r\n", "101 Fine\r\nSec-WebSocket-Protocol: x\r\n"),
        |accept| good(accept).replace("HTTP/1.1", "SMTP"),
        |_| "HTTP/1.1 101 Cut".into(),
    ];
    for answer in wrong {
        let outcome = answered(answer).await;
        assert!(
            matches!(outcome, Err(TransportError::UpgradeAnswer { .. })),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_masked_frame_of_a_server_is_a_violation() {
    let (ours, mut theirs) = pair();
    let mut client = WebSocketStream::new(ours, Role::ConnectEnd, BytesMut::new());
    theirs
        .write_all(&frame(Opcode::Binary, b"masked"))
        .await
        .unwrap();
    theirs.shutdown().await.unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn both_ends_of_ours_understand_each_other() {
    let endpoint = "ws://127.0.0.1:0/any".parse().unwrap();
    let acceptor = Acceptor::listen(&endpoint, &BindOptions::new(), &Default::default())
        .await
        .unwrap();
    let (endpoint, options) = (acceptor.endpoint(), ConnectOptions::new());
    let (client, server) = tokio::join!(dial(&endpoint, &options), async {
        acceptor.accept().await.unwrap().establish().await
    });
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.meta.transport, TransportKind::WebSocket);
    let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    tokio::join!(
        async {
            client.stream.write_all(&sent).await.unwrap();
            client.stream.shutdown().await.unwrap();
            client.stream.read_to_end(&mut back).await.unwrap();
        },
        async {
            server.stream.read_to_end(&mut there).await.unwrap();
        },
    );
    assert!(there == sent);
    assert!(back.is_empty());
}
