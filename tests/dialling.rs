//! Names with several addresses, of which only one is good; and endpoints that can never work.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix_aiomsg::authorize::{Admission, Candidate};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    ConnectOptions, error::ConnectError, event::RefusalReason, transport::UnusableEndpoint,
};
use support::events::SocketProbe;
use support::{eventually, within_patience};

/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(3600);

/// The handshake of an address that says nothing is over after this.
const HANDSHAKE: Duration = Duration::from_millis(400);

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that takes connections, and does this to each.
fn stranger(act: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let (listener, address) = listener();
    // The thread ends with the process.
    std::thread::spawn(move || listener.incoming().flatten().for_each(act));
    address
}

fn closing() -> SocketAddr {
    stranger(drop)
}

fn silent() -> SocketAddr {
    stranger(|stream| {
        std::thread::spawn(move || {
            std::thread::sleep(NEVER);
            drop(stream);
        });
    })
}

fn talking_nonsense() -> SocketAddr {
    stranger(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    })
}

fn closed() -> SocketAddr {
    listener().1
}

/// A listener with a full backlog: on Linux, TCP itself gets no answer.
#[cfg(target_os = "linux")]
fn black_hole() -> SocketAddr {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..8 {
        let filler = new();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address);
        std::mem::forget(filler);
    }
    std::mem::forget(listener);
    address.as_socket().unwrap()
}

/// A bind end, and its address.
async fn good() -> (Socket, SocketAddr) {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let address = (Ipv4Addr::LOCALHOST, endpoint.port().unwrap());
    (socket, address.into())
}

fn dialler() -> (Socket, Probe<SocketEvent>) {
    let (recipient, events) = Probe::recipient();
    let builder = Socket::builder()
        .handshake_timeout(HANDSHAKE)
        .on_socket_event(recipient);
    // Another round would hide that this one gave up too early.
    (
        builder.reconnect(Backoff::fixed(NEVER)).start().unwrap(),
        events,
    )
}

async fn is_found(bad: impl IntoIterator<Item = SocketAddr>, options: ConnectOptions) {
    let (server, address) = good().await;
    let (client, _events) = dialler();
    let addresses: Vec<_> = bad.into_iter().chain([address]).collect();
    let options = options.resolve_to(addresses);
    client
        .connect_with("tcp://service.example:1", options)
        .await
        .unwrap();
    client.send("found").await.unwrap();
    let received = within_patience("the message", server.recv()).await.unwrap();
    assert_eq!(received.payload()[..], *b"found");
    client.close().await;
    server.close().await;
}

#[actix::test]
async fn a_good_address_is_found_behind_one_that_closes() {
    is_found([closing()], ConnectOptions::new()).await;
}

#[actix::test]
async fn a_good_address_is_found_behind_one_that_says_nothing() {
    is_found([silent()], ConnectOptions::new()).await;
}

#[actix::test]
async fn a_good_address_is_found_behind_one_that_speaks_another_protocol() {
    is_found([talking_nonsense()], ConnectOptions::new()).await;
}

#[actix::test]
async fn a_good_address_is_found_behind_each_kind_of_bad_one() {
    let bad = [closed(), closing(), silent(), talking_nonsense(), closed()];
    is_found(bad, ConnectOptions::new()).await;
}

/// Greets as a peer does, and closes.
fn greeting_and_closing(peer: u8) -> SocketAddr {
    stranger(move |mut stream| {
        let _ = stream.read(&mut [0; 22]);
        let _ = stream.write_all(&support::raw_peer::hello([peer; 16]));
    })
}

#[actix::test]
async fn a_good_address_is_found_behind_those_whose_connections_end_at_once() {
    let (server, address) = good().await;
    let backoff = Backoff::fixed(Duration::from_millis(10));
    let client = Socket::builder().reconnect(backoff).start().unwrap();
    let addresses = [greeting_and_closing(1), greeting_and_closing(2), address];
    let options = ConnectOptions::new().resolve_to(addresses);
    client
        .connect_with("tcp://service.example:1", options)
        .await
        .unwrap();
    let is_found = || {
        let mut peers = client.peers().into_iter();
        peers.any(|peer| peer.peer == server.identity())
    };
    eventually("the good one", is_found).await;
    client.close().await;
    server.close().await;
}

#[cfg(target_os = "linux")]
#[actix::test]
async fn black_holes_and_a_long_connect_timeout_do_not_hide_a_good_address() {
    let holes = [black_hole(), black_hole(), black_hole()];
    is_found(holes, ConnectOptions::new().connect_timeout(NEVER)).await;
}

