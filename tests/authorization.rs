//! Who may come in: what an authorizer sees, and what becomes of a peer while it decides and after.

mod support;

use std::future::pending;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    SocketBuilder,
    authorize::{Admission, Candidate},
    event::RefusalReason,
    transport::TransportKind,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use support::events::SocketProbe;
use support::host::Host;
use support::panics::print_panics_briefly;
use support::raw_peer::{RawPeer, frame, hello};
use support::{aside, eventually, within_patience};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message as WsMessage;

const ME: [u8; 16] = [7; 16];

/// Longer than anything that would be sent at once takes.
const PAUSE: Duration = Duration::from_millis(100);

/// The next message, and whom it is from.
async fn received(socket: &Socket) -> (Identity, String) {
    let message = within_patience("a message", socket.recv()).await.unwrap();
    (message.peer(), message.text().unwrap().to_owned())
}

async fn bound(socket: &Socket) -> SocketAddr {
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    ([127, 0, 0, 1], endpoint.port().unwrap()).into()
}

#[actix::test]
async fn nothing_is_sent_or_delivered_before_the_authorizer_has_decided() {
    let gate = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&gate);
    let socket = Socket::builder()
        .authorize(move |_: Candidate| {
            let gate = Arc::clone(&own);
            async move {
                drop(gate.acquire().await);
                Admission::admit()
            }
        })
        .start()
        .unwrap();
    let address = bound(&socket).await;
    socket.send("waits for a peer").await.unwrap();
    let peer = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.hello(ME);
        peer.data(b"pipelined");
        assert!(peer.is_silent_for(PAUSE), "nobody has admitted it");
        peer
    })
    .await;
    let stats = socket.stats();
    assert_eq!((stats.peers, stats.received, stats.joins), (0, 0, 0));
    gate.add_permits(1);
    aside(move || {
        let mut peer = peer;
        peer.expect_hello();
        assert_eq!(peer.expect_data(), b"waits for a peer");
    })
    .await;
    let (from, text) = received(&socket).await;
    assert_eq!((from, &text[..]), (Identity::from_bytes(ME), "pipelined"));
}

#[actix::test]
async fn what_arrives_while_the_authorizer_decides_stays_in_the_kernel() {
    let socket = Socket::builder()
        .authorize(|_: Candidate| pending::<Admission>())
        .start()
        .unwrap();
    let address = bound(&socket).await;
    let taken = aside(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&hello(ME)).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let message = frame(support::raw_peer::DATA, &vec![0; 1 << 20]);
        let mut taken = 0_usize;
        loop {
            match stream.write(&message) {
                Ok(written) => taken += written,
                Err(error) => {
                    assert!(matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut
                    ));
                    return taken;
                }
            }
            assert!(taken < 1 << 30, "somebody reads");
        }
    })
    .await;
    assert!(taken > 0);
    assert_eq!(socket.stats().received, 0);
}

/// Starts a socket with this authorizer, and lets a peer of ours dial it.
async fn refused_by(builder: SocketBuilder) -> (RefusalReason, Probe<SocketEvent>, Socket, Host) {
    let mut host = Host::alone(builder).await;
    let (recipient, events) = Probe::recipient();
    let client = Socket::builder()
        .on_socket_event(recipient)
        .start()
        .unwrap();
    client.connect(host.endpoint()).await.unwrap();
    let reason = host
        .event(|event| match event {
            SocketEvent::HandshakeRefused {
                peer, role, reason, ..
            } => {
                assert!(peer.is_some());
                assert_eq!(role, Role::BindEnd);
                Some(reason)
            }
            _ => None,
        })
        .await;
    assert_eq!(host.socket.stats().peers, 0);
    (reason, events, client, host)
}

