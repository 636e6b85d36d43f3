//! Messages that wait while nobody does anything about them.

use std::time::{Duration, Instant};

/// Least time between two times that it is told.
const GAP: Duration = Duration::from_secs(60);

/// Watches a queue from sweep to sweep, and tells once that nothing is done about it.
#[derive(Debug, Default)]
pub(crate) struct NeglectWatch {
    /// Since when messages have waited and none was done; absent while none waits.
    since: Option<Instant>,
    done: usize,
    told: bool,
    told_at: Option<Instant>,
}

impl NeglectWatch {
    pub(crate) const fn new() -> Self {
        Self {
            since: None,
            done: 0,
            told: false,
            told_at: None,
        }
    }

    /// A sweep found so many messages waiting, and so many done in all. Yields for how long none was done, once that
    /// is as long as `patience`; not again before one is done, and a minute has passed.
    pub(crate) fn handle_sweep(
        &mut self,
        now: Instant,
        waiting: usize,
        done: usize,
        patience: Duration,
    ) -> Option<Duration> {
        if waiting == 0 || done != self.done {
            *self = Self {
                since: (waiting > 0).then_some(now),
                done,
                told: false,
                told_at: self.told_at,
            };
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let neglected = now.saturating_duration_since(since);
        let before = self
            .told_at
            .is_some_and(|at| now.saturating_duration_since(at) < GAP);
        if self.told || neglected < patience || before {
            return None;
        }
        self.told = true;
        self.told_at = Some(now);
        Some(neglected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_wait_while_none_is_done_are_told_once() {
        let start = Instant::now();
        let mut watch = NeglectWatch::new();
        let mut at = |second, waiting, done| {
            let now = start + Duration::from_secs(second);
            let told = watch.handle_sweep(now, waiting, done, Duration::from_secs(10));
            told.map(|neglected| neglected.as_secs())
        };
        assert_eq!(at(0, 0, 0), None);
        assert_eq!(at(5, 3, 0), None, "they have just come");
        assert_eq!(at(14, 4, 0), None);
        assert_eq!(at(16, 4, 0), Some(11));
        assert_eq!(at(100, 9, 0), None, "it was told");
        assert_eq!(at(101, 8, 1), None, "one was done");
        assert_eq!(at(110, 8, 1), None);
        assert_eq!(at(111, 8, 1), Some(10));
        assert_eq!(at(112, 7, 2), None);
        assert_eq!(at(170, 7, 2), None, "it was told less than a minute ago");
        assert_eq!(at(171, 7, 2), Some(59));
        assert_eq!(at(180, 0, 9), None, "none waits");
        assert_eq!(at(500, 1, 9), None);
        assert_eq!(at(510, 1, 9), Some(10));
    }
}
