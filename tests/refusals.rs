//! Connections that end before they carry anything, with the reason that is told. Peers that say
//! something that is no HELLO are in `hostile.rs`.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{SocketBuilder, transport::UpgradeFault};
use support::aside;
use support::events::SocketProbe;
use support::host::Host;
use support::raw_peer::RawPeer;

const ME: [u8; 16] = [7; 16];

/// A socket that dials at once again, and what it says of itself.
fn dialling(builder: SocketBuilder) -> (Socket, Probe<SocketEvent>) {
    let (recipient, events) = Probe::recipient();
    let builder = builder.reconnect(Backoff::fixed(Duration::from_millis(5)));
    let socket = builder.on_socket_event(recipient).start().unwrap();
    (socket, events)
}

/// What a socket tells of an endpoint whose bind end does `behave` with each connection.
async fn dialled(
    scheme: &str,
    mut behave: impl FnMut(RawPeer) + Send + 'static,
) -> (Socket, RefusalReason) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (socket, mut events) = dialling(Socket::builder());
    socket
        .connect(format!("{scheme}://{address}"))
        .await
        .unwrap();
    aside(move || behave(RawPeer::accept(&listener))).await;
    (socket, events.dial_failure().await)
}

#[actix::test]
async fn a_bind_end_whose_name_has_no_address_is_unreachable() {
    let (socket, mut events) = dialling(Socket::builder());
    socket.connect("tcp://nowhere.invalid:1").await.unwrap();
    let reason = events.dial_failure().await;
    assert!(
        matches!(&reason, RefusalReason::Unreachable(why) if why.contains("nowhere.invalid")),
        "{reason:?}"
    );
}

#[actix::test]
async fn a_bind_end_that_closes_in_place_of_its_hello_ended_the_handshake() {
    let (_socket, reason) = dialled("tcp", |mut peer| {
        peer.expect_hello();
        peer.finish();
        peer.expect_end();
    })
    .await;
    assert_eq!(reason, RefusalReason::Ended { received: 0 });
}

#[actix::test]
async fn a_bind_end_that_closes_inside_its_hello_ended_the_handshake() {
    let (_socket, reason) = dialled("tcp", |mut peer| {
        peer.say(&support::raw_peer::hello(ME)[..9]);
        peer.finish();
        peer.expect_end();
    })
    .await;
    assert_eq!(reason, RefusalReason::Ended { received: 9 });
}

#[actix::test]
async fn a_connection_that_is_reset_in_the_handshake_broke() {
    let (_socket, reason) = dialled("tcp", |mut peer| {
        peer.expect_hello();
        peer.reset();
    })
    .await;
    assert!(
        matches!(&reason, RefusalReason::Transport(why) if why.contains("HELLO")),
        "{reason:?}"
    );
}

#[actix::test]
async fn a_web_server_that_denies_the_upgrade_is_told_with_its_status() {
    let (_socket, reason) = dialled("ws", |mut peer| {
        peer.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        peer.expect_end();
    })
    .await;
    assert!(
        matches!(&reason, RefusalReason::UpgradeDenied(why) if why.contains("404")),
        "{reason:?}"
    );
}

#[actix::test]
async fn a_redirected_upgrade_says_so_and_where_to_and_is_not_followed() {
    for (answer, said) in [
        (
            "301 Moved Permanently\r\nLocation: https://new.example/a?token=theirs",
            "connect to wss://new.example:443/a?… if",
        ),
        ("302 Found\r\nlocation: /login", "/login if that is meant"),
        ("308 Permanent Redirect", "does not say where to"),
    ] {
        let (_socket, reason) = dialled("ws", move |mut peer| {
            let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            peer.say(head.as_bytes());
            peer.expect_end();
        })
        .await;
        assert!(
            matches!(&reason, RefusalReason::UpgradeDenied(why) if why.contains(said) && why.contains(&answer[..3])),
            "{reason:?}"
        );
        assert!(!reason.to_string().contains("theirs"), "{reason}");
    }
}

#[actix::test]
async fn a_request_of_a_browser_is_a_refused_upgrade() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut browser = RawPeer::connect(address);
        browser.say(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n");
        browser.expect_end();
    })
    .await;
    let plain = RefusalReason::Upgrade(UpgradeFault::PlainGet);
    assert_eq!(host.refusal().await, plain);
    host.still_serves().await;
}

