//! Tells a handler that nobody waits for its answer any more.

use tokio::sync::Notify;

use crate::sync::{AtomicBool, Ordering};

/// Tells a handler that its asker no longer waits.
#[derive(Debug, Default)]
pub(crate) struct CancelToken {
    cancelled: AtomicBool,
    told: Notify,
}

impl CancelToken {
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) async fn cancelled(&self) {
        let told = self.told.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if !self.is_cancelled() {
            told.await;
        }
    }
}
