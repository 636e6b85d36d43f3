//! Pauses, and looks meanwhile whether they are still wanted.

use std::time::Duration;

use tokio::time::Instant;

/// How often a part looks whether it is to end. Nobody tells it that the socket drains.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The longest time that a bridge waits, or has JetStream keep something: what an [`Instant`] can hold has an end, and so have the nanoseconds of
/// JetStream.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Waits for so long, [`LONGEST`] at most; less, and true, if the part is to end.
pub(crate) async fn pause(time: Duration, is_to_end: impl Fn() -> bool) -> bool {
    let until = Instant::now() + time.min(LONGEST);
    while !is_to_end() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_has_its_length_and_one_without_end_ends_with_its_part() {
        let begun = Instant::now();
        assert!(!pause(3 * LOOK, || false).await);
        assert!((3 * LOOK..4 * LOOK).contains(&begun.elapsed()));

        let looks = Cell::new(0);
        let is_to_end = || looks.replace(looks.get() + 1) == 3;
        let begun = Instant::now();
        assert!(pause(Duration::MAX, is_to_end).await);
        assert!((3 * LOOK..4 * LOOK).contains(&begun.elapsed()));
    }
}
