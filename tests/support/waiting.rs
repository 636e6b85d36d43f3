//! Waiting for what must happen, and not for ever.

use std::time::{Duration, Instant};

/// How long a test waits for what must happen before it fails. Passing tests never wait for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, without blocking the thread, until `holds`; the panic says what was waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `future`, but not for ever; the panic says what was waited for.
pub async fn within_patience<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Runs blocking work, a scripted peer for instance, beside the sockets of this thread.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