#[cfg(target_os = "linux")]
#[actix::test]
async fn a_connect_timeout_may_be_longer_than_the_handshake_timeout() {
    let (client, mut events) = dialler();
    let hole = black_hole();
    let options = ConnectOptions::new()
        .connect_timeout(3 * HANDSHAKE)
        .resolve_to([hole]);
    let since = Instant::now();
    client
        .connect_with("tcp://far.example:1", options)
        .await
        .unwrap();
    let failed = |event| match event {
        SocketEvent::DialFailed { tried, reason, .. } => Some((tried, reason)),
        _ => None,
    };
    let (tried, reason) = events.find(failed).await.expect("a failed attempt");
    assert!(since.elapsed() >= 3 * HANDSHAKE);
    assert!(
        matches!(reason, RefusalReason::Unreachable(_)),
        "{reason:?}"
    );
    assert!(reason.to_string().contains(&hole.to_string()), "{reason}");
    assert!(reason.to_string().contains("1.2s"), "{reason}");
    assert!(tried[0].after >= 3 * HANDSHAKE);
    client.close().await;
}

#[actix::test]
async fn a_failed_attempt_tells_each_address_with_its_time_and_reason() {
    let (client, mut events) = dialler();
    let addresses = [closed(), silent(), closing()];
    let options = ConnectOptions::new().resolve_to(addresses);
    client
        .connect_with("tcp://service.example:1", options)
        .await
        .unwrap();
    let failed = |event| match event {
        SocketEvent::DialFailed { tried, reason, .. } => Some((tried, reason)),
        _ => None,
    };
    let (tried, reason) = events.find(failed).await.expect("a failed attempt");
    let told: Vec<_> = tried
        .iter()
        .map(|failure| {
            failure
                .address
                .as_ref()
                .and_then(|address| address.socket_addr())
        })
        .collect();
    assert_eq!(told, addresses.map(Some));
    assert!(matches!(tried[0].reason, RefusalReason::Unreachable(_)));
    assert_eq!(tried[1].reason, RefusalReason::TimedOut);
    assert!(tried[1].after >= HANDSHAKE && tried[1].after < NEVER);
    // Its end is a reset if it comes over our HELLO.
    assert!(
        matches!(
            tried[2].reason,
            RefusalReason::Ended { received: 0 } | RefusalReason::Transport(_)
        ),
        "{:?}",
        tried[2].reason
    );
    assert_eq!(reason, tried[2].reason);
    let shown = tried[1].to_string();
    assert!(
        shown.starts_with(&format!("{} after ", addresses[1])),
        "{shown}"
    );
    client.close().await;
}

#[actix::test]
async fn an_address_that_we_are_is_passed_over() {
    let (server, address) = good().await;
    let (other, there) = good().await;
    let options = ConnectOptions::new().resolve_to([address, there]);
    server
        .connect_with("tcp://service.example:1", options)
        .await
        .unwrap();
    server.send_to(other.identity(), "found").await.unwrap();
    within_patience("the message", other.recv()).await.unwrap();
    server.close().await;
    other.close().await;
}

#[cfg(feature = "tls-dev")]
#[actix::test]
async fn a_good_address_is_found_behind_one_whose_certificate_is_refused() {
    use actix_aiomsg::{BindOptions, tls::Tls};

    let (ours, theirs) = (Tls::dev(), Tls::dev());
    let mut servers = Vec::new();
    for authority in [&theirs, &ours] {
        let server = Socket::start().unwrap();
        let options = BindOptions::new().tls(authority.server());
        let endpoint = server
            .bind_with("tls://127.0.0.1:0", options)
            .await
            .unwrap();
        servers.push((server, endpoint.port().unwrap()));
    }
    let addresses = servers
        .iter()
        .map(|(_, port)| (Ipv4Addr::LOCALHOST, *port).into());
    let options = ConnectOptions::new()
        .tls(ours.client())
        .resolve_to(addresses);
    let (client, _events) = dialler();
    client
        .connect_with("tls://localhost:1", options)
        .await
        .unwrap();
    client.send("found").await.unwrap();
    within_patience("the message", servers[1].0.recv())
        .await
        .unwrap();
    client.close().await;
}

