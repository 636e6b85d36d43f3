//! A socket within an actix-web application: its web peers are peers like any other.

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    Role,
    event::{Limit, Party, RefusalReason},
    transport::{PeerAddress, TransportKind},
};
use actix_aiomsg::{
    authorize::{Admission, Candidate},
    web,
};
use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpMessage, HttpServer};
use futures_util::SinkExt;
use support::again;
use support::events::SocketProbe;
use support::host::Host;
use support::raw_peer::{self, ACK, DATA, DATA_REQ, RawPeer};
use support::site::{PATH, Site};
use support::web_peer::{WebPeer, request};
use support::{aside, eventually, within_patience};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

const SILVER: [u8; 16] = [0x51; 16];

fn identity(bytes: [u8; 16]) -> Identity {
    Identity::from_bytes(bytes)
}

#[actix::test]
async fn a_web_peer_is_admitted_announced_and_served_in_both_directions() {
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::start(&host.socket, 2);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    match host.peers.next().await.unwrap() {
        PeerEvent::Up {
            peer,
            address,
            transport,
            role,
            ..
        } => {
            assert_eq!(peer, identity(SILVER));
            assert!(matches!(address, PeerAddress::Socket(from) if from.ip().is_loopback()));
            assert_eq!(transport, TransportKind::WebSocket);
            assert_eq!(role, Role::BindEnd);
        }
        other => panic!("{other:?}"),
    }
    peer.data(b"from the page").await;
    assert_eq!(host.message().await, "from the page");
    host.socket.send("to the page").await.unwrap();
    assert_eq!(peer.expect_data().await, b"to the page");

    peer.frame(DATA_REQ, &[&[9; 16][..], b"sure"].concat())
        .await;
    assert_eq!(host.message().await, "sure");
    let ack = peer.next().await;
    assert_eq!((ack.kind, &ack.body[..]), (ACK, &[9; 16][..]));
}

#[actix::test]
async fn web_raw_and_websocket_peers_of_one_socket_are_served_together() {
    let mut host = Host::start(Socket::builder().send_mode(SendMode::Publish)).await;
    let site = Site::start(&host.socket, 2);
    let mut web = WebPeer::introduced(site.address, PATH, [1; 16]).await;
    let mut plain = WebPeer::introduced(host.address, "/", [2; 16]).await;
    host.socket.wait_for_peers(3).await.unwrap();
    host.socket.send("news").await.unwrap();
    assert_eq!(web.expect_data().await, b"news");
    assert_eq!(plain.expect_data().await, b"news");
    for (peer, text) in [(&mut web, "of web"), (&mut plain, "of plain")] {
        peer.data(text.as_bytes()).await;
        assert_eq!(host.message().await, text);
    }
    host.still_serves().await;
}

#[actix::test]
async fn peers_spread_over_workers_and_arbiters_keep_their_order() {
    let host = Host::alone(Socket::builder().arbiters(2)).await;
    let site = Site::start(&host.socket, 3);
    let mut messages = host.messages;
    let sending = (0..6_u8).map(|number| async move {
        let mut peer = WebPeer::introduced(site.address, PATH, [number; 16]).await;
        for count in 0..200_u8 {
            peer.data(&[number, count]).await;
        }
        peer
    });
    let receiving = async {
        let mut next = [0; 6];
        for _ in 0..1200 {
            let message = messages.recv().await.unwrap();
            let of_peer = &mut next[usize::from(message[0])];
            assert_eq!(message[1], *of_peer);
            *of_peer += 1;
        }
    };
    let all = futures_util::future::join(futures_util::future::join_all(sending), receiving);
    within_patience("all messages", all).await;
}

#[actix::test]
async fn large_messages_pass_in_both_directions_at_once() {
    const BYTES: usize = 3_000_000;
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    let payload: Vec<u8> = (0..=255).cycle().take(BYTES).collect();
    let ours = payload.clone();
    let socket = host.socket.clone();
    let sending = actix::spawn(async move { socket.send(ours).await });
    // The peer writes all of its own before it reads anything.
    peer.data(&payload).await;
    assert!(host.message().await == payload);
    assert!(peer.expect_data().await == payload);
    within_patience("the send", sending).await.unwrap().unwrap();
}

/// The status and the body that answer this request text.
async fn answer(site: &Site, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !is_whole(&answer) {
        let mut bytes = [0; 4096];
        let reading = stream.read(&mut bytes);
        let read = within_patience("the answer", reading).await.unwrap();
        assert!(read > 0, "{answer}");
        answer.push_str(str::from_utf8(&bytes[..read]).unwrap());
    }
    let status = answer.split(' ').nth(1).expect("a status line");
    (status.parse().expect("a number"), answer.to_lowercase())
}