#[actix::test]
async fn a_refused_peer_is_told_of_at_both_ends_and_comes_back_at_the_pace_of_its_backoff() {
    let builder =
        Socket::builder().authorize(async |_: Candidate| Admission::refuse("not on the list"));
    let (reason, mut events, client, host) = refused_by(builder).await;
    assert_eq!(
        reason,
        RefusalReason::Unauthorized("not on the list".to_owned())
    );
    // Attempts count on, so the delays grow: a refusal is no success.
    for expected in 1..=4 {
        let failed = |event| match event {
            SocketEvent::DialFailed {
                attempt, reason, ..
            } => Some((attempt, reason)),
            _ => None,
        };
        let (attempt, reason) = events.find(failed).await.expect("a failed attempt");
        assert_eq!(attempt, expected);
        assert_eq!(reason, RefusalReason::Ended { received: 0 });
    }
    assert_eq!(client.stats().joins, 0);
    drop(host);
}

#[actix::test]
async fn a_peer_is_refused_when_the_deadline_of_the_decision_is_over() {
    let builder = Socket::builder()
        .authorization_timeout(Duration::from_millis(50))
        .authorize(|_: Candidate| pending::<Admission>());
    let (reason, ..) = refused_by(builder).await;
    assert_eq!(reason, RefusalReason::AuthorizationTimedOut);
}

#[actix::test]
async fn an_authorizer_that_panics_refuses_and_is_asked_again() {
    print_panics_briefly();
    let calls = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&calls);
    let builder = Socket::builder().authorize(move |_: Candidate| {
        let call = own.fetch_add(1, Ordering::Relaxed);
        assert!(call > 0, "the first call panics");
        async move {
            assert!(call > 1, "the future of the second panics");
            Admission::admit()
        }
    });
    let (reason, _, client, mut host) = refused_by(builder).await;
    assert_eq!(reason, RefusalReason::AuthorizerFailed);
    assert_eq!(host.refusal().await, RefusalReason::AuthorizerFailed);
    client.send("third time").await.unwrap();
    assert_eq!(host.message().await, "third time");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

/// Admits peers whose identity begins with its number, and says so to their messages.
struct Doorkeeper(u8);

#[derive(Debug, PartialEq, Eq)]
struct Visitor(u8);

impl Actor for Doorkeeper {
    type Context = Context<Self>;
}

impl Handler<Candidate> for Doorkeeper {
    type Result = Admission;

    fn handle(&mut self, peer: Candidate, ctx: &mut Self::Context) -> Admission {
        match peer.identity.as_bytes()[0] {
            0 => panic!("on demand"),
            1 => {
                ctx.stop();
                Admission::refuse("the last one")
            }
            first if first == self.0 => Admission::admit().with_principal(Visitor(first)),
            _ => Admission::refuse("another number"),
        }
    }
}

#[actix::test]
async fn an_actor_decides_and_what_it_knows_is_on_the_messages() {
    let keeper = Doorkeeper(7).start();
    let socket = Socket::builder()
        .authorize(keeper.recipient())
        .start()
        .unwrap();
    let address = bound(&socket).await;
    aside(move || {
        let mut other = RawPeer::connect(address);
        other.hello([8; 16]);
        other.expect_end();
        RawPeer::introduced(address, ME).data(b"hello");
    })
    .await;
    let message = within_patience("a message", socket.recv()).await.unwrap();
    assert_eq!(message.principal::<Visitor>(), Some(&Visitor(7)));
    assert_eq!(message.principal::<u32>(), None);
    assert!(message.certificates().is_none());
}

#[actix::test]
async fn an_actor_that_panics_or_is_gone_refuses() {
    print_panics_briefly();
    for first in [0, 1] {
        let keeper = Arbiter::new();
        let (sender, address) = tokio::sync::oneshot::channel();
        keeper.spawn_fn(move || {
            // The test waits for it.
            let _ = sender.send(Doorkeeper(7).start().recipient());
        });
        let builder = Socket::builder().authorize(address.await.unwrap());
        let mut host = Host::alone(builder).await;
        let to = host.address;
        aside(move || {
            for identity in [[first; 16], ME] {
                let mut peer = RawPeer::connect(to);
                peer.hello(identity);
                peer.expect_end();
            }
        })
        .await;
        let expected = match first {
            0 => RefusalReason::AuthorizerFailed,
            _ => RefusalReason::Unauthorized("the last one".to_owned()),
        };
        assert_eq!(host.refusal().await, expected);
        assert_eq!(host.refusal().await, RefusalReason::AuthorizerFailed);
    }
}

