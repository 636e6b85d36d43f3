//! Rate limit for log lines that others can cause.

use std::time::{Duration, Instant};

use super::RateLimit;

/// For how long a line stands for what follows it.
const PERIOD: Duration = Duration::from_secs(60);
/// Lines of one topic in a period, whoever causes them.
const LINES_IN_ALL: u32 = 10;

/// Limits the lines of one topic: a few of one source in a minute, and ten of all sources together.
#[derive(Debug)]
pub(crate) struct LogLimit {
    each: RateLimit,
    all: RateLimit,
    unlogged: u64,
}

/// A line may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogPermit {
    /// Reports of the topic since its last line that have none of their own, if there were any.
    pub(crate) unlogged: Option<u64>,
}

impl LogLimit {
    /// So many lines of one source in a minute.
    pub(crate) fn new(lines_of_one: u32) -> Self {
        Self {
            each: RateLimit::new(lines_of_one, PERIOD),
            all: RateLimit::new(LINES_IN_ALL.max(lines_of_one), PERIOD),
            unlogged: 0,
        }
    }

    /// A source has caused something to report. `None` if there is no line for it.
    pub(crate) fn handle_report(&mut self, now: Instant, source: u64) -> Option<LogPermit> {
        // The source first: one that is noisy uses up nothing of what all share.
        if self.each.handle_accept(now, source) && self.all.handle_accept(now, 0) {
            let unlogged = std::mem::take(&mut self.unlogged);
            return Some(LogPermit {
                unlogged: (unlogged > 0).then_some(unlogged),
            });
        }
        self.unlogged += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Option<LogPermit> = None;
    const LINE: Option<LogPermit> = Some(LogPermit { unlogged: None });

    const fn line(unlogged: u64) -> Option<LogPermit> {
        Some(LogPermit {
            unlogged: Some(unlogged),
        })
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_source_has_a_line_at_once_and_then_one_a_minute_with_a_count() {
        let start = Instant::now();
        let mut limit = LogLimit::new(1);
        let mut at = |second| limit.handle_report(start + seconds(second), 1);
        assert_eq!([0, 1, 2].map(&mut at), [LINE, QUIET, QUIET]);
        assert_eq!([59, 60, 61].map(&mut at), [QUIET, line(3), QUIET]);
        assert_eq!([600, 601, 660].map(&mut at), [line(1), QUIET, line(1)]);
    }

    #[test]
    fn one_source_does_not_take_the_lines_of_another() {
        let start = Instant::now();
        let mut limit = LogLimit::new(1);
        for _ in 0..1_000 {
            let _ = limit.handle_report(start, 1);
        }
        assert_eq!(limit.handle_report(start, 2), line(999));
    }

    #[test]
    fn any_number_of_sources_have_ten_lines_a_minute_together() {
        let start = Instant::now();
        let mut limit = LogLimit::new(1);
        let mut lines = 0;
        for minute in 0..10 {
            for source in 0..1_000 {
                let now = start + minute * PERIOD + PERIOD * source / 1_000;
                let source = u64::from(minute * 1_000 + source);
                lines += usize::from(limit.handle_report(now, source).is_some());
            }
        }
        // Ten at once, and one for each tenth of a minute.
        assert!((100..=110).contains(&lines), "{lines}");
    }

    #[test]
    fn every_report_is_in_a_line_or_counted_by_one() {
        let start = Instant::now();
        let mut limit = LogLimit::new(3);
        let mut told = 0;
        for step in 0..5_000_u32 {
            let now = start + step * Duration::from_millis(50);
            if let Some(line) = limit.handle_report(now, u64::from(step % 7)) {
                told += 1 + line.unlogged.unwrap_or(0);
            }
        }
        assert_eq!(told + limit.unlogged, 5_000);
    }
}
