//! Tells whoever asked: events of the socket and of its peers, dead letters, and the ends of watched
//! peers.

use std::sync::atomic::AtomicU64;

use actix::Recipient;
use bytes::Bytes;

use crate::clock;
use crate::detach::detach;
use crate::engine::LogPermit;
use crate::event::{
    Announcer, DeadLetter, DeadLetterReason, LossCounts, Losses, PeerDown, PeerEvent, PeerWatch,
    SocketEvent, Watchers,
};
#[cfg(feature = "inspection")]
use crate::event::{History, HistoryLine};
use crate::excerpt::Excerpt;
use crate::id::{Identity, MessageId};
use crate::outbox::{Letter, LetterFigures, Letters, Stored};
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
    /// Keeps dead letters, if anything does.
    letters: Option<Letters>,
    /// Letters that it had to discard, as far as that was announced.
    discarded: AtomicU64,
}

/// A message that will not arrive.
#[derive(Debug)]
pub(crate) struct Burial {
    pub(crate) payload: Bytes,
    pub(crate) peer: Option<Identity>,
    pub(crate) reason: DeadLetterReason,
    /// What the reason leaves open.
    pub(crate) detail: Option<String>,
    /// True if the socket had received it, and false if it was to send it.
    pub(crate) received: bool,
    pub(crate) at_least_once: bool,
    /// True if it was to go to an instance of a service.
    pub(crate) to_service: bool,
    pub(crate) id: Option<MessageId>,
    /// The envelope of its metadata, if the socket was to send it with some.
    pub(crate) envelope: Bytes,
    /// Its place in the store, which it leaves.
    pub(crate) stored: Option<Stored>,
}

impl Burial {
    /// A message that was received from `peer`.
    pub(crate) fn received(payload: Bytes, peer: Identity, reason: DeadLetterReason) -> Self {
        Self {
            payload,
            peer: Some(peer),
            reason,
            detail: None,
            received: true,
            at_least_once: false,
            to_service: false,
            id: None,
            envelope: Bytes::new(),
            stored: None,
        }
    }
}

impl Events {
    pub(crate) fn new(letters: Option<Letters>) -> Self {
        Self {
            peers: Announcer::new(),
            socket: Announcer::new(),
            dead_letters: Announcer::new(),
            watchers: Watchers::default(),
            lost: AtomicU64::new(0),
            losses: LossCounts::default(),
            #[cfg(feature = "inspection")]
            history: std::sync::OnceLock::new(),
            letters,
            discarded: AtomicU64::new(0),
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

    /// Announces a message that will not arrive, and keeps it if dead letters are kept.
    pub(crate) fn bury(&self, burial: Burial) {
        let Burial {
            mut payload,
            peer,
            reason,
            detail,
            received,
            at_least_once,
            to_service,
            id,
            mut envelope,
            stored,
        } = burial;
        if self.letters.is_some() || self.dead_letters.has_listeners() {
            detach(&mut payload);
            detach(&mut envelope);
        }
        if let Some(letters) = &self.letters {
            let letter = Letter {
                payload: payload.clone(),
                peer,
                reason,
                detail: detail.clone(),
                received,
                at_least_once,
                to_service,
                message: id,
                envelope,
                buried: clock::wall(),
            };
            letters.keep(letter, stored);
        } else if let Some(stored) = stored {
            stored.remove();
        }
        let buried = self.lost.fetch_add(1, Ordering::Relaxed);
        self.losses.count(reason);
        if self.dead_letters.has_listeners() {
            self.dead_letters.announce(&DeadLetter {
                payload,
                peer,
                reason,
                detail,
                received,
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

    /// What keeps dead letters, if anything does.
    pub(crate) fn letters(&self) -> Option<&Letters> {
        self.letters.as_ref()
    }

    /// Figures of the dead letters that are kept.
    pub(crate) fn letter_figures(&self) -> LetterFigures {
        let letters = self.letters.as_ref();
        letters.map(Letters::figures).unwrap_or_default()
    }

    /// Announces that dead letters had to go, if any had.
    pub(crate) fn handle_sweep(&self) {
        let Some(letters) = &self.letters else { return };
        let total = letters.figures().discarded;
        let before = self.discarded.swap(total, Ordering::Relaxed);
        if total > before {
            let count = total - before;
            self.announce(&SocketEvent::LettersDiscarded { count });
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

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::outbox::DeadLetterBounds;

    #[test]
    fn a_dead_letter_that_is_kept_keeps_nothing_of_the_read_that_it_came_with() {
        let letters = Letters::in_memory(DeadLetterBounds::new()).unwrap();
        let events = Events::new(Some(letters));
        let read = Bytes::from(vec![7; 64 * 1024]);
        let peer = Identity::from_bytes([1; 16]);
        let reason = DeadLetterReason::Unwanted;
        events.bury(Burial::received(read.slice(10..110), peer, reason));
        assert!(read.is_unique());
        events.letters().unwrap().close();
    }
}
