//! Tells whoever asked: events of the socket and of its peers, dead letters, and the ends of watched
//! peers.

use std::sync::atomic::AtomicU64;

use actix::Recipient;
use bytes::Bytes;

use crate::engine::LogPermit;
use crate::event::{
    Announcer, DeadLetter, DeadLetterReason, LossCounts, Losses, PeerDown, PeerEvent, PeerWatch,
    SocketEvent, Watchers,
};
#[cfg(feature = "inspection")]
use crate::event::{History, HistoryLine};
use crate::excerpt::Excerpt;
use crate::id::Identity;
use crate::sync::Ordering;
use crate::telemetry::{self, Topic};

/// The events of one socket, and its count of lost messages.
#[derive(Debug)]
pub(crate) struct Events {
    peers: Announcer<PeerEvent>,
    socket: Announcer<SocketEvent>,
    dead_letters: Announcer<DeadLetter>,
    watchers: Watchers,
    lost: AtomicU64,
    losses: LossCounts,
    /// The last of what happened, for whoever inspects the socket; absent where nobody can.
    #[cfg(feature = "inspection")]
    history: std::sync::OnceLock<History>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            peers: Announcer::new(),
            socket: Announcer::new(),
            dead_letters: Announcer::new(),
            watchers: Watchers::default(),
            lost: AtomicU64::new(0),
            losses: LossCounts::default(),
            #[cfg(feature = "inspection")]
            history: std::sync::OnceLock::new(),
        }
    }

    /// Announces what the socket does.
    pub(crate) fn announce(&self, event: &SocketEvent) {
        #[cfg(feature = "inspection")]
        if let Some(history) = self.history.get() {
            history.note_socket(event);
        }
        self.socket.announce(event);
    }

    /// From now on the last of what happens is kept.
    #[cfg(feature = "inspection")]
    pub(crate) fn keep_history(&self) {
        self.history.get_or_init(History::default);
    }

    /// The last of what happened, the oldest first.
    #[cfg(feature = "inspection")]
    pub(crate) fn history(&self) -> Vec<HistoryLine> {
        self.history.get().map_or_else(Vec::new, History::lines)
    }

    /// True if anybody listens to what the socket does.
    pub(crate) fn has_listeners(&self) -> bool {
        self.socket.has_listeners()
    }

    /// Announces that a peer came or went.
    pub(crate) fn announce_peer(&self, event: &PeerEvent) {
        #[cfg(feature = "inspection")]
        if let Some(history) = self.history.get() {
            history.note_peer(event);
        }
        self.peers.announce(event);
    }

    /// Tells those who watch a peer that its connection has ended.
    pub(crate) fn tell_watchers(&self, down: &PeerDown) {
        self.watchers.tell(down);
    }

    /// Watches a peer, of which the caller makes sure that it cannot leave meanwhile.
    pub(crate) fn watch(&self, peer: Identity) -> PeerWatch {
        self.watchers.add(peer)
    }

    /// Feeds a recipient with events of peers: the task to run for it.
    pub(crate) fn feed_peers(
        &self,
        recipient: Recipient<PeerEvent>,
    ) -> impl Future<Output = ()> + 'static {
        self.peers.add(recipient)
    }

    /// Feeds a recipient with events of the socket: the task to run for it.
    pub(crate) fn feed_socket(
        &self,
        recipient: Recipient<SocketEvent>,
    ) -> impl Future<Output = ()> + 'static {
        self.socket.add(recipient)
    }

    /// Feeds a recipient with dead letters: the task to run for it.
    pub(crate) fn feed_dead_letters(
        &self,
        recipient: Recipient<DeadLetter>,
    ) -> impl Future<Output = ()> + 'static {
        self.dead_letters.add(recipient)
    }

    /// Announces a payload that will not arrive.
    pub(crate) fn bury(&self, payload: Bytes, peer: Option<Identity>, reason: DeadLetterReason) {
        self.bury_with(payload, peer, reason, None);
    }

    /// Announces a payload that will not arrive, with what its reason leaves open.
    pub(crate) fn bury_with(
        &self,
        payload: Bytes,
        peer: Option<Identity>,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        let buried = self.lost.fetch_add(1, Ordering::Relaxed);
        self.losses.count(reason);
        if self.dead_letters.has_listeners() {
            self.dead_letters.announce(&DeadLetter {
                payload,
                peer,
                reason,
                detail,
                lagged: 0,
            });
        } else if let Some(LogPermit { unlogged }) = telemetry::line(Topic::DeadLetter, reason) {
            let detail = detail.as_ref().map(|text| Excerpt(text.as_bytes()));
            tracing::warn!(
                %reason,
                detail = detail.map(tracing::field::debug),
                peer = peer.map(tracing::field::display),
                bytes = payload.len(),
                so_far = buried + 1,
                unlogged,
                "a message will not arrive; subscribe to dead letters to see each"
            );
        }
    }

    /// Messages that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Messages that were lost so far, by reason.
    pub(crate) fn losses(&self) -> Losses {
        self.losses.load()
    }

    /// Ends all announcements; what was announced is still delivered.
    pub(crate) fn end(&self) {
        self.peers.end();
        self.socket.end();
        self.dead_letters.end();
    }
}