/// A message from each of these addresses, over connections to one port of `server`.
async fn is_served_at(server: &Socket, port: u16, hosts: &[&str]) {
    for host in hosts {
        let client = Socket::start().unwrap();
        client.connect((*host, port)).await.unwrap();
        client.send(host.to_string()).await.unwrap();
        let received = within_patience(host, server.recv()).await.unwrap();
        assert_eq!(received.payload()[..], *host.as_bytes());
        client.close().await;
    }
}

#[actix::test]
async fn every_ipv4_and_every_ipv6_address_are_bound_on_one_port_in_either_order() {
    for order in [["0.0.0.0", "::"], ["::", "0.0.0.0"]] {
        let socket = Socket::start().unwrap();
        let first = socket.bind((order[0], 0)).await.unwrap();
        let port = first.port().unwrap();
        let second = socket.bind((order[1], port)).await.unwrap();
        assert_eq!(second.port(), Some(port));
        is_served_at(&socket, port, &["127.0.0.1", "::1"]).await;
        for again in order {
            let refused = socket.bind((again, port)).await;
            assert!(refused.is_err(), "{again} is bound already");
        }
        let other = Socket::start().unwrap();
        for taken in order {
            assert!(other.bind((taken, port)).await.is_err(), "{taken} is taken");
        }
        other.close().await;
        socket.close().await;
    }
}

#[actix::test]
async fn every_ipv6_address_alone_serves_ipv4_peers_too() {
    let socket = Socket::start().unwrap();
    let port = socket.bind("[::]:0").await.unwrap().port().unwrap();
    is_served_at(&socket, port, &["127.0.0.1", "::1"]).await;
    // Half of a port that another socket has is no port.
    let other = Socket::start().unwrap();
    let port = other.bind("0.0.0.0:0").await.unwrap().port().unwrap();
    assert!(socket.bind(("::", port)).await.is_err());
    other.close().await;
    socket.close().await;
}

/// A bind end that answers each upgrade with this status, and yields each request.
fn answering(status: &'static str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (requests, received) = tokio::sync::mpsc::unbounded_channel();
    let address = stranger(move |mut stream| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            request.extend(byte);
        }
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        // A peer that closes asks for nothing.
        if !request.is_empty() {
            let _ = requests.send(String::from_utf8(request).unwrap());
        }
    });
    (address.port(), received)
}

#[actix::test]
async fn an_upgrade_has_the_headers_and_the_query_of_each_attempt() {
    let (port, mut requests) = answering("401 Unauthorized");
    let builder = Socket::builder().reconnect(Backoff::fixed(Duration::from_millis(1)));
    let socket = builder.start().unwrap();
    let attempts = AtomicU32::new(0);
    let options = ConnectOptions::new()
        .header("Cookie", "session=abc")
        .header("Host", "behind.example")
        .headers_with(move || {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            [("Authorization", format!("Bearer {attempt}"))]
        });
    let endpoint = format!("ws://127.0.0.1:{port}?room=1");
    socket.connect_with(endpoint, options).await.unwrap();
    for attempt in 0..3 {
        let request = within_patience("a request", requests.recv()).await.unwrap();
        assert!(
            request.starts_with("GET /?room=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nCookie: session=abc\r\n"), "{request}");
        let token = format!("\r\nAuthorization: Bearer {attempt}\r\n");
        assert!(request.contains(&token), "{request}");
        assert_eq!(request.matches("Host: ").count(), 1, "{request}");
        assert!(
            request.contains("\r\nHost: behind.example\r\n"),
            "{request}"
        );
    }
    socket.close().await;
}

#[actix::test]
async fn a_refused_upgrade_says_what_was_refused() {
    for (status, expected) in [
        ("401 Unauthorized", RefusalReason::UpgradeUnauthorized),
        ("403 Forbidden", RefusalReason::UpgradeForbidden),
    ] {
        let (port, _requests) = answering(status);
        let (socket, mut events) = dialler();
        let endpoint = format!("ws://127.0.0.1:{port}/?token=secret");
        socket.connect(endpoint).await.unwrap();
        assert_eq!(events.dial_failure().await, expected);
        socket.close().await;
    }
    let (port, _requests) = answering("404 Not Found");
    let (socket, mut events) = dialler();
    socket
        .connect(format!("ws://127.0.0.1:{port}"))
        .await
        .unwrap();
    let reason = events.dial_failure().await;
    assert!(matches!(&reason, RefusalReason::UpgradeDenied(text) if text.contains("404")));
    socket.close().await;
}

