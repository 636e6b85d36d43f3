//! Another implementation at the other end.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream as Theirs, accept_async, client_async};

use super::*;

/// Sends, and drives the close handshake to its end, without the traits of `futures`.
async fn send<S>(stream: &mut Theirs<S>, message: Message)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::SinkExt;
    stream.send(message).await.unwrap();
}

async fn receive<S>(stream: &mut Theirs<S>) -> Message
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use futures_util::StreamExt;
    stream.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn their_client_and_our_bind_end_understand_each_other() {
    let (client, accepted) = connect(BindOptions::new()).await;
    let (client, server) =
        tokio::join!(client_async("ws://example/", client), accepted.establish());
    let (mut client, mut server) = (client.unwrap().0, server.unwrap());

    let payload = Bytes::from(vec![9; 200_000]);
    let mut received = vec![0; payload.len()];
    let (_, read) = tokio::join!(
        send(&mut client, Message::Binary(payload.clone())),
        server.stream.read_exact(&mut received)
    );
    read.unwrap();
    assert!(received == payload);

    server.stream.write_all(b"answer").await.unwrap();
    server.stream.flush().await.unwrap();
    assert_eq!(receive(&mut client).await, Message::binary(&b"answer"[..]));

    let close = CloseFrame {
        code: 4321.into(),
        reason: "done".into(),
    };
    let mut rest = Vec::new();
    let (read, ()) = tokio::join!(server.stream.read_to_end(&mut rest), async {
        client.close(Some(close)).await.unwrap();
        match receive(&mut client).await {
            Message::Close(Some(echo)) => assert_eq!(u16::from(echo.code), 4321),
            other => panic!("{other:?}"),
        }
        drop(client);
    });
    read.unwrap();
}

#[tokio::test]
async fn their_server_and_our_connect_end_understand_each_other() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let endpoint = "ws://example/".parse().unwrap();
    let headers = RequestHeaders::default();
    let (client, server) = tokio::join!(
        crate::transport::websocket::connect(ByteStream::Memory(ours), &endpoint, &headers),
        accept_async(theirs)
    );
    let (mut client, mut server) = (client.unwrap(), server.unwrap());

    client.write_all(b"question").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(
        receive(&mut server).await,
        Message::binary(&b"question"[..])
    );
    send(&mut server, Message::binary(&b"answer"[..])).await;
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    client.shutdown().await.unwrap();
    assert!(matches!(
        receive(&mut server).await,
        Message::Close(Some(_))
    ));
}