#[actix::test]
async fn a_peer_is_known_by_the_identity_that_it_was_given_and_cannot_take_anothers() {
    // What a peer has proved stands here in the last byte of what it claims.
    let given = |claimed: Identity| match claimed.as_bytes()[15] {
        1 => Identity::from_name("one"),
        _ => Identity::from_name("two"),
    };
    let socket = Socket::builder()
        .authorize(async move |peer: Candidate| Admission::admit_as(given(peer.identity)))
        .start()
        .unwrap();
    let address = bound(&socket).await;
    let (one, two) = (Identity::from_name("one"), Identity::from_name("two"));
    let mut claims_one = *one.as_bytes();
    claims_one[15] = 2;
    let (mut first, mut second) = aside(move || {
        let mut claims = [0; 16];
        claims[15] = 1;
        let mut first = RawPeer::introduced(address, claims);
        first.data(b"from one");
        let mut second = RawPeer::introduced(address, claims_one);
        second.data(b"from two");
        // Whoever is one already is no second time, under whatever name it comes.
        let mut third = RawPeer::connect(address);
        claims[0] = 9;
        third.hello(claims);
        third.expect_end();
        (first, second)
    })
    .await;
    let mut messages = vec![received(&socket).await, received(&socket).await];
    messages.sort_by_key(|(_, text)| text.clone());
    assert_eq!(
        messages,
        [(one, "from one".to_owned()), (two, "from two".to_owned())]
    );
    socket.send_to(one, "to one").await.unwrap();
    socket.send_to(two, "to two").await.unwrap();
    aside(move || {
        assert_eq!(first.expect_data(), b"to one");
        assert_eq!(second.expect_data(), b"to two");
    })
    .await;
}

#[actix::test]
async fn a_connect_end_judges_whom_it_has_dialled() {
    let server = Socket::start().unwrap();
    let address = bound(&server).await;
    let (recipient, mut events) = Probe::recipient();
    let client = Socket::builder()
        .on_socket_event(recipient)
        .authorize(async |peer: Candidate| {
            assert_eq!(peer.role, Role::ConnectEnd);
            assert_eq!(peer.transport, TransportKind::Tcp);
            assert!(peer.request.is_none());
            Admission::refuse(format!("not {}", peer.address))
        })
        .start()
        .unwrap();
    client.connect(format!("tcp://{address}")).await.unwrap();
    let reason = events.dial_failure().await;
    assert_eq!(
        reason,
        RefusalReason::Unauthorized(format!("not {address}"))
    );
    assert_eq!(client.stats().joins, 0);
}

/// Admits WebSocket peers with the right token, in a cookie or in the query, as their user.
async fn by_token(peer: Candidate) -> Admission {
    let Some(request) = &peer.request else {
        return Admission::refuse("not over WebSocket");
    };
    assert_eq!(request.path(), "/socket");
    assert_eq!(peer.transport, TransportKind::WebSocket);
    let cookie = request.cookie("token").map(str::to_owned);
    let query = || request.query_value("token").map(|token| token.into_owned());
    match cookie.or_else(query).as_deref() {
        Some("ada's secret") => {
            Admission::admit_as(Identity::from_name("ada")).with_principal("ada".to_owned())
        }
        Some(_) => Admission::refuse("a wrong token"),
        None => Admission::refuse("no token"),
    }
}

