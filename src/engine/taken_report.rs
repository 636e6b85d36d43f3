//! Tells a peer that we do not read, for want of room, that its messages are being handled (WIRE §10, TAKEN).

use std::time::{Duration, Instant};

/// The reports of one connection, while it is not read.
#[derive(Debug)]
pub(crate) struct TakenReport {
    /// Messages of the connection that were handled when that was looked at last.
    handled: u64,
    last: Option<Instant>,
}

impl TakenReport {
    /// The least time between two reports of a connection.
    pub(crate) const PACE: Duration = Duration::from_millis(100);

    /// The connection is not read from now on.
    pub(crate) const fn new(handled: u64) -> Self {
        Self {
            handled,
            last: None,
        }
    }

    /// A look: so many messages of the connection were handled so far. Yields that number, if it is to be
    /// reported.
    pub(crate) fn handle_look(&mut self, now: Instant, handled: u64) -> Option<u64> {
        let is_early =
            (self.last).is_some_and(|last| now.saturating_duration_since(last) < Self::PACE);
        if is_early || handled == self.handled {
            return None;
        }
        self.handled = handled;
        self.last = Some(now);
        Some(handled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handled_messages_are_reported_ten_times_a_second_at_most() {
        let start = Instant::now();
        let mut report = TakenReport::new(40);
        let looks = [
            (0, 40),
            (10, 41),
            (20, 42),
            (109, 43),
            (110, 44),
            (300, 44),
            (301, 45),
        ];
        let reported = looks.map(|(millis, handled)| {
            report.handle_look(start + Duration::from_millis(millis), handled)
        });
        let expected = [None, Some(41), None, None, Some(44), None, Some(45)];
        assert_eq!(reported, expected);
    }

    #[test]
    fn at_looks_that_are_no_more_frequent_what_is_handled_is_told_with_the_next() {
        let start = Instant::now();
        let mut report = TakenReport::new(0);
        for look in 1..10 {
            let now = start + TakenReport::PACE * look;
            assert_eq!(report.handle_look(now, look.into()), Some(look.into()));
        }
    }
}
