//! The timers that a sweep judges connections by.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The timers of connections. All connections of a socket share them, so that none has a copy of its
/// own; others take their place as a whole.
#[derive(Debug)]
pub(crate) struct Timers {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_timeout: Duration,
    /// Time without any progress of handlers after which a connection ends.
    pub(crate) handler_patience: Duration,
    replaced: AtomicBool,
}

impl Timers {
    pub(crate) const fn new(
        heartbeat_interval: Duration,
        heartbeat_timeout: Duration,
        write_timeout: Duration,
        handler_patience: Duration,
    ) -> Self {
        Self {
            heartbeat_interval,
            heartbeat_timeout,
            write_timeout,
            handler_patience,
            replaced: AtomicBool::new(false),
        }
    }

    /// Others hold from now on.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// True if others hold by now.
    #[inline]
    pub(crate) fn are_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }
}
