//! Lines that strangers can cause, which are limited: nobody who knocks at a port fills a screen or a disk.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A source has one line in this time.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// All sources together have so many lines in this time.
const MOST_LINES: usize = 10;

/// Lines of the last minute, and how many were left out since the last one.
#[derive(Debug, Default)]
pub(crate) struct LineLimit {
    /// The oldest first, and never more than there may be.
    told: VecDeque<(Instant, String)>,
    left_out: u64,
}

impl LineLimit {
    /// How many lines were left out, if one of this source is due.
    pub(crate) fn permit(&mut self, source: &str, now: Instant) -> Option<u64> {
        let is_over =
            |(told, _): &(Instant, String)| now.saturating_duration_since(*told) >= LINE_EVERY;
        while self.told.front().is_some_and(is_over) {
            self.told.pop_front();
        }
        let is_told = self.told.iter().any(|(_, told)| told == source);
        if is_told || self.told.len() >= MOST_LINES {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.told.push_back((now, source.to_owned()));
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_line_a_minute_and_the_next_line_counts_those_that_were_left_out() {
        let (mut limit, start) = (LineLimit::default(), Instant::now());
        let seconds = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.permit("a", seconds(0)), Some(0));
        assert_eq!(limit.permit("a", seconds(1)), None);
        assert_eq!(limit.permit("a", seconds(59)), None);
        assert_eq!(limit.permit("b", seconds(59)), Some(2));
        assert_eq!(limit.permit("a", seconds(60)), Some(0));
        assert_eq!(limit.permit("b", seconds(60)), None);
    }

    #[test]
    fn all_sources_together_have_ten_lines_a_minute_and_no_more_are_remembered() {
        let (mut limit, start) = (LineLimit::default(), Instant::now());
        for number in 0..1_000 {
            let permit = limit.permit(&number.to_string(), start);
            assert_eq!(permit, (number < 10).then_some(0), "{number}");
        }
        assert_eq!(limit.told.len(), MOST_LINES);
        assert_eq!(limit.permit("late", start + LINE_EVERY), Some(990));
        assert_eq!(limit.told.len(), 1);
    }
}
