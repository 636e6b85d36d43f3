//! The rate of the asks about a socket itself.

use std::time::{Duration, Instant};

use crate::engine::RateLimit;
use crate::sync::Mutex;

/// Inquiries that are answered in a second, of all peers together.
const A_SECOND: u32 = 100;

/// The asks about a socket, which are limited.
#[derive(Debug)]
pub(crate) struct Inquiries(Mutex<RateLimit>);

impl Inquiries {
    pub(super) fn new() -> Self {
        Self(Mutex::new(RateLimit::new(A_SECOND, Duration::from_secs(1))))
    }

    /// One has come. True if it may be answered.
    pub(super) fn handle_inquiry(&self, now: Instant) -> bool {
        // All peers share the rate.
        self.0.lock().handle_accept(now, 0)
    }
}
