//! How long handlers take, by the looks at the clock that a pump takes anyway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::telemetry::{Batch, Timings};

/// Measures the handlers of one pump while somebody wants to know. Between two looks at the clock the messages have their time in
/// equal parts: where handlers are slow, there is a look behind each of them.
#[derive(Debug)]
pub(super) struct HandlingWatch {
    timings: Arc<Timings>,
    /// True if this poll is measured.
    is_on: bool,
    /// The last look in this poll.
    looked: Option<Instant>,
    /// Messages that were handled until then.
    handled: u64,
    /// What the histogram is told when the poll is over.
    batch: Batch,
}

impl HandlingWatch {
    pub(super) const fn new(timings: Arc<Timings>) -> Self {
        Self {
            timings,
            is_on: false,
            looked: None,
            handled: 0,
            batch: Batch::new(),
        }
    }

    /// Another poll of the pump begins.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.is_on = self.timings.is_on();
        self.looked = None;
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// The clock was looked at, when so many messages had been handled in all, and so long after the last look of this poll.
    #[inline]
    pub(super) fn look(&mut self, now: Instant, since_last: Option<Duration>, handled: u64) {
        if !self.is_on {
            return;
        }
        self.looked = Some(now);
        let count = handled.saturating_sub(self.handled);
        self.handled = handled;
        if let Some(together) = since_last
            && count > 0
        {
            self.batch.add(together, count, &self.timings.handling);
        }
    }

    /// The poll is over: what was handled since the last look counts as well.
    #[inline]
    pub(super) fn end(&mut self, handled: u64) {
        if !self.is_on {
            return;
        }
        if let Some(looked) = self.looked
            && handled > self.handled
        {
            let now = clock::now();
            self.look(now, Some(now.saturating_duration_since(looked)), handled);
        }
        self.batch.flush(&self.timings.handling);
    }

    /// An asynchronous handler has finished, which was called then.
    #[inline]
    pub(super) fn note_finished(&self, begun: Instant) {
        if self.is_on {
            let took = clock::now().saturating_duration_since(begun);
            self.timings.handling.record(took);
        }
    }
}

/// A handler that panics ends the poll of its pump, and the pump.
impl Drop for HandlingWatch {
    fn drop(&mut self) {
        self.batch.flush(&self.timings.handling);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Distribution;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn look(watch: &mut HandlingWatch, now: Instant, handled: u64) {
        let since_last = watch
            .looked
            .map(|looked| now.saturating_duration_since(looked));
        watch.look(now, since_last, handled);
    }

    #[test]
    fn messages_between_two_looks_share_the_time_and_pauses_between_polls_count_for_nobody() {
        let timings = Arc::new(Timings::default());
        let mut watch = HandlingWatch::new(Arc::clone(&timings));
        let start = clock::now();
        watch.begin();
        look(&mut watch, start, 0);
        look(&mut watch, start + millis(4), 2);
        watch.end(2);
        assert_eq!(
            timings.handling.read(),
            Distribution::default(),
            "it is off"
        );

        timings.start();
        watch.begin();
        look(&mut watch, start, 2);
        look(&mut watch, start + millis(8), 4);
        look(&mut watch, start + millis(8), 4);
        look(&mut watch, start + millis(68), 5);
        watch.end(5);
        let read = timings.handling.read();
        assert_eq!((read.counts[5], read.counts[9]), (2, 1));
        assert_eq!(read.counts.iter().sum::<u64>(), 3);
        assert_eq!(read.nanos, 68_000_000);

        watch.begin();
        look(&mut watch, start + millis(9_000), 5);
        watch.end(5);
        assert_eq!(timings.handling.read(), read);
    }

    #[test]
    fn what_was_seen_counts_when_a_handler_panics_and_the_poll_has_no_end() {
        let timings = Arc::new(Timings::default());
        timings.start();
        let mut watch = HandlingWatch::new(Arc::clone(&timings));
        let start = clock::now();
        watch.begin();
        look(&mut watch, start, 0);
        look(&mut watch, start + millis(3), 1);
        look(&mut watch, start + millis(6), 2);
        drop(watch);
        let read = timings.handling.read();
        assert_eq!((read.counts[5], read.nanos), (2, 6_000_000));
    }
}