/// A browser's request: what it is answered after its HELLO and one message.
async fn browse(address: SocketAddr, query: &str, cookie: Option<&str>) -> WsMessage {
    let url = format!("ws://{address}/socket{query}");
    let mut request = url.into_client_request().unwrap();
    if let Some(cookie) = cookie {
        let headers = request.headers_mut();
        headers.insert("Cookie", cookie.parse().unwrap());
    }
    let (mut stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let said = [hello(ME), frame(support::raw_peer::DATA, b"hi")].concat();
    let said = WsMessage::Binary(Bytes::from(said));
    stream.send(said).await.unwrap();
    let answer = within_patience("an answer", stream.next()).await;
    answer.expect("it does not just end").unwrap()
}

#[actix::test]
async fn a_browser_comes_in_with_a_token_in_its_cookie_or_in_the_query() {
    let (recipient, mut events) = Probe::recipient();
    let socket = Socket::builder()
        .on_socket_event(recipient)
        .authorize(by_token)
        .start()
        .unwrap();
    let address = bound(&socket).await;
    let cookie = Some("theme=dark; token=\"ada's secret\"");
    for (query, cookie) in [("", cookie), ("?token=ada%27s+secret", None)] {
        let answer = browse(address, query, cookie).await;
        assert!(
            matches!(&answer, WsMessage::Binary(bytes) if bytes.starts_with(b"\0\0\0\x12\x01\x01")),
            "{answer:?}"
        );
        let message = within_patience("a message", socket.recv()).await.unwrap();
        assert_eq!(message.peer(), Identity::from_name("ada"));
        assert_eq!(message.principal::<String>().unwrap(), "ada");
        let mut state = socket.state();
        let gone = state.wait_for(|state| state.peers == 0);
        within_patience("the browser to go", gone).await.unwrap();
    }
    for (cookie, expected) in [(Some("token=guess"), "a wrong token"), (None, "no token")] {
        let answer = browse(address, "", cookie).await;
        let WsMessage::Close(Some(close)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(u16::from(close.code), 1008);
        let reason = events.refusal().await;
        assert_eq!(reason, RefusalReason::Unauthorized(expected.to_owned()));
    }
}

#[actix::test]
async fn our_own_connect_end_learns_over_websocket_that_it_is_not_wanted() {
    let server = Socket::builder().authorize(by_token).start().unwrap();
    let address = bound(&server).await;
    let (recipient, mut events) = Probe::recipient();
    let client = Socket::builder()
        .on_socket_event(recipient)
        .start()
        .unwrap();
    client
        .connect(format!("ws://{address}/socket"))
        .await
        .unwrap();
    let reason = events.dial_failure().await;
    assert_eq!(reason, RefusalReason::NotWanted);
    let admitted = Socket::start().unwrap();
    admitted
        .connect(format!("ws://{address}/socket?token=ada's%20secret"))
        .await
        .unwrap();
    within_patience("the token to open", admitted.wait_for_peers(1))
        .await
        .unwrap();
}

#[actix::test]
async fn who_waits_to_be_admitted_counts_towards_the_connection_limit() {
    let socket = Socket::builder()
        .max_connections(1)
        .authorize(|_: Candidate| pending::<Admission>())
        .start()
        .unwrap();
    let address = bound(&socket).await;
    let first = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.hello(ME);
        peer
    })
    .await;
    eventually("it to wait", || socket.stats().connections == 1).await;
    let first = aside(move || {
        RawPeer::connect(address).expect_end();
        first
    })
    .await;
    let stats = socket.stats();
    assert_eq!((stats.connections, stats.peers), (1, 0));
    drop(first);
}

#[actix::test]
async fn a_socket_without_an_authorizer_admits_everybody() {
    let mut host = Host::start(Socket::builder()).await;
    let address = host.address;
    aside(move || RawPeer::introduced(address, ME).data(b"hi")).await;
    assert_eq!(host.message().await, "hi");
    host.still_serves().await;
}
