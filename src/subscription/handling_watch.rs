//! How long handlers take, by the looks at the clock that a pump takes anyway.

use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::telemetry::Timings;

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
}

impl HandlingWatch {
    pub(super) const fn new(timings: Arc<Timings>) -> Self {
        Self {
            timings,
            is_on: false,
            looked: None,
            handled: 0,
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

    /// The clock was looked at, when so many messages had been handled in all.
    pub(super) fn look(&mut self, now: Instant, handled: u64) {
        if !self.is_on {
            return;
        }
        let since = self.looked.replace(now);
        let count = handled.saturating_sub(self.handled);
        self.handled = handled;
        if let Some(since) = since
            && count > 0
        {
            let together = now.saturating_duration_since(since);
            self.timings.handling.record(together, count);
        }
    }

    /// The poll is over: what was handled since the last look counts as well.
    #[inline]
    pub(super) fn end(&mut self, handled: u64) {
        if self.is_on && self.looked.is_some() && handled > self.handled {
            self.look(clock::now(), handled);
        }
    }

    /// An asynchronous handler has finished, which was called then.
    #[inline]
    pub(super) fn note_finished(&self, begun: Option<Instant>) {
        if self.is_on
            && let Some(begun) = begun
        {
            let took = clock::now().saturating_duration_since(begun);
            self.timings.handling.record(took, 1);
        }
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

    #[test]
    fn messages_between_two_looks_share_the_time_and_pauses_between_polls_count_for_nobody() {
        let timings = Arc::new(Timings::default());
        let mut watch = HandlingWatch::new(Arc::clone(&timings));
        let start = clock::now();
        watch.begin();
        watch.look(start, 0);
        watch.look(start + millis(4), 2);
        assert_eq!(
            timings.handling.read(),
            Distribution::default(),
            "it is off"
        );

        timings.start();
        watch.begin();
        watch.look(start, 2);
        watch.look(start + millis(8), 4);
        watch.look(start + millis(8), 4);
        watch.look(start + millis(68), 5);
        let read = timings.handling.read();
        assert_eq!((read.counts[5], read.counts[9]), (2, 1));
        assert_eq!(read.counts.iter().sum::<u64>(), 3);
        assert_eq!(read.nanos, 68_000_000);

        watch.begin();
        watch.look(start + millis(9_000), 5);
        assert_eq!(timings.handling.read(), read);
    }
}