#[actix::test]
async fn a_tls_peer_at_a_plain_port_is_told_so() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.say(&[0x16, 3, 1]);
        peer.expect_end();
    })
    .await;
    assert_eq!(host.refusal().await, RefusalReason::TlsOnPlainPort);
}

#[actix::test]
async fn a_dialer_that_finds_the_limit_reached_says_so() {
    let (server, _) = dialling(Socket::builder());
    let elsewhere = server.bind("127.0.0.1:0").await.unwrap();
    let (socket, mut events) = dialling(Socket::builder().max_connections(1));
    let here = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], here.port().unwrap());
    let first = aside(move || RawPeer::introduced(address, ME)).await;
    socket.connect(elsewhere).await.unwrap();
    assert_eq!(events.dial_failure().await, RefusalReason::LimitReached);
    drop(first);
    socket.wait_for_peers(1).await.unwrap();
}

#[cfg(feature = "tls-dev")]
mod tls {
    use super::support::events::without_detail;
    use super::*;
    use actix_aiomsg::{
        BindOptions, ConnectOptions,
        tls::{Tls, TlsClient, TlsServer},
        transport::{RefusedBy, TlsRefusal},
    };

    /// What both ends tell, the connect end first.
    async fn refusals(server: TlsServer, client: TlsClient) -> [RefusalReason; 2] {
        let (listening, mut at_server) = dialling(Socket::builder());
        let (connecting, mut at_client) = dialling(Socket::builder());
        let options = BindOptions::new().tls(server);
        let endpoint = listening
            .bind_with("tls://127.0.0.1:0", options)
            .await
            .unwrap();
        let options = ConnectOptions::new().tls(client);
        connecting.connect_with(endpoint, options).await.unwrap();
        [
            at_client.dial_failure().await,
            refusal(&mut at_server).await,
        ]
    }

    /// Why the next connection that a peer made was refused.
    async fn refusal(events: &mut Probe<SocketEvent>) -> RefusalReason {
        let refused = |event| match event {
            SocketEvent::HandshakeRefused {
                reason,
                role: Role::BindEnd,
                ..
            } => Some(reason),
            _ => None,
        };
        events.find(refused).await.expect("a refusal")
    }

    fn tls(by: RefusedBy, refusal: TlsRefusal) -> RefusalReason {
        let detail = String::new();
        RefusalReason::Tls {
            by,
            refusal,
            detail,
        }
    }

    #[actix::test]
    async fn a_certificate_that_is_not_trusted_is_told_at_both_ends() {
        let told = refusals(Tls::dev().server(), Tls::dev().client()).await;
        let unknown = TlsRefusal::UnknownAuthority;
        let expected = [tls(RefusedBy::Us, unknown), tls(RefusedBy::Peer, unknown)];
        // The end that refuses knows of whom.
        assert!(told[0].to_string().contains("signed by"), "{}", told[0]);
        assert_eq!(told.map(without_detail), expected);
    }

    #[actix::test]
    async fn a_client_without_the_certificate_it_needs_is_told_at_both_ends() {
        let authority = Tls::dev();
        let told = refusals(authority.mutual_server(), authority.client()).await;
        let missing = TlsRefusal::NoCertificate;
        let expected = [tls(RefusedBy::Peer, missing), tls(RefusedBy::Us, missing)];
        assert_eq!(told, expected);
    }

    #[actix::test]
    async fn a_handshake_that_makes_no_sense_fails_by_its_protocol() {
        let (listening, mut at_server) = dialling(Socket::builder());
        let options = BindOptions::new().tls(Tls::dev().server());
        let endpoint = listening
            .bind_with("tls://127.0.0.1:0", options)
            .await
            .unwrap();
        let address = ([127, 0, 0, 1], endpoint.port().unwrap());
        aside(move || {
            let mut peer = RawPeer::connect(address);
            // A record that says it is a ClientHello, and is empty.
            peer.say(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
            peer.finish();
            peer.expect_end();
        })
        .await;
        let expected = tls(RefusedBy::Us, TlsRefusal::Protocol);
        let told = refusal(&mut at_server).await;
        assert!(told.to_string().contains("corrupt message"), "{told}");
        assert_eq!(without_detail(told), expected);
    }
}
