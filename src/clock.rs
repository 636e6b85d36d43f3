//! The one place that reads the clock. Everything that decides takes the time as an argument.

use std::time::Instant;

/// The time now, by the runtime's clock, so that a test that pauses time pauses ours too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
