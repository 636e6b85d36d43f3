//! Upgrades and frames at byte level: a scripted client against the bind end, a scripted server
//! against the connect end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::frame::{Opcode, put_frame};
use super::*;
use crate::transport::{Acceptor, BindOptions, ConnectOptions, Established, TransportKind, dial};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

type Outcome = Result<Established, TransportError>;

/// A request with these lines between the first and the empty one.
fn request(lines: &[&str]) -> String {
    let mut request = String::from("GET /some/path?q HTTP/1.1\r\n");
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

fn good_request() -> String {
    request(&[
        "Host: example",
        "Upgrade: WebSocket",
        "Connection: keep-alive, Upgrade",
        &format!("Sec-WebSocket-Key: {KEY}"),
        "Sec-WebSocket-Version: 13",
        "Origin: https://app.example",
        "Cookie: token=1",
    ])
}

/// A frame as a client sends it.
fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_frame(&mut out, opcode, Role::Client, std::iter::once(payload));
    out.to_vec()
}

/// A connection to a bind end with these options: the scripted side, and our side to be
/// established.
async fn connect(options: BindOptions) -> (ByteStream, crate::transport::Accepted) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("mem://websocket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let acceptor = Acceptor::listen(&name.parse().unwrap(), &options)
        .await
        .unwrap();
    let client = dial(&acceptor.endpoint(), &ConnectOptions::new())
        .await
        .unwrap();
    (client.stream, acceptor.accept().await.unwrap())
}

/// Sends `opening` in one write: what the bind end makes of it, and all that the client reads
/// until it is closed.
async fn refuse(opening: &[u8], options: BindOptions) -> (Outcome, String) {
    let (mut client, accepted) = connect(options).await;
    client.write_all(opening).await.unwrap();
    let mut answer = String::new();
    let (outcome, ()) = tokio::join!(accepted.establish(), async {
        client.read_to_string(&mut answer).await.unwrap();
        client.shutdown().await.unwrap();
    });
    (outcome, answer)
}

/// A client whose upgrade succeeded, with `more` sent behind the request in the same write.
async fn upgrade(more: &[u8]) -> (ByteStream, Established) {
    let (mut client, accepted) = connect(BindOptions::new()).await;
    client
        .write_all(&[good_request().as_bytes(), more].concat())
        .await
        .unwrap();
    let server = accepted.establish().await.unwrap();
    assert_eq!(
        read_head(&mut client).await.lines().next(),
        Some("HTTP/1.1 101 Switching Protocols")
    );
    (client, server)
}

