//! The dedupe window of one peer, shared by its connections and by the messages that came by them.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{DedupeWindow, Sighting};
use crate::id::MessageId;
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
}

impl PeerDedupe {
    /// An empty window, in which finished messages stay for `window`.
    pub(crate) fn new(window: Duration, count: Arc<AtomicUsize>) -> Self {
        Self {
            recent: Mutex::new(DedupeWindow::new(window)),
            count,
            used: AtomicUsize::new(0),
        }
    }

    /// A message has come.
    pub(crate) fn handle_arrival(&self, now: Duration, id: MessageId) -> Sighting {
        self.note_use(now);
        self.recent.lock().handle_arrival(now, id)
    }

    /// Messages are finished.
    pub(crate) fn handle_finish(&self, now: Duration, ids: &[MessageId], verdict: Verdict) {
        self.note_use(now);
        let count = self.count.load(Ordering::Relaxed);
        let mut recent = self.recent.lock();
        for &id in ids {
            recent.handle_finish(now, id, verdict, count);
        }
    }

    /// A message was dropped before anybody could handle it.
    pub(crate) fn handle_loss(&self, id: MessageId) {
        self.recent.lock().handle_loss(id);
    }

    /// Forgets what is old.
    pub(crate) fn handle_sweep(&self, now: Duration) {
        let count = self.count.load(Ordering::Relaxed);
        self.recent.lock().handle_sweep(now, count);
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
