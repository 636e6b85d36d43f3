//! The dedupe window of one peer, shared by its connections and by the messages that came by them.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{DedupeWindow, Sighting};
use crate::id::{Identity, MessageId};
use crate::outbox::{KnownMessage, WindowMark, WindowStore};
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::wire::Verdict;

/// Remembers what one peer has sent at least once lately.
#[derive(Debug)]
pub(crate) struct PeerDedupe {
    recent: Mutex<DedupeWindow>,
    /// Finished messages that it may hold now; all peers of a socket have the same share.
    count: Arc<AtomicUsize>,
    /// When it was last used, in milliseconds of the socket's life.
    used: AtomicUsize,
    /// Where the window outlives the process, if it does, and the peer that it is about.
    store: Option<(WindowStore, Identity)>,
}

impl PeerDedupe {
    /// An empty window, in which finished messages stay for `window`.
    pub(crate) fn new(window: Duration, count: Arc<AtomicUsize>) -> Self {
        Self {
            recent: Mutex::new(DedupeWindow::new(window)),
            count,
            used: AtomicUsize::new(0),
            store: None,
        }
    }

    /// The same, of a window that is kept in the store, where this peer is known by its identity.
    pub(crate) fn stored(mut self, store: WindowStore, peer: Identity) -> Self {
        self.recent.lock().keep_forgotten();
        self.store = Some((store, peer));
        self
    }

    /// Remembers a message of an earlier start, of that age. They come in the order of their ages, the oldest first.
    pub(crate) fn restore(&self, message: &KnownMessage, age: Duration) {
        let mut recent = self.recent.lock();
        recent.restore(age, message.id, message.verdict);
    }

    /// True if the window is kept in a store.
    pub(crate) fn is_stored(&self) -> bool {
        self.store.is_some()
    }

    /// Messages are marked in the store; `when_done` is called once that is committed.
    pub(crate) fn mark(
        &self,
        ids: &[MessageId],
        mark: WindowMark,
        when_done: impl FnOnce() + Send + 'static,
    ) {
        if let Some((store, peer)) = &self.store {
            store.mark(*peer, ids.to_vec(), mark, Some(Box::new(when_done)));
        }
    }

    /// True if the message in hand was in hand already when an earlier start ended.
    pub(crate) fn is_again(&self, id: MessageId) -> bool {
        self.store.is_some() && self.recent.lock().is_again(id)
    }

    /// Messages that it knows.
    pub(crate) fn len(&self) -> usize {
        self.recent.lock().len()
    }

    /// Nothing that is finished is needed any more, in the store either.
    pub(crate) fn forget(&self) {
        let mut recent = self.recent.lock();
        recent.handle_sweep(Duration::ZERO, 0);
        self.forget_stored(&mut recent);
    }

    /// What the window has forgotten leaves the store.
    fn forget_stored(&self, recent: &mut DedupeWindow) {
        if let Some((store, peer)) = &self.store {
            store.mark(*peer, recent.take_forgotten(), WindowMark::Forgotten, None);
        }
    }

    /// A message has come.
    pub(crate) fn handle_arrival(&self, now: Duration, id: MessageId) -> Sighting {
        self.note_use(now);
        let mut recent = self.recent.lock();
        let sighting = recent.handle_arrival(now, id);
        self.forget_stored(&mut recent);
        sighting
    }

    /// Messages are finished.
    pub(crate) fn handle_finish(&self, now: Duration, ids: &[MessageId], verdict: Verdict) {
        self.note_use(now);
        let count = self.count.load(Ordering::Relaxed);
        let mut recent = self.recent.lock();
        for &id in ids {
            recent.handle_finish(now, id, verdict, count);
        }
        self.forget_stored(&mut recent);
    }

    /// A message was dropped before anybody could handle it.
    pub(crate) fn handle_loss(&self, id: MessageId) {
        let mut recent = self.recent.lock();
        recent.handle_loss(id);
        self.forget_stored(&mut recent);
    }

    /// Forgets what is old.
    pub(crate) fn handle_sweep(&self, now: Duration) {
        let count = self.count.load(Ordering::Relaxed);
        let mut recent = self.recent.lock();
        recent.handle_sweep(now, count);
        self.forget_stored(&mut recent);
    }

    /// True if it remembers nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.recent.lock().is_empty()
    }

    /// When it was last used, in milliseconds of the socket's life.
    pub(crate) fn last_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn note_use(&self, now: Duration) {
        let millis = usize::try_from(now.as_millis()).unwrap_or(usize::MAX);
        self.used.store(millis, Ordering::Relaxed);
    }
}
