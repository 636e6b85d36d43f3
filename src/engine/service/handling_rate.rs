//! How fast the messages of a service are handled, however many handlers work at a time.

use std::time::{Duration, Instant};

/// The shortest time over which messages are counted, so that answers that come together are no rate.
const WINDOW: Duration = Duration::from_millis(10);

/// Counts messages over windows in which there was always something to do.
#[derive(Debug, Default)]
pub(crate) struct HandlingRate {
    /// Messages that are accepted and not finished.
    open: usize,
    window: Option<Window>,
    finished: u32,
}

/// A time in which there was always something to do.
#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    /// It began with a message that found nothing to do.
    from_idle: bool,
}

impl HandlingRate {
    /// A message was accepted.
    pub(crate) fn handle_arrival(&mut self, now: Instant) {
        self.open += 1;
        self.window.get_or_insert(Window {
            began: now,
            from_idle: true,
        });
    }

    /// A message is finished. At the end of a window, yields the time that one message took in it.
    pub(crate) fn handle_finished(&mut self, now: Instant) -> Option<Duration> {
        self.open = self.open.saturating_sub(1);
        self.finished += 1;
        let window = self.window?;
        let lasted = now.saturating_duration_since(window.began);
        let is_idle = self.open == 0;
        if lasted < WINDOW && !is_idle {
            return None;
        }
        let finished = std::mem::take(&mut self.finished);
        // While there is nothing to do, time does not count.
        self.window = (!is_idle).then_some(Window {
            began: now,
            from_idle: false,
        });
        // The rest of what was finished together says nothing.
        (lasted >= WINDOW || window.from_idle).then(|| lasted / finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_rate_counts_what_is_finished_in_a_window_however_many_work_at_a_time() {
        let start = Instant::now();
        let mut rate = HandlingRate::default();
        for _ in 0..8 {
            rate.handle_arrival(start);
        }
        // Four at a time, each 20 ms.
        let first: Vec<_> = (0..4)
            .map(|_| rate.handle_finished(start + 20 * MS))
            .collect();
        assert_eq!(first, [Some(20 * MS), None, None, None]);
        let second: Vec<_> = (0..4)
            .map(|_| rate.handle_finished(start + 40 * MS))
            .collect();
        assert_eq!(second, [Some(5 * MS), None, None, None]);
    }

    #[test]
    fn time_without_anything_to_do_does_not_count() {
        let start = Instant::now();
        let mut rate = HandlingRate::default();
        rate.handle_arrival(start);
        assert_eq!(rate.handle_finished(start + 3 * MS), Some(3 * MS));
        rate.handle_arrival(start + 1000 * MS);
        assert_eq!(rate.handle_finished(start + 1004 * MS), Some(4 * MS));
    }
}
