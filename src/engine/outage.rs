//! When a dialer that does not reach its endpoint says so in the log.

use std::time::{Duration, Instant};

/// For how long a bind end may be late without a word about it: either end may start first.
const GRACE: Duration = Duration::from_secs(3);
/// For how long a step of an attempt may take without a word about it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two lines.
const PERIOD: Duration = Duration::from_secs(60);

/// The attempts of a dialer since it last reached its endpoint.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failed: u64,
    since: Option<Instant>,
    last_line: Option<Instant>,
    /// A line has said why an attempt failed. Others say what an attempt waits for.
    is_explained: bool,
}

/// Summary of an outage, for the line about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Attempts that failed.
    pub(crate) failed: u64,
    /// From the first of them to now.
    pub(crate) after: Duration,
}

impl Outage {
    /// An attempt that `began` then failed now, and the next one is due after `next_try`. Yields how
    /// many have failed since the last success, if it is time for a line.
    pub(crate) fn handle_failure(
        &mut self,
        began: Instant,
        now: Instant,
        next_try: Duration,
    ) -> Option<u64> {
        self.failed += 1;
        self.is_reason_due(began, now, next_try)
            .then_some(self.failed)
    }

    /// An address was tried in vain, and others of the same attempt, which `began` then, follow. Yields
    /// the number of the attempt, if it is time for a line.
    pub(crate) fn handle_failed_address(&mut self, began: Instant, now: Instant) -> Option<u64> {
        let number = self.failed + 1;
        self.is_reason_due(began, now, Duration::ZERO)
            .then_some(number)
    }

    /// An attempt that `began` then still waits now. Yields its number, if it is time for a line.
    pub(crate) fn handle_waiting(&mut self, began: Instant, now: Instant) -> Option<u64> {
        let number = self.failed + 1;
        self.is_due(began, now, Duration::ZERO).then_some(number)
    }

    /// When an attempt that `began` then and still waits has its line.
    pub(crate) fn next_line(&self, began: Instant) -> Instant {
        match self.last_line {
            Some(line) => line + PERIOD,
            None => self.since.unwrap_or(began) + PATIENCE,
        }
    }

    /// The first reason does not wait behind a line that had none.
    fn is_reason_due(&mut self, began: Instant, now: Instant, next_try: Duration) -> bool {
        let is_awaited = self.last_line.is_some() && !self.is_explained;
        if is_awaited {
            self.last_line = Some(now);
        }
        let is_due = is_awaited || self.is_due(began, now, next_try);
        self.is_explained |= is_due;
        is_due
    }

    fn is_due(&mut self, began: Instant, now: Instant, next_try: Duration) -> bool {
        let since = *self.since.get_or_insert(began);
        let is_due = match self.last_line {
            Some(line) => now.saturating_duration_since(line) >= PERIOD,
            None => {
                now.saturating_duration_since(since)
                    .saturating_add(next_try)
                    >= GRACE
            }
        };
        if is_due {
            self.last_line = Some(now);
        }
        is_due
    }

    /// The endpoint is reached. Yields what the log said of the outage before, if it did.
    pub(crate) fn handle_success(&mut self, now: Instant) -> Option<Recovery> {
        let outage = std::mem::take(self);
        outage.last_line?;
        Some(Recovery {
            failed: outage.failed,
            after: now.saturating_duration_since(outage.since?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_is_there_within_seconds_was_never_missed() {
        let start = Instant::now();
        let mut outage = Outage::default();
        for tenth in 0..20 {
            let now = start + tenth * SECOND / 10;
            assert_eq!(outage.handle_failure(now, now, SECOND / 10), None);
        }
        assert_eq!(outage.handle_success(start + 2 * SECOND), None);
    }

    #[test]
    fn there_is_a_line_within_ten_seconds_then_one_a_minute_and_one_at_the_end() {
        let start = Instant::now();
        let mut outage = Outage::default();
        let mut lines = Vec::new();
        // Attempts of a second each, and pauses of up to five.
        let mut now = start;
        for attempt in 0..60 {
            let began = now;
            now += SECOND;
            let pause = SECOND * attempt.min(5);
            if let Some(failed) = outage.handle_failure(began, now, pause) {
                lines.push((now.duration_since(start).as_secs(), failed));
            }
            now += pause;
        }
        assert!(lines[0].0 <= 10, "{lines:?}");
        for pair in lines.windows(2) {
            let apart = pair[1].0 - pair[0].0;
            assert!((60..=66).contains(&apart), "{lines:?}");
        }
        let end = outage.handle_success(now);
        assert_eq!(
            end,
            Some(Recovery {
                failed: 60,
                after: now.duration_since(start)
            })
        );
        assert_eq!(outage.handle_success(now), None);
    }

    #[test]
    fn one_attempt_that_is_the_last_has_its_line_at_once() {
        let now = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.handle_failure(now, now, Duration::MAX), Some(1));
    }

    #[test]
    fn one_attempt_that_takes_long_has_its_line_at_once() {
        let start = Instant::now();
        let mut outage = Outage::default();
        let now = start + 8 * SECOND;
        assert_eq!(outage.handle_failure(start, now, SECOND / 10), Some(1));
    }

    #[test]
    fn one_address_that_takes_long_has_its_line_before_the_next() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.handle_failed_address(start, start), None);
        let first = outage.handle_failed_address(start, start + 8 * SECOND);
        assert_eq!(first, Some(1));
        let all = outage.handle_failure(start, start + 16 * SECOND, SECOND);
        assert_eq!(all, None, "it has been told");
    }

    #[test]
    fn an_attempt_that_still_waits_has_its_line_after_five_seconds_and_each_minute() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.next_line(start), start + 5 * SECOND);
        // An attempt that fails at once, and a second one that waits.
        assert_eq!(outage.handle_failure(start, start, SECOND), None);
        let (began, line) = (start + SECOND, start + 5 * SECOND);
        assert_eq!(outage.next_line(began), line);
        assert_eq!(outage.handle_waiting(began, line), Some(2));
        assert_eq!(outage.next_line(began), line + 60 * SECOND);
        assert_eq!(outage.handle_waiting(began, line + 59 * SECOND), None);
        assert_eq!(outage.handle_waiting(began, line + 60 * SECOND), Some(2));
        let end = outage.handle_success(line + 61 * SECOND);
        assert_eq!(end.map(|end| end.failed), Some(1));
    }

    #[test]
    fn the_reason_is_told_at_once_behind_a_line_that_an_attempt_still_waits_and_then_each_minute() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.handle_waiting(start, start + 5 * SECOND), Some(1));
        let failed = start + 10 * SECOND;
        assert_eq!(outage.handle_failure(start, failed, SECOND), Some(1));
        let again = failed + 10 * SECOND;
        assert_eq!(outage.handle_failure(failed, again, SECOND), None);
        let minute = failed + 60 * SECOND;
        assert_eq!(outage.handle_failure(again, minute, SECOND), Some(3));
    }
}
