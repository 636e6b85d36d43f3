//! How large a long test is: a twentieth of its full figures in CI, all of them in the soak.

use std::time::{Duration, Instant};

use super::PATIENCE;

/// What `AIOMSG_SCALE` is in the soak, where every figure is the full one.
const FULL: u64 = 20;

/// The part of a full figure that this run does.
pub fn of(full: u64) -> u64 {
    (full * scale() / FULL).max(1)
}

fn scale() -> u64 {
    match std::env::var("AIOMSG_SCALE") {
        Ok(text) => text.parse().expect("AIOMSG_SCALE is a whole number"),
        Err(_) => 1,
    }
}

/// Waits until `done` reaches `target`, however long that takes, as long as it gets on.
pub async fn reaches(what: &str, target: u64, mut done: impl FnMut() -> u64) {
    let (mut last, mut since) = (done(), Instant::now());
    while last < target {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = done();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{what}: stuck at {last} of {target}"
        );
    }
}
