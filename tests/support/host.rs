//! A bound socket that serves a well-behaved peer all the while a test is unkind to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_aiomsg::SocketBuilder;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::each::each;
use super::events::{PeerProbe, SocketProbe, peer_events};
use super::{eventually, within_patience};

/// What the well-behaved peer says, and is answered.
const PING: &[u8] = b"ping of the good peer";

/// A bound socket, its well-behaved peer, and what the socket tells.
pub struct Host {
    pub socket: Socket,
    pub address: SocketAddr,
    pub peers: Probe<PeerEvent>,
    /// What others than the good peer have sent.
    pub messages: mpsc::UnboundedReceiver<Bytes>,
    pub events: Probe<SocketEvent>,
    rounds: Arc<AtomicU64>,
}

impl Host {
    /// Starts and binds the socket, and lets the good peer exchange messages with it from now on.
    pub async fn start(builder: SocketBuilder) -> Self {
        let mut host = Self::alone(builder).await;
        let good = Socket::start().expect("a system runs");
        good.connect(host.endpoint()).await.expect("an endpoint");
        host.peers.up().await;
        let rounds = Arc::clone(&host.rounds);
        actix::spawn(async move {
            while good.send(PING).await.is_ok() {
                if good.recv().await.is_err() {
                    return;
                }
                rounds.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        host
    }

    /// The same without the good peer.
    pub async fn alone(builder: SocketBuilder) -> Self {
        let (log, events) = Probe::recipient();
        let socket = builder.on_socket_event(log).start().expect("a system runs");
        let peers = peer_events(&socket);
        let (messages, received) = mpsc::unbounded_channel();
        each(&socket, move |message| {
            if message.payload() == PING {
                message.reply(PING).expect("there is room for a reply");
            } else {
                // A test that has ended needs no more messages.
                let _ = messages.send(message.into_payload());
            }
        });
        let endpoint = socket.bind("127.0.0.1:0").await.expect("a free port");
        let port = endpoint.port().expect("a TCP endpoint");
        Self {
            socket,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            peers,
            messages: received,
            events,
            rounds: Arc::default(),
        }
    }

    /// Where peers connect to.
    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Waits until the good peer has exchanged more messages.
    pub async fn still_serves(&self) {
        let so_far = self.rounds.load(Ordering::Relaxed);
        eventually("the good peer to be served", || {
            self.rounds.load(Ordering::Relaxed) >= so_far + 3
        })
        .await;
    }

    /// The next message from somebody else than the good peer.
    pub async fn message(&mut self) -> Bytes {
        within_patience("a message", self.messages.recv())
            .await
            .expect("the server lives")
    }

    /// The next event for which `found` finds something.
    pub async fn event<T>(&mut self, found: impl Fn(SocketEvent) -> Option<T>) -> T {
        self.events.find(found).await.expect("a socket event")
    }

    /// Why the next connection was refused.
    pub async fn refusal(&mut self) -> RefusalReason {
        self.events.refusal().await
    }

    /// Why the next connection ended.
    pub async fn down_reason(&mut self) -> DownReason {
        self.peers.end().await.0
    }
}
