//! Commits that fail, and succeed again: who is told.

use super::journal::{FailureWatcher, Journal, Shared};
use crate::error::StoreError;

impl Journal {
    /// From now on, and only once, somebody is told when commits fail and when they succeed again: by the thread, with no
    /// lock held.
    pub(crate) fn watch_failures(&self, watcher: FailureWatcher) {
        // There is one socket.
        let _ = self.shared.watcher.set(watcher);
    }
}

impl Shared {
    /// Everything is committed.
    pub(super) fn note_commit(&self) {
        let mut state = self.state.lock();
        if state.failure.take().is_some() {
            drop(state);
            tracing::info!("the outbox stores messages again");
            self.tell_watcher(None);
        }
    }

    /// A commit failed.
    pub(super) fn note_failure(&self, error: &StoreError) {
        let mut state = self.state.lock();
        if state.failure.replace(error.clone()).is_none() {
            drop(state);
            tracing::warn!(%error, "the outbox cannot store messages: sends at least once fail until it can");
            self.tell_watcher(Some(error.clone()));
        }
    }

    fn tell_watcher(&self, failure: Option<StoreError>) {
        if let Some(watcher) = self.watcher.get() {
            watcher(failure);
        }
    }
}
