//! The end of a journal.

use std::time::Duration;

use tokio::time::timeout;

use super::journal::{Journal, Shared};

/// How long the end of a socket waits for its store, whose disk may hang.
pub(crate) const CLOSING: Duration = Duration::from_secs(30);

impl Journal {
    /// Nothing more is taken; the thread commits what it has, closes the store and ends.
    pub(crate) fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work_or_end.notify_one();
        self.shared.room.notify_all();
    }

    /// Waits until the store is closed, or for as long as that may take.
    pub(crate) async fn closed(&self) {
        let mut ended = self.shared.ended.subscribe();
        let ended = timeout(CLOSING, ended.wait_for(|ended| *ended)).await;
        if ended.is_err() {
            tracing::warn!(
                "the store of an outbox hangs: the socket is closed without it, and its file stays in use"
            );
        }
    }
}

impl Shared {
    pub(super) fn note_end(&self) {
        self.ended.send_replace(true);
    }
}
