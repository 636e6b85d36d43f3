//! What is read past a full inbox, for the sake of an acknowledgement or an answer behind it, is handled or
//! accounted for; and a connection on which that is not enough ends by rule.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_aiomsg::ask::Whom;
use actix_aiomsg::event::DownReason;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use bytes::Bytes;
use support::each::each;
use support::events::peer_events;
use support::log::Log;
use support::raw_peer::{DATA, RawPeer, frame};
use support::{aside, eventually, within_patience};
use tracing::Level;

const FLOOD: usize = 2_000;

/// A socket with a small inbox, and a peer that is asked something and never answers.
struct Scene {
    socket: Socket,
    peers: Probe<PeerEvent>,
    peer: Option<RawPeer>,
}

impl Scene {
    async fn new(builder: SocketBuilder) -> Self {
        let socket = builder.inbox_capacity(64, 16 << 10).start().unwrap();
        let peers = peer_events(&socket);
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        let port = endpoint.port().expect("a TCP endpoint");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let peer = aside(move || RawPeer::introduced(address, [1; 16])).await;
        let asking = socket
            .ask(Whom::Any, &Bytes::from_static(b"anybody there?"))
            .timeout(Duration::from_secs(600));
        actix::spawn(asking);
        eventually("the ask", || socket.stats().asks == 1).await;
        Self {
            socket,
            peers,
            peer: Some(peer),
        }
    }

    fn peer(&mut self) -> RawPeer {
        self.peer.take().expect("it is asked for once")
    }

    async fn down_reason(&mut self) -> DownReason {
        let down = |event| match event {
            PeerEvent::Down { reason, .. } => Some(reason),
            _ => None,
        };
        self.peers
            .find(down)
            .await
            .expect("the end of the connection")
    }
}

fn flood() -> Vec<u8> {
    frame(DATA, &[b'x'; 100]).repeat(FLOOD)
}

#[actix::test]
async fn what_was_read_while_an_ask_was_open_outlives_its_connection() {
    let mut scene = Scene::new(Socket::builder()).await;
    let mut messages = scene.socket.messages();
    let mut peer = scene.peer();
    let said = aside(move || {
        peer.say(&flood());
        peer
    });
    let peer = within_patience("what the peer says", said).await;
    let socket = scene.socket.clone();
    eventually("what it said", || socket.stats().received == FLOOD as u64).await;
    assert!(socket.stats().read_ahead_bytes > 0);
    drop(peer);
    scene.down_reason().await;
    for _ in 0..FLOOD {
        let message = within_patience("a message", messages.next()).await;
        assert!(message.is_some());
    }
    let stats = socket.stats();
    assert_eq!((stats.dead_letters, stats.read_ahead_bytes), (0, 0));
}

#[actix::test]
async fn a_drained_socket_handles_what_it_reads_for_an_answer() {
    let mut scene = Scene::new(Socket::builder()).await;
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    each(&scene.socket, move |_: Received| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    scene.socket.drain(Duration::from_secs(10)).await.unwrap();
    let mut peer = scene.peer();
    let _peer = aside(move || {
        peer.say(&flood());
        peer
    })
    .await;
    eventually("all messages", || handled.load(Ordering::SeqCst) == FLOOD).await;
    assert_eq!(scene.socket.stats().dead_letters, 0);
}

#[actix::test]
async fn a_connection_that_is_read_ahead_to_its_bound_while_nothing_is_handled_ends_as_stalled() {
    let (log, _logging) = Log::begin(Level::INFO);
    let builder = Socket::builder().standstill_timeout(Duration::from_millis(100));
    let mut scene = Scene::new(builder).await;
    // Somebody receives, and handles nothing.
    let _messages = scene.socket.messages();
    let mut peer = scene.peer();
    let flooding = actix::spawn(aside(move || while peer.try_say(&flood()) {}));
    let reason = within_patience("the end", scene.down_reason()).await;
    assert_eq!(reason, DownReason::Stalled);
    log.has(&["WARN", "our handlers finish nothing"]).await;
    flooding.await.unwrap();
    let stats = scene.socket.stats();
    assert!(stats.read_ahead_bytes <= 256 << 10, "{stats:?}");
    assert_eq!(stats.received, stats.inbox_messages as u64, "{stats:?}");
}

#[actix::test]
async fn whoever_subscribes_a_moment_after_the_inbox_is_full_gets_all_that_has_come() {
    let mut scene = Scene::new(Socket::builder()).await;
    let mut peer = scene.peer();
    let _peer = aside(move || {
        peer.say(&flood());
        peer
    })
    .await;
    let socket = scene.socket.clone();
    eventually("what it said", || socket.stats().received > 0).await;
    // The inbox is full, and what we wait for may be behind it. Whoever comes earlier proves less.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut messages = socket.messages();
    for _ in 0..FLOOD {
        let message = within_patience("a message", messages.next()).await;
        assert!(message.is_some());
    }
    assert_eq!(socket.stats().dead_letters, 0);
}

#[actix::test]
async fn a_source_that_never_receives_gets_its_acknowledgements_from_behind_what_comes() {
    const MESSAGES: usize = 20_000;
    let (log, _logging) = Log::begin(Level::INFO);
    let at_least_once = || Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let source = at_least_once().start().unwrap();
    let echo = at_least_once().start().unwrap();
    each(&echo, |message: Received| {
        message.reply(message.payload().clone()).unwrap();
    });
    let endpoint = echo.bind("127.0.0.1:0").await.unwrap();
    source.connect(endpoint).await.unwrap();
    source.wait_for_peers(1).await.unwrap();
    let all = async {
        for _ in 0..MESSAGES {
            source.send(vec![b'x'; 100]).await.unwrap();
        }
        source.flush().await.unwrap();
    };
    within_patience("all acknowledgements", all).await;
    let stats = source.stats();
    assert_eq!(stats.acknowledged, MESSAGES as u64);
    assert!(stats.losses.unclaimed > 0, "{stats:?}");
    assert_eq!(stats.losses.unclaimed, stats.dead_letters, "{stats:?}");
    let warned = log.lines_with("messages that nobody receives are dropped");
    assert_eq!(warned.len(), 1, "{warned:?}");
}
