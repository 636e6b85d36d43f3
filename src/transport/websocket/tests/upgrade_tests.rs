//! The HTTP request and what it is answered with.

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
    assert_eq!((request.path(), request.query()), ("/some/path", Some("q")));
    assert_eq!(request.cookie("token"), Some("1"));
    assert_eq!(request.header("UPGRADE"), Some("WebSocket"));
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
    assert!(matches!(outcome, Err(TransportError::UpgradeRefused { fault: it }) if it == fault));
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
    let reason = outcome.unwrap_err().to_string();
    assert!(
        reason.contains("its origin, https://app.example, is not allowed"),
        "{reason}"
    );

    let none = request.replace("Origin:", "X-Origin:");
    for opening in [request, none] {
        let (mut client, accepted) = connect(listed("https://APP.example/")).await;
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

#[tokio::test]
async fn unread_bytes_do_not_take_back_the_answer_over_tcp() {
    let endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let acceptor = Acceptor::listen(&endpoint, &BindOptions::new(), &Default::default())
        .await
        .unwrap();
    let address = ("127.0.0.1", acceptor.endpoint().port().unwrap());
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let opening = [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 200_000]].concat();
    let mut answer = String::new();
    let (refused, ()) = tokio::join!(
        async { acceptor.accept().await.unwrap().establish().await },
        async {
            client.write_all(&opening).await.unwrap();
            client.read_to_string(&mut answer).await.unwrap();
            client.shutdown().await.unwrap();
        }
    );
    refused.unwrap_err();
    assert!(answer.ends_with("</html>\n"), "{answer}");
}
