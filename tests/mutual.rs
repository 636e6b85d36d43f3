//! Two sockets that dial each other: one connection is enough, and the other dialer waits for its end.

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use support::events::PeerProbe;
use support::host::Host;
use support::log::Log;
use support::raw_peer::RawPeer;
use support::slow_line::slow_line;
use support::{aside, eventually};

const PEER: [u8; 16] = [7; 16];

/// How soon a dialer that does not wait would dial again.
const PACE: Duration = Duration::from_millis(5);

/// A socket that dials a scripted bind end, which may dial it in return.
struct Pair {
    host: Host,
    listener: Arc<TcpListener>,
}

impl Pair {
    async fn new() -> Self {
        let builder = Socket::builder().reconnect(Backoff::exponential(PACE, PACE));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            host: Host::alone(builder).await,
            listener: Arc::new(listener),
        }
    }

    async fn connect(&self) {
        let endpoint = format!("tcp://{}", self.listener.local_addr().unwrap());
        self.host.socket.connect(endpoint).await.unwrap();
    }

    /// The bind end hears our HELLO, and says its own.
    async fn is_answered(&mut self) -> RawPeer {
        let listener = Arc::clone(&self.listener);
        aside(move || {
            let mut peer = RawPeer::accept(&listener);
            peer.expect_hello();
            peer.hello(PEER);
            peer
        })
        .await
    }

    /// The bind end hears our HELLO, and closes without a word, as it does when it has us already.
    async fn is_turned_away(&mut self) {
        let listener = Arc::clone(&self.listener);
        aside(move || RawPeer::accept(&listener).expect_hello()).await;
        let refusal = self.host.refusal().await;
        assert_eq!(refusal, RefusalReason::Ended { received: 0 });
    }

    /// The bind end dials us.
    async fn is_dialled(&mut self) -> RawPeer {
        let address = self.host.address;
        let link = aside(move || RawPeer::introduced(address, PEER)).await;
        self.is_up().await;
        link
    }

    async fn is_up(&mut self) {
        assert_eq!(self.host.peers.up().await, Identity::from_bytes(PEER));
    }

    async fn is_dialling(&mut self) {
        let dialling = |event| matches!(event, SocketEvent::Dialling { .. }).then_some(());
        self.host.event(dialling).await;
    }

    /// Our dialer does nothing for many times as long as it would take it to dial again, until the
    /// connection ends by which the bind end has dialled us.
    async fn dials_only_when_it_ends(&mut self, link: RawPeer) {
        let next = tokio::time::timeout(40 * PACE, self.is_dialling()).await;
        assert!(next.is_err(), "it dials a peer that is connected");
        let socket = &self.host.socket;
        eventually("one connection", || socket.stats().connections == 1).await;
        drop(link);
        self.is_dialling().await;
        let _ours = self.is_answered().await;
        self.is_up().await;
    }
}

#[actix::test]
async fn a_dialer_that_finds_its_peer_connected_dials_again_only_when_that_connection_ends() {
    let mut pair = Pair::new().await;
    let link = pair.is_dialled().await;
    pair.connect().await;
    pair.is_dialling().await;
    let second = pair.is_answered().await;
    assert_eq!(pair.host.refusal().await, RefusalReason::Duplicate);
    drop(second);
    pair.dials_only_when_it_ends(link).await;
}

#[actix::test]
async fn a_dialer_that_is_turned_away_by_a_connected_peer_waits_for_the_end_of_that_connection() {
    let mut pair = Pair::new().await;
    pair.connect().await;
    let first = pair.is_answered().await;
    pair.is_up().await;
    drop(first);
    pair.host.peers.down().await;
    // It dials us before it answers our next call, which therefore is one too many.
    let link = pair.is_dialled().await;
    pair.is_turned_away().await;
    pair.dials_only_when_it_ends(link).await;
}

#[actix::test]
async fn a_dialer_that_is_turned_away_by_a_peer_that_is_not_connected_goes_on_dialling() {
    let mut pair = Pair::new().await;
    pair.connect().await;
    let first = pair.is_answered().await;
    drop(first);
    for _ in 0..3 {
        pair.is_turned_away().await;
    }
    let back = pair.is_answered().await;
    for _ in 0..2 {
        pair.is_up().await;
    }
    drop(back);
}

/// Two sockets that have a listener each.
async fn two_bound(scheme: &str) -> [(Socket, Endpoint); 2] {
    let bound = async || {
        let builder = Socket::builder().reconnect(Backoff::exponential(PACE, PACE));
        let socket = builder.start().unwrap();
        let endpoint = socket.bind(format!("{scheme}://127.0.0.1:0")).await;
        (socket, endpoint.unwrap())
    };
    [bound().await, bound().await]
}

#[actix::test]
async fn two_sockets_that_dial_each_other_at_once_over_a_slow_line_keep_one_connection_and_lose_nothing()
 {
    const MESSAGES: usize = 50;
    for scheme in ["tcp", "ws"] {
        let both = two_bound(scheme).await;
        let [(one, at_one), (other, at_other)] = &both;
        for (from, to) in [(one, at_other), (other, at_one)] {
            let line = slow_line(to.port().unwrap(), Duration::from_millis(100)).await;
            from.connect(format!("{scheme}://127.0.0.1:{line}"))
                .await
                .unwrap();
            for number in 0..MESSAGES {
                from.send(number.to_string()).await.unwrap();
            }
        }
        for socket in [one, other] {
            for number in 0..MESSAGES {
                let message = socket.recv().await.unwrap();
                assert_eq!(message.text().unwrap(), number.to_string());
            }
            let stats = socket.stats();
            assert_eq!((stats.joins, stats.dead_letters), (1, 0), "{scheme}");
        }
    }
}

#[actix::test]
async fn a_socket_that_dials_whom_it_is_connected_to_learns_it_and_waits() {
    for scheme in ["tcp", "ws"] {
        let (log, _guard) = Log::begin(tracing::Level::WARN);
        let both = two_bound(scheme).await;
        let [(one, at_one), (other, at_other)] = &both;
        one.connect(at_other.clone()).await.unwrap();
        eventually("they are connected", || other.stats().peers == 1).await;
        let (recipient, mut events) = actix_aiomsg::testing::Probe::recipient();
        other.socket_events(recipient);
        other.connect(at_one.clone()).await.unwrap();
        let found = |event| match event {
            SocketEvent::HandshakeRefused { reason, .. } => Some(reason),
            _ => None,
        };
        let mut reasons = Vec::new();
        while reasons.last() != Some(&RefusalReason::Duplicate) {
            reasons.push(events.find(found).await.unwrap());
            assert!(reasons.len() <= 2, "{reasons:?}");
        }
        // Many times as long as it would take a dialer that does not wait.
        let dialling = |event| matches!(event, SocketEvent::Dialling { .. }).then_some(());
        let next = tokio::time::timeout(40 * PACE, events.find(dialling)).await;
        assert!(next.is_err(), "it dials a peer that is connected");
        assert_eq!(other.stats().joins, 1);
        assert_eq!(log.text(), "", "{scheme}");
        // When that connection ends, there is the other one.
        one.stop_connecting(at_other.clone()).await.unwrap();
        eventually("it has dialled", || {
            (other.stats().joins, one.stats().peers) == (2, 1)
        })
        .await;
    }
}