#[actix::test]
async fn a_closure_that_panics_is_a_failed_attempt() {
    let (port, mut requests) = answering("401 Unauthorized");
    let (recipient, mut events) = Probe::recipient();
    let builder = Socket::builder().reconnect(Backoff::fixed(Duration::from_millis(1)));
    let socket = builder.on_socket_event(recipient).start().unwrap();
    let attempts = AtomicU32::new(0);
    let options = ConnectOptions::new().headers_with(move || {
        match attempts.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("no token yet"),
            _ => [("Authorization", "Bearer late")],
        }
    });
    socket
        .connect_with(format!("ws://127.0.0.1:{port}"), options)
        .await
        .unwrap();
    let reason = events.dial_failure().await;
    assert!(reason.to_string().contains("panicked"), "{reason}");
    let request = within_patience("a request", requests.recv()).await.unwrap();
    assert!(request.contains("Bearer late"), "{request}");
    socket.close().await;
}

#[actix::test]
async fn an_authorizer_reads_the_headers_of_a_connect_end_of_ours() {
    let builder = Socket::builder().authorize(|peer: Candidate| async move {
        let request = peer.request.expect("it came by WebSocket");
        match request.header("Authorization") {
            Some("Bearer abc") => Admission::admit(),
            _ => Admission::refuse("no token"),
        }
    });
    let server = builder.start().unwrap();
    let endpoint = server.bind("ws://127.0.0.1:0").await.unwrap();
    let (client, _events) = dialler();
    let options = ConnectOptions::new().header("Authorization", "Bearer abc");
    client.connect_with(endpoint, options).await.unwrap();
    client.send("admitted").await.unwrap();
    within_patience("the message", server.recv()).await.unwrap();
    client.close().await;
    server.close().await;
}

#[actix::test]
async fn an_endpoint_that_can_never_work_is_an_error_at_once() {
    use UnusableEndpoint as Unusable;

    let socket = Socket::start().unwrap();
    let unusable = async |text: &str, options: ConnectOptions| match socket
        .connect_with(text, options)
        .await
    {
        Err(ConnectError::Unusable { reason, .. }) => reason,
        other => panic!("{text}: {other:?}"),
    };
    let none = ConnectOptions::new;
    assert_eq!(unusable("tcp://host:0", none()).await, Unusable::PortZero);
    #[cfg(unix)]
    {
        let long = format!("unix:///{}", "a".repeat(200));
        let reason = unusable(&long, none()).await;
        assert!(
            matches!(reason, Unusable::SocketPathTooLong { .. }),
            "{reason}"
        );
        let refused = socket.bind(&long[..]).await.unwrap_err().to_string();
        assert!(refused.contains("the system takes"), "{refused}");
    }
    let reason = unusable("[fe80::1]:4", none()).await;
    assert!(reason.to_string().contains("[fe80::1%eth0]"), "{reason}");
    assert!(matches!(
        socket.connect("[fe80::1%25eth0]:4").await,
        Err(ConnectError::Endpoint(_))
    ));
    let never = none().connect_timeout(Duration::ZERO);
    assert_eq!(
        unusable("tcp://host", never).await,
        Unusable::NoTimeToConnect
    );
    assert_eq!(
        unusable("tcp://host", none().resolve_to([])).await,
        Unusable::NoAddress
    );
    let at = |address: &str| none().resolve_to([address.parse().unwrap()]);
    assert_eq!(
        unusable("tcp://host", at("10.0.0.1:0")).await,
        Unusable::PortZero
    );
    for address in ["224.0.0.1:4", "[ff02::1%2]:4"] {
        let reason = unusable("tcp://host", at(address)).await;
        assert!(matches!(reason, Unusable::NotUnicast { .. }), "{reason}");
    }
    let headers = none().header("Cookie", "a=b");
    let reason = unusable("tcp://host", headers).await;
    assert!(
        matches!(reason, Unusable::HeadersWithoutRequest { .. }),
        "{reason}"
    );
    let split = none().header("X", "a\r\nY: b");
    let reason = unusable("ws://host", split).await;
    assert!(matches!(reason, Unusable::Header { .. }), "{reason}");
    #[cfg(feature = "tls")]
    {
        let reason = unusable("tls://bücher.example", none()).await;
        assert!(matches!(reason, Unusable::TlsName { .. }), "{reason}");
    }
    #[cfg(not(feature = "tls"))]
    for text in ["tls://host", "wss://host"] {
        let reason = unusable(text, none()).await;
        assert!(reason.to_string().contains("feature \"tls\""), "{reason}");
    }
    socket.close().await;
}
