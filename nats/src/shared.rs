//! What all parts of a bridge share, restarts included.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_aiomsg::health::Unready;
use actix_aiomsg::stats::SocketPhase;
use actix_aiomsg::{Identity, Socket};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Bridge;
use crate::event::BridgeEvent;
use crate::stats::{Counters, add};

/// A line that messages cause is logged once in this time.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// How old a list of connected peers is at most. To make one, the socket looks at each connection.
const PEERS_EVERY: Duration = Duration::from_millis(100);

/// Lives for as long as the bridge does.
pub(crate) struct Shared {
    pub(crate) settings: Bridge,
    pub(crate) socket: Socket,
    pub(crate) counters: Counters,
    pub(crate) up: watch::Sender<bool>,
    stopping: AtomicBool,
    refusals: LineLimit,
    drops: LineLimit,
    pub(crate) server_errors: LineLimit,
    pub(crate) client_errors: LineLimit,
    connected: Mutex<Connected>,
}

/// The peers that were connected a moment ago.
#[derive(Debug, Default)]
struct Connected {
    seen: Option<Instant>,
    peers: HashSet<Identity>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(settings: Bridge, socket: Socket) -> Self {
        Self {
            settings,
            socket,
            counters: Counters::default(),
            up: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
            refusals: LineLimit::default(),
            drops: LineLimit::default(),
            server_errors: LineLimit::default(),
            client_errors: LineLimit::default(),
            connected: Mutex::default(),
        }
    }

    /// From now on the bridge takes nothing new.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// True when nothing new is to be taken from the socket.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) || self.is_closed()
    }

    /// True when nothing new is to be taken from NATS. While the socket drains, what it has received still goes out.
    pub(crate) fn takes_nothing_in(&self) -> bool {
        self.is_stopping() || {
            let health = self.socket.health();
            let draining = |unready: &Unready| matches!(unready, Unready::Draining);
            health.unready().iter().any(draining)
        }
    }

    /// True when the socket is closed, or about to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.socket.state().borrow().phase == SocketPhase::Closed
    }

    /// True when there is somebody to send a message to: this peer, or else any.
    pub(crate) fn has_receiver(&self, peer: Option<Identity>) -> bool {
        let Some(peer) = peer else {
            return self.socket.state().borrow().peers > 0;
        };
        let connected = self.connected.lock();
        let mut connected = connected.unwrap_or_else(PoisonError::into_inner);
        if connected
            .seen
            .is_none_or(|seen| seen.elapsed() >= PEERS_EVERY)
        {
            connected.seen = Some(Instant::now());
            connected.peers = self.socket.peers().iter().map(|peer| peer.peer).collect();
        }
        connected.peers.contains(&peer)
    }

    pub(crate) fn tell(&self, event: BridgeEvent) {
        if let Some(recipient) = &self.settings.events
            && recipient.try_send(event).is_err()
        {
            add(&self.counters.missed_events);
        }
    }

    /// A message of, or for, a peer will never be taken.
    pub(crate) fn refused(&self, peer: Option<Identity>, reason: &str) {
        if let Some(unlogged) = self.refusals.permit() {
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::warn!(%peer, reason, unlogged, "a message is refused at the bridge to NATS");
        }
        let reason = reason.to_owned();
        self.tell(BridgeEvent::Refused { peer, reason });
    }

    /// A message of a subject without a stream is lost.
    pub(crate) fn dropped(&self, reason: &str) {
        if let Some(unlogged) = self.drops.permit() {
            tracing::warn!(reason, unlogged, "messages of a subject are dropped");
        }
    }
}

/// One line in a while, and how many there would have been.
#[derive(Debug, Default)]
pub(crate) struct LineLimit {
    last: Mutex<Option<Instant>>,
    unlogged: AtomicU64,
}

impl LineLimit {
    /// How many lines were left out, if one is due.
    pub(crate) fn permit(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < LINE_EVERY) {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(Instant::now());
        Some(self.unlogged.swap(0, Ordering::Relaxed))
    }
}