/// Whether as much has come as the head of an answer says.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).expect("a length");
    let length = length.lines().next().expect("a line");
    body.len() == length.parse::<usize>().expect("a number")
}

#[actix::test]
async fn requests_are_judged_as_on_a_port_of_the_sockets_own() {
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::with(&host.socket, 1, |mount| {
        mount.allowed_origin("https://app.example")
    });
    let head =
        |lines: &str| format!("GET {PATH} HTTP/1.1\r\nHost: h\r\n{lines}Connection: close\r\n\r\n");
    let asking = |upgrade: &str, connection: &str, version: &str, key: &str, more: &str| {
        format!(
            "GET {PATH}?q HTTP/1.1\r\nHost: h\r\nUpgrade: {upgrade}\r\nConnection: {connection}\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
        )
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let close = "close, Upgrade";
    let long = format!("X-Long: {}\r\n", "x".repeat(9000));
    for (status, request) in [
        (426, head("")),
        (426, asking("websocket", close, "8", key, "")),
        (400, asking("websocket", close, "13", "short", "")),
        (400, asking("h2c", close, "13", key, "")),
        (400, asking("websocket", "close", "13", key, "")),
        // What the server in front would not hand over as a stream.
        (400, asking("foo, websocket", close, "13", key, "")),
        (
            400,
            asking(
                "websocket",
                close,
                "13",
                key,
                "Transfer-Encoding: chunked\r\n",
            ),
        ),
        (
            403,
            asking(
                "websocket",
                close,
                "13",
                key,
                "Origin: https://other.example\r\n",
            ),
        ),
        (431, asking("websocket", close, "13", key, &long)),
        (405, head("").replace("GET", "POST")),
    ] {
        let (answered, text) = answer(&site, &request).await;
        assert_eq!(answered, status, "{request}\n{text}");
        if status == 426 {
            assert!(text.contains("\r\nsec-websocket-version: 13\r\n"), "{text}");
            assert!(text.contains("\r\nupgrade: websocket\r\n"), "{text}");
            assert!(text.contains("<html"), "{text}");
        }
    }
    let ours = request(PATH, "Origin", "HTTPS://app.example");
    let mut peer = WebPeer::ask(site.address, ours).await.unwrap();
    peer.introduce(SILVER).await;
    host.still_serves().await;
    // Those that came to the path, each told of as by a port of the socket's own.
    assert_eq!(host.socket.stats().refused, 9);
    let mut reasons = Vec::new();
    while reasons.len() < 9 {
        reasons.push(host.refusal().await);
    }
    let origin = RefusalReason::OriginRefused("https://other.example".to_owned());
    assert!(reasons.contains(&origin), "{reasons:?}");
}

/// What a peer that breaks a rule of WebSocket sends behind its HELLO, and the code that ends it.
const VIOLATIONS: [(&[u8], u16); 6] = [
    // A text message.
    (&[0x81, 0x80, 0, 0, 0, 0], 1003),
    // Not masked.
    (&[0x82, 0x01, 0x00], 1002),
    // A reserved bit.
    (&[0xc2, 0x80, 0, 0, 0, 0], 1002),
    // A reserved opcode.
    (&[0x83, 0x80, 0, 0, 0, 0], 1002),
    // A continuation without a start.
    (&[0x80, 0x80, 0, 0, 0, 0], 1002),
    // A length with its top bit set.
    (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
];

#[actix::test]
async fn a_peer_that_breaks_a_rule_of_websocket_is_told_which_and_harms_nobody() {
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    for (bytes, code) in VIOLATIONS {
        let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
        peer.stream.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(peer.expect_close().await, Some(code), "{bytes:?}");
        let reason = host.down_reason().await;
        assert!(matches!(reason, DownReason::WebSocket(_)), "{reason}");
        assert!(reason.is_violation());
    }
    host.still_serves().await;
}

#[actix::test]
async fn a_frame_over_the_limit_ends_its_connection_alone() {
    let mut host = Host::start(Socket::builder().max_frame_bytes(1000)).await;
    let site = Site::start(&host.socket, 1);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    // The announcement alone is enough.
    peer.say(vec![0x7f, 0xff, 0xff, 0xff, DATA]).await;
    let reason = host.down_reason().await;
    assert!(
        matches!(reason, DownReason::Oversize { limit: 1000, .. }),
        "{reason}"
    );
    peer.expect_end().await;
    host.still_serves().await;
}

#[actix::test]
async fn before_its_hello_a_peer_may_send_little_and_is_waited_for_briefly() {
    let quick = Socket::builder().handshake_timeout(Duration::from_millis(300));
    let mut host = Host::start(quick).await;
    let site = Site::start(&host.socket, 1);
    let cases = [
        (raw_peer::frame(DATA, b"no hello"), "type 0x03"),
        (vec![0, 1, 0, 0, 1], "before HELLO"),
        (vec![], "in time"),
    ];
    for (first, expected) in cases {
        let mut peer = WebPeer::connect(site.address, PATH).await.unwrap();
        if !first.is_empty() {
            peer.say(first).await;
        }
        peer.expect_end().await;
        let reason = host.refusal().await.to_string();
        assert!(reason.contains(expected), "{reason}");
    }
    host.still_serves().await;
}

#[actix::test]
async fn a_silent_web_peer_is_heard_out_and_then_gone_while_one_that_beats_stays() {
    let lively = Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .heartbeat_timeout(Duration::from_millis(600));
    let mut host = Host::alone(lively).await;
    let site = Site::start(&host.socket, 1);
    let mut silent = WebPeer::introduced(site.address, PATH, [1; 16]).await;
    let mut beating = WebPeer::introduced(site.address, PATH, [2; 16]).await;
    let beats = async {
        loop {
            beating.frame(raw_peer::HEARTBEAT, b"").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let down = async {
        loop {
            if let PeerEvent::Down {
                peer, reason, by, ..
            } = host.peers.next().await.unwrap()
            {
                return (peer, reason, by);
            }
        }
    };
    let (peer, reason, by) = tokio::select! {
        () = beats => unreachable!(),
        down = down => down,
    };
    assert_eq!(peer, identity([1; 16]));
    assert!(matches!(reason, DownReason::Silent), "{reason}");
    assert_eq!(by, Party::Us);
    beating.data(b"still here").await;
    assert_eq!(host.message().await, "still here");
    // It was sent heartbeats, and its connection is closed.
    silent.expect_end().await;
}

#[actix::test]
async fn a_peer_that_ends_its_side_loses_nothing() {
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    for number in 0..20_u8 {
        let mut peer = WebPeer::introduced(site.address, PATH, [number; 16]).await;
        peer.data(b"last words").await;
        peer.stream.get_mut().shutdown().await.unwrap();
        assert_eq!(host.message().await, "last words");
        assert!(matches!(host.down_reason().await, DownReason::Closed));
        peer.expect_end().await;
    }
    host.still_serves().await;
}

#[actix::test]
async fn a_connect_end_that_closes_behind_its_messages_loses_none_where_the_mount_is_full() {
    // How much waits in the web server when the connection is closed depends on how it was read.
    for count in (150..=400_u32).step_by(50) {
        // Less than is sent fits into the socket.
        let busy = Socket::builder().inbox_capacity(10, 10_000);
        let socket = busy.start().unwrap();
        let site = Site::start(&socket, 1);
        let leaving = Socket::start().unwrap();
        let endpoint = format!("ws://{}{PATH}", site.address);
        leaving.connect(endpoint).await.unwrap();
        for number in 0..count {
            let mut payload = vec![0; 1000];
            payload[..4].copy_from_slice(&number.to_be_bytes());
            leaving.send(payload).await.unwrap();
        }
        let close = leaving.close();
        let receiving = async {
            // It has written everything by now, and has begun to close.
            tokio::time::sleep(Duration::from_millis(200)).await;
            for number in 0..count {
                let message = within_patience("a message", socket.recv()).await.unwrap();
                assert_eq!(message.payload()[..4], number.to_be_bytes());
            }
        };
        let (report, ()) = tokio::join!(close, receiving);
        assert_eq!((report.sent, report.unsent), (u64::from(count), 0));
    }
}

#[actix::test]
async fn the_close_frame_of_a_peer_is_echoed() {
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    for code in [1000, 1001, 4000] {
        let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
        let frame = CloseFrame {
            code: code.into(),
            reason: "leaving".into(),
        };
        peer.stream.close(Some(frame)).await.unwrap();
        let down = host.down_reason();
        let (code_of_echo, reason) = futures_util::future::join(peer.expect_close(), down).await;
        assert_eq!(code_of_echo, Some(code));
        assert!(matches!(reason, DownReason::Closed), "{reason}");
    }
}

#[actix::test]
async fn a_peer_that_is_cut_off_is_noticed_at_once() {
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    peer.data(b"soon gone").await;
    assert_eq!(host.message().await, "soon gone");
    drop(peer);
    host.down_reason().await;
    eventually("no connection", || host.socket.stats().connections == 0).await;
}

#[actix::test]
async fn a_peer_that_does_not_read_meets_a_bound() {
    const BYTES: usize = 64 * 1024;
    let socket = Socket::builder()
        .link_capacity(4, 4 * BYTES)
        .start()
        .unwrap();
    let site = Site::start(&socket, 1);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    socket.wait_for_peers(1).await.unwrap();
    let mut accepted = 0_usize;
    // What the kernel holds differs, and is not without limit either.
    loop {
        let sending = tokio::time::timeout(Duration::from_secs(1), socket.send(vec![7; BYTES]));
        match sending.await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        accepted += 1;
        assert!(accepted < 1000, "64 MB went to a peer that does not read");
    }
    for _ in 0..accepted {
        assert_eq!(peer.expect_data().await.len(), BYTES);
    }
}

#[actix::test]
async fn a_socket_that_does_not_receive_stops_its_web_peer_and_then_gets_everything() {
    const BYTES: usize = 64 * 1024;
    let socket = Socket::start().unwrap();
    let site = Site::start(&socket, 1);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    let message = raw_peer::frame(DATA, &[7; BYTES]);
    let mut said = 0_usize;
    loop {
        let message = Message::binary(message.clone());
        peer.stream.feed(message).await.unwrap();
        said += 1;
        match tokio::time::timeout(Duration::from_secs(1), peer.stream.flush()).await {
            Ok(flushed) => flushed.unwrap(),
            Err(_) => break,
        }
        assert!(said < 1000, "64 MB were taken and nobody receives");
    }
    let receiving = async {
        for _ in 0..said {
            assert_eq!(socket.recv().await.unwrap().payload().len(), BYTES);
        }
    };
    let both = futures_util::future::join(peer.stream.flush(), receiving);
    within_patience("everything", both).await.0.unwrap();
    peer.data(b"goes on").await;
    let last = within_patience("the last", socket.recv()).await.unwrap();
    assert_eq!(last.payload(), "goes on");
}

#[actix::test]
async fn at_its_limit_and_when_it_is_closed_the_socket_is_unavailable() {
    let mut host = Host::alone(Socket::builder().max_connections(1)).await;
    let site = Site::start(&host.socket, 1);
    let status = async |address| match WebPeer::connect(address, PATH).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{:?}", other.map(|_| "an upgrade")),
    };
    let mut first = WebPeer::introduced(site.address, PATH, SILVER).await;
    assert_eq!(status(site.address).await, 503);
    let limit = host
        .event(|event| match event {
            SocketEvent::Overloaded { limit, .. } => Some(limit),
            _ => None,
        })
        .await;
    assert_eq!(limit, Limit::Connections);
    first.data(b"not harmed").await;
    assert_eq!(host.message().await, "not harmed");
    let (_, code) = tokio::join!(host.socket.close(), first.expect_close());
    assert_eq!(code, Some(1000));
    assert_eq!(status(site.address).await, 503);
}

#[cfg(unix)]
#[test]
fn a_socket_that_drains_lets_nobody_in_by_the_web_server() {
    const TEST: &str = "a_socket_that_drains_lets_nobody_in_by_the_web_server";
    if again::part().is_some() {
        actix::System::new().block_on(async {
            let socket = Socket::start().unwrap();
            let site = Site::start(&socket, 1);
            let mut running =
                std::pin::pin!(socket.run_until_signal(Drain::within(Duration::from_secs(60))));
            assert!(futures_util::poll!(&mut running).is_pending());
            let other = Socket::start().unwrap();
            other
                .connect(format!("ws://{}{PATH}", site.address))
                .await
                .unwrap();
            other
                .send("a job")
                .guarantee(DeliveryGuarantee::AtLeastOnce)
                .await
                .unwrap();
            let busy = async {
                // In hand, so that the drain lasts until the process is ended.
                let job = socket.recv().await.unwrap();
                eprintln!("port {}", site.address.port());
                std::future::pending::<()>().await;
                drop(job);
            };
            tokio::select! {
                _ = &mut running => {}
                () = busy => {}
            }
        });
    }
    actix::System::new().block_on(async {
        let mut child = again::start(TEST, "program");
        let port = again::told_number(&mut child, "port ").await;
        let address = ([127, 0, 0, 1], u16::try_from(port).unwrap()).into();
        child.signal("TERM");
        let refused = async {
            loop {
                match WebPeer::connect(address, PATH).await {
                    Err(Error::Http(response)) => return response.status().as_u16(),
                    // The signal is still on its way.
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(other) => panic!("{other}"),
                }
            }
        };
        assert_eq!(within_patience("a refusal", refused).await, 503);
        assert!(child.is_running());
        child.kill();
    });
}

#[actix::test]
async fn closing_the_socket_delivers_what_was_accepted_and_lets_the_server_stop() {
    let socket = Socket::start().unwrap();
    let site = Site::start(&socket, 2);
    let mut peer = WebPeer::introduced(site.address, PATH, SILVER).await;
    socket.wait_for_peers(1).await.unwrap();
    for number in 0..500_u32 {
        socket.send(number.to_be_bytes().to_vec()).await.unwrap();
    }
    let closing = actix::spawn(async move { socket.close().await });
    for number in 0..500_u32 {
        assert_eq!(peer.expect_data().await, number.to_be_bytes());
    }
    assert_eq!(peer.expect_close().await, Some(1000));
    let report = within_patience("the close", closing).await.unwrap();
    assert_eq!((report.sent, report.unsent), (500, 0));
    site.stop(true).await;
}

#[actix::test]
async fn a_server_that_stops_at_once_takes_its_peers_down_and_no_others() {
    let mut host = Host::start(Socket::builder()).await;
    let site = Site::start(&host.socket, 2);
    let mut peers = Vec::new();
    for number in 0..4_u8 {
        peers.push(WebPeer::introduced(site.address, PATH, [number; 16]).await);
    }
    host.socket.wait_for_peers(5).await.unwrap();
    site.stop(false).await;
    for peer in &mut peers {
        host.down_reason().await;
        peer.expect_end().await;
    }
    host.still_serves().await;
}

#[actix::test]
async fn an_identity_that_is_connected_by_another_way_is_refused() {
    let mut host = Host::alone(Socket::builder()).await;
    let site = Site::start(&host.socket, 1);
    let address = host.address;
    let mut raw = aside(move || RawPeer::introduced(address, SILVER)).await;
    let mut web = WebPeer::connect(site.address, PATH).await.unwrap();
    web.say(raw_peer::hello(SILVER)).await;
    web.expect_end().await;
    assert_eq!(host.refusal().await, RefusalReason::Duplicate);
    aside(move || raw.data(b"the first stays")).await;
    assert_eq!(host.message().await, "the first stays");
}

/// What middleware of the application has found out.
#[derive(Clone, Debug, PartialEq)]
struct User(String);

#[actix::test]
async fn cookies_and_what_the_application_knows_reach_the_authorizer() {
    let authorize = |candidate: Candidate| async move {
        let request = candidate.request.expect("a web peer has a request");
        assert_eq!(request.path(), PATH);
        assert_eq!(request.query_value("room").as_deref(), Some("blue"));
        assert_eq!(candidate.transport, TransportKind::WebSocket);
        match (request.cookie("session"), request.extension::<User>()) {
            (Some("good"), Some(user)) => {
                assert_eq!(request.extension::<usize>(), Some(&user.0.len()));
                Admission::admit_as(Identity::from_name(&user.0)).with_principal(user.clone())
            }
            _ => Admission::refuse("no session"),
        }
    };
    let builder = Socket::builder().authorize(authorize);
    let (log, mut events) = Probe::<SocketEvent>::recipient();
    let socket = builder.on_socket_event(log).start().unwrap();
    let shared = socket.clone();
    let server = HttpServer::new(move || {
        let session = async |request: ServiceRequest, next: Next<BoxBody>| {
            if request.headers().contains_key("Cookie") {
                request.extensions_mut().insert(User("ada".to_owned()));
            }
            next.call(request).await
        };
        let mount = web::endpoint("/aiomsg", &shared)
            .carry::<User>()
            .carry_with(|request| Some(request.extensions().get::<User>()?.0.len()));
        App::new().wrap(from_fn(session)).service(mount)
    });
    let server = server
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    actix::spawn(server.run());

    let path = format!("{PATH}?room=blue");
    for cookie in ["session=bad", "session=good"] {
        let asking = request(&path, "Cookie", cookie);
        let mut peer = WebPeer::ask(address, asking).await.unwrap();
        peer.say(raw_peer::hello(SILVER)).await;
        if cookie == "session=good" {
            assert_eq!(peer.next().await.kind, raw_peer::HELLO);
            peer.data(b"let in").await;
            let message = within_patience("a message", socket.recv()).await.unwrap();
            assert_eq!(message.peer(), Identity::from_name("ada"));
            assert_eq!(message.principal(), Some(&User("ada".to_owned())));
        } else {
            peer.expect_end().await;
            let reason = events.refusal().await;
            assert!(reason.to_string().contains("no session"), "{reason}");
        }
    }
}