async fn read_head(stream: &mut ByteStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A frame of the server's with at most 125 bytes: its first byte and its payload.
async fn read_frame(stream: &mut ByteStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let length = stream.read_u8().await.unwrap();
    assert!(length <= 125, "masked or long: {length}");
    let mut payload = vec![0; length.into()];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

fn close_frame(code: u16) -> (u8, Vec<u8>) {
    (0x88, code.to_be_bytes().to_vec())
}

mod upgrade {
    use super::*;

    #[tokio::test]
    async fn the_answer_names_the_key_and_nothing_that_was_not_agreed() {
        let (mut client, accepted) = connect(BindOptions::new()).await;
        client.write_all(good_request().as_bytes()).await.unwrap();
        let server = accepted.establish().await.unwrap();
        let head = read_head(&mut client).await;
        assert!(
            head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        assert!(
            !head.contains("Protocol:") && !head.contains("Extensions:"),
            "{head}"
        );
        assert_eq!(server.meta.transport, TransportKind::WebSocket);
        let request = server.meta.request.unwrap();
        assert_eq!(request.target(), "/some/path?q");
        assert_eq!(request.header("COOKIE"), [b"token=1"]);
        assert_eq!(request.header("absent"), Vec::<&[u8]>::new());
        assert!(!format!("{request:?}").contains("token"));
    }

    #[tokio::test]
    async fn a_request_may_come_byte_by_byte_with_frames_behind_it() {
        let (mut client, accepted) = connect(BindOptions::new()).await;
        let stream = [
            good_request().into_bytes(),
            frame(Opcode::Binary, b"pipelined"),
        ]
        .concat();
        let (server, ()) = tokio::join!(accepted.establish(), async {
            for byte in stream {
                client.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut received = [0; 9];
        server
            .unwrap()
            .stream
            .read_exact(&mut received)
            .await
            .unwrap();
        assert_eq!(&received, b"pipelined");
    }

    #[tokio::test]
    async fn frames_may_follow_in_the_same_segment() {
        let frames = [
            frame(Opcode::Ping, b"early"),
            frame(Opcode::Binary, b"one"),
            frame(Opcode::Binary, b"two"),
        ];
        let (mut client, mut server) = upgrade(&frames.concat()).await;
        let mut received = [0; 6];
        server.stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"onetwo");
        server.stream.flush().await.unwrap();
        assert_eq!(read_frame(&mut client).await, (0x8a, b"early".to_vec()));
    }

    #[tokio::test]
    async fn a_browser_is_told_what_this_port_is() {
        let opening = request(&["Host: example", "Connection: keep-alive", "Upgrade: h2c"]);
        let (outcome, answer) = refuse(opening.as_bytes(), BindOptions::new()).await;
        assert!(
            answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\r\nSec-WebSocket-Version: 13\r\n"),
            "{answer}"
        );
        assert!(answer.contains("This is a message socket"), "{answer}");
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", page.len())),
            "{head}"
        );
        let fault = UpgradeFault::PlainGet;
        assert!(
            matches!(outcome, Err(TransportError::UpgradeRefused { fault: it }) if it == fault)
        );
    }

    #[tokio::test]
    async fn each_fault_of_a_request_has_its_status() {
        let upgrade = "Upgrade: websocket";
        let connection = "Connection: upgrade";
        let key = &format!("Sec-WebSocket-Key: {KEY}");
        let version = "Sec-WebSocket-Version: 13";
        let long = &format!("X-Long: {}", "x".repeat(9000));
        let many: Vec<_> = (0..101).map(|index| format!("X-{index}: y")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let cases: &[(&[&str], UpgradeFault)] = &[
            (
                &[upgrade, connection, key, "Sec-WebSocket-Version: 8"],
                UpgradeFault::Version,
            ),
            (&[upgrade, connection, key], UpgradeFault::Version),
            (&[connection, key, version], UpgradeFault::NoUpgrade),
            (
                &["Upgrade: websockets", connection, key, version],
                UpgradeFault::NoUpgrade,
            ),
            (&[upgrade, key, version], UpgradeFault::NoConnection),
            (
                &[upgrade, "Connection: close", key, version],
                UpgradeFault::NoConnection,
            ),
            (&[upgrade, connection, version], UpgradeFault::Key),
            (&[upgrade, connection, version, key, key], UpgradeFault::Key),
            (
                &[upgrade, connection, version, "Sec-WebSocket-Key: AAAA"],
                UpgradeFault::Key,
            ),
            (
                &[upgrade, connection, version, "Sec-WebSocket-Key: !"],
                UpgradeFault::Key,
            ),
            (
                &[upgrade, connection, version, key, long],
                UpgradeFault::TooLong,
            ),
            (&many, UpgradeFault::TooLong),
            (&["no colon"], UpgradeFault::Malformed),
        ];
        for (lines, fault) in cases {
            let (outcome, answer) = refuse(request(lines).as_bytes(), BindOptions::new()).await;
            let status = format!("HTTP/1.1 {} ", fault.status());
            assert!(answer.starts_with(&status), "{fault}: {answer}");
            match outcome {
                Err(TransportError::UpgradeRefused { fault: it }) => assert_eq!(it, *fault),
                other => panic!("{other:?}"),
            }
        }
        let old = good_request().replace("HTTP/1.1", "HTTP/1.0");
        assert!(
            refuse(old.as_bytes(), BindOptions::new())
                .await
                .1
                .contains(" 400 ")
        );
        let other = good_request().replace("GET ", "GOT ");
        assert!(
            refuse(other.as_bytes(), BindOptions::new())
                .await
                .1
                .contains(" 400 ")
        );
    }

    #[tokio::test]
    async fn a_header_without_end_is_refused_at_its_limit() {
        let opening = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(8 * 1024));
        let (_, answer) = refuse(opening.as_bytes(), BindOptions::new()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn an_origin_is_looked_at_only_if_origins_are_listed() {
        let listed = |origin| BindOptions::new().allowed_origin(origin);
        let request = good_request();
        let (outcome, answer) = refuse(request.as_bytes(), listed("https://other.example")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let fault = UpgradeFault::Origin;
        assert!(
            matches!(outcome, Err(TransportError::UpgradeRefused { fault: it }) if it == fault)
        );

        let none = request.replace("Origin:", "X-Origin:");
        for opening in [request, none] {
            let (mut client, accepted) = connect(listed("https://APP.example")).await;
            client.write_all(opening.as_bytes()).await.unwrap();
            accepted.establish().await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_peer_that_stays_is_left_after_a_second() {
        let (mut client, accepted) = connect(BindOptions::new()).await;
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let before = tokio::time::Instant::now();
        accepted.establish().await.unwrap_err();
        assert_eq!(before.elapsed().as_secs(), 1);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "));
    }
}

mod frames {
    use super::*;

    #[tokio::test]
    async fn message_boundaries_mean_nothing() {
        let (mut client, mut server) = upgrade(b"").await;
        let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let write = async {
            let (first, rest) = sent.split_at(70_000);
            client
                .write_all(&frame(Opcode::Binary, first))
                .await
                .unwrap();
            for piece in rest.chunks(1000) {
                client
                    .write_all(&frame(Opcode::Binary, piece))
                    .await
                    .unwrap();
            }
        };
        let mut received = vec![0; sent.len()];
        let (_, read) = tokio::join!(write, server.stream.read_exact(&mut received));
        read.unwrap();
        assert!(received == sent);
    }

    #[tokio::test]
    async fn what_the_server_writes_are_whole_unmasked_binary_messages() {
        let (mut client, mut server) = upgrade(b"").await;
        let pieces = [
            io::IoSlice::new(b"two "),
            io::IoSlice::new(b""),
            io::IoSlice::new(b"pieces"),
        ];
        assert_eq!(server.stream.write_vectored(&pieces).await.unwrap(), 10);
        server.stream.flush().await.unwrap();
        assert_eq!(
            read_frame(&mut client).await,
            (0x82, b"two pieces".to_vec())
        );

        let large = vec![7; 100_000];
        let (written, read) = tokio::join!(server.stream.write_all(&large), async {
            let mut read = 0;
            while read < large.len() {
                assert_eq!(client.read_u16().await.unwrap(), 0x827e);
                let length = client.read_u16().await.unwrap();
                let mut payload = vec![0; length.into()];
                client.read_exact(&mut payload).await.unwrap();
                read += payload.len();
            }
            read
        });
        written.unwrap();
        assert_eq!(read, large.len());
    }

    #[tokio::test]
    async fn a_ping_is_answered_while_nothing_else_happens() {
        let (mut client, mut server) = upgrade(b"").await;
        client
            .write_all(&frame(Opcode::Ping, b"are you there"))
            .await
            .unwrap();
        let mut nothing = [0];
        tokio::select! {
            read = server.stream.read(&mut nothing) => panic!("{read:?}"),
            answer = read_frame(&mut client) => assert_eq!(answer, (0x8a, b"are you there".to_vec())),
        }
    }

    #[tokio::test]
    async fn a_flood_of_pings_that_nobody_reads_the_answers_of_costs_one_answer() {
        let (client, mut server) = upgrade(b"").await;
        let (mut read_half, mut write_half) = tokio::io::split(client);
        let flood = frame(Opcode::Ping, &[7; 125]).repeat(8000);
        let end = frame(Opcode::Binary, b"end");
        let mut received = [0; 3];
        let (flooded, read) = tokio::join!(
            async {
                write_half.write_all(&flood).await?;
                write_half.write_all(&end).await
            },
            server.stream.read_exact(&mut received),
        );
        flooded.unwrap();
        read.unwrap();
        assert_eq!(&received, b"end");
        match &server.stream {
            ByteStream::WebSocket(stream) => assert!(stream.waiting_bytes() <= 2 * 127 + 14),
            other => panic!("{other:?}"),
        }
        // The answers that there was room for are whole.
        drop(server);
        let mut answers = Vec::new();
        read_half.read_to_end(&mut answers).await.unwrap();
        assert!(
            answers
                .chunks_exact(127)
                .all(|answer| answer[..2] == [0x8a, 125])
        );
    }

    #[tokio::test]
    async fn a_close_is_echoed_and_ends_the_stream() {
        for body in [&[][..], &[0x03, 0xe9], b"\x0f\xa0reason"] {
            let (mut client, mut server) = upgrade(b"").await;
            let opening = [frame(Opcode::Binary, b"last"), frame(Opcode::Close, body)].concat();
            client.write_all(&opening).await.unwrap();
            let mut received = Vec::new();
            let (read, answer) = tokio::join!(server.stream.read_to_end(&mut received), async {
                let answer = read_frame(&mut client).await;
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "our side ends");
                client.shutdown().await.unwrap();
                answer
            });
            read.unwrap();
            assert_eq!(received, b"last");
            assert_eq!(answer, (0x88, body[..body.len().min(2)].to_vec()));
            let error = server.stream.write_all(b"late").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[tokio::test]
    async fn a_close_of_ours_still_reads_what_is_under_way() {
        let (mut client, mut server) = upgrade(b"").await;
        server.stream.shutdown().await.unwrap();
        assert_eq!(read_frame(&mut client).await, close_frame(1000));
        let rest = [
            frame(Opcode::Binary, b"under way"),
            frame(Opcode::Close, &[0x03, 0xe8]),
        ]
        .concat();
        client.write_all(&rest).await.unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        server.stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"under way");
        assert_eq!(
            client.read(&mut [0]).await.unwrap(),
            0,
            "it is not echoed twice"
        );
    }

    #[tokio::test]
    async fn a_peer_that_ends_without_a_close_frame_ends_the_stream() {
        let (mut client, mut server) = upgrade(b"").await;
        client
            .write_all(&frame(Opcode::Binary, b"whole"))
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        server.stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"whole");

        let (mut client, mut server) = upgrade(b"").await;
        client
            .write_all(&frame(Opcode::Binary, b"half")[..8])
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let error = server.stream.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn each_violation_is_answered_with_its_code() {
        use WebSocketViolation as Violation;

        let fragment = {
            let mut fragment = frame(Opcode::Binary, b"a");
            fragment[0] = 0x02;
            fragment
        };
        let with_first = |first: u8, opcode, payload: &[u8]| {
            let mut frame = frame(opcode, payload);
            frame[0] = first;
            frame
        };
        let cases = [
            (frame(Opcode::Text, b"hi"), Violation::Text),
            (with_first(0x01, Opcode::Text, b"hi"), Violation::Text),
            (vec![0x82, 0x02, b'h', b'i'], Violation::Mask),
            (
                with_first(0xc2, Opcode::Binary, b"a"),
                Violation::ReservedBit,
            ),
            (
                with_first(0xa2, Opcode::Binary, b"a"),
                Violation::ReservedBit,
            ),
            (
                with_first(0x92, Opcode::Binary, b"a"),
                Violation::ReservedBit,
            ),
            (
                with_first(0x83, Opcode::Binary, b"a"),
                Violation::ReservedOpcode,
            ),
            (
                with_first(0x8f, Opcode::Binary, b"a"),
                Violation::ReservedOpcode,
            ),
            (
                with_first(0x09, Opcode::Ping, b"a"),
                Violation::FragmentedControl,
            ),
            (frame(Opcode::Ping, &[0; 126]), Violation::LongControl),
            (
                frame(Opcode::Continuation, b"a"),
                Violation::LoneContinuation,
            ),
            (
                [fragment.clone(), frame(Opcode::Binary, b"a")].concat(),
                Violation::Interleaved,
            ),
            (
                vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
                Violation::Length,
            ),
            (frame(Opcode::Close, &[3]), Violation::Close),
            (
                frame(Opcode::Close, &1005_u16.to_be_bytes()),
                Violation::Close,
            ),
            (
                frame(Opcode::Close, b"\x03\xe8\xff"),
                Violation::CloseReason,
            ),
        ];
        for (bytes, violation) in cases {
            let (mut client, mut server) = upgrade(b"").await;
            // More follows, unread: it must not reset the connection and eat the answer.
            client
                .write_all(&[&bytes[..], &[0xff; 10_000]].concat())
                .await
                .unwrap();
            let mut received = Vec::new();
            let (read, answer) = tokio::join!(server.stream.read_to_end(&mut received), async {
                let answer = read_frame(&mut client).await;
                client.shutdown().await.unwrap();
                answer
            });
            assert_eq!(answer, close_frame(violation.close_code()), "{violation}");
            let error = read.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let told = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Violation>());
            assert_eq!(told, Some(&violation));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stays_after_a_violation_is_left_after_a_second() {
        let (mut client, mut server) = upgrade(b"").await;
        client.write_all(&frame(Opcode::Text, b"hi")).await.unwrap();
        let before = tokio::time::Instant::now();
        server.stream.read_u8().await.unwrap_err();
        assert_eq!(before.elapsed(), Duration::from_secs(1));
        assert_eq!(
            server.stream.read(&mut [0]).await.unwrap(),
            0,
            "it is told once"
        );
    }
}

mod connect_end {
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
    async fn answered(answer: impl FnOnce(&str) -> String) -> Result<ByteStream, TransportError> {
        let (ours, mut theirs) = pair();
        let endpoint = endpoint();
        let (outcome, ()) = tokio::join!(super::super::connect(ours, &endpoint), async {
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
        });
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
            Err(TransportError::UpgradeStatus { status: 404 })
        ));
        let wrong: [fn(&str) -> String; 6] = [
            |_| good("another"),
            |accept| good(accept).replace("websocket", "h2c"),
            |accept| good(accept).replace("Connection: upgrade", "Connection: close"),
            |accept| {
                good(accept).replace("101 Fine\r\n", "101 Fine\r\nSec-WebSocket-Protocol: x\r\n")
            },
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
        let mut client = WebSocketStream::new(ours, Role::Client, BytesMut::new());
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
        let acceptor = Acceptor::listen(&endpoint, &BindOptions::new())
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
}

mod with_tungstenite {
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
        let (client, server) = tokio::join!(
            super::super::connect(ByteStream::Memory(ours), &endpoint),
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
}

#[cfg(feature = "tls-dev")]
#[tokio::test]
async fn wss_is_served_by_the_tls_port() {
    let dev = crate::Tls::dev();
    let options = BindOptions::new().tls(dev.server());
    let endpoint = "wss://127.0.0.1:0/any".parse().unwrap();
    let acceptor = Acceptor::listen(&endpoint, &options).await.unwrap();
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new().tls(dev.client());
    let (client, server) = tokio::join!(dial(&endpoint, &options), async {
        acceptor.accept().await.unwrap().establish().await
    });
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.meta.transport, TransportKind::Wss);
    assert_eq!(server.meta.transport, TransportKind::Wss);
    client.stream.write_all(b"over both").await.unwrap();
    client.stream.flush().await.unwrap();
    let mut received = [0; 9];
    server.stream.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"over both");
}
