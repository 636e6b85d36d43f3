//! Limit on restarts: a sliding window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most `max_restarts` within any `window`. A window of zero is none: then it is so many in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intensity {
    pub(crate) max_restarts: u32,
    pub(crate) window: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self {
            max_restarts: 5,
            window: Duration::from_secs(10),
        }
    }
}

impl Intensity {
    /// The life after which an actor counts as healthy: as long as the window, or as that of the default where there is none.
    pub(crate) fn healthy_after(self) -> Duration {
        if self.window.is_zero() {
            Self::default().window
        } else {
            self.window
        }
    }

    fn counts(self, restart: Instant, now: Instant) -> bool {
        self.window.is_zero() || now.saturating_duration_since(restart) < self.window
    }
}

/// Result of one more restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartQuota {
    Granted,
    Exhausted,
}

/// The restarts of the last window. It remembers at most `max_restarts` instants.
#[derive(Clone, Debug)]
pub(crate) struct RestartWindow {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl RestartWindow {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            recent: VecDeque::new(),
        }
    }

    pub(crate) fn intensity(&self) -> Intensity {
        self.intensity
    }

    /// Counts a restart at `now` if it is within the intensity. A refused restart is not counted.
    pub(crate) fn admit(&mut self, now: Instant) -> RestartQuota {
        while let Some(oldest) = self.recent.front()
            && !self.intensity.counts(*oldest, now)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.intensity.max_restarts as usize {
            return RestartQuota::Exhausted;
        }
        self.recent.push_back(now);
        RestartQuota::Granted
    }

    /// The restarts that the window holds at `now`.
    pub(crate) fn spent(&self, now: Instant) -> u32 {
        let recent = self.recent.iter();
        let spent = recent.filter(|at| self.intensity.counts(**at, now));
        u32::try_from(spent.count()).unwrap_or(u32::MAX)
    }

    pub(crate) fn reset(&mut self) {
        self.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RestartQuota::{Exhausted, Granted};

    #[test]
    fn restarts_that_are_older_than_the_window_are_not_spent_any_more() {
        let mut window = window(3, 10);
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let _ = (window.admit(at(0)), window.admit(at(6)));
        let spent = [0, 6, 9, 10, 15, 16].map(|s| window.spent(at(s)));
        assert_eq!(spent, [2, 2, 2, 1, 1, 0]);
    }

    fn window(max_restarts: u32, seconds: u64) -> RestartWindow {
        RestartWindow::new(Intensity {
            max_restarts,
            window: Duration::from_secs(seconds),
        })
    }

    fn admitted(window: &mut RestartWindow, seconds: &[u64]) -> Vec<RestartQuota> {
        let start = Instant::now();
        let at = |s: &u64| start + Duration::from_secs(*s);
        seconds.iter().map(|s| window.admit(at(s))).collect()
    }

    #[test]
    fn the_restart_after_the_last_one_allowed_is_refused() {
        let answers = admitted(&mut window(3, 10), &[0, 1, 2, 3]);
        assert_eq!(answers, [Granted, Granted, Granted, Exhausted]);
    }

    #[test]
    fn a_restart_leaves_the_window_when_it_is_as_old_as_the_window_is_long() {
        let answers = admitted(&mut window(2, 10), &[0, 1, 9, 10, 11, 12]);
        assert_eq!(
            answers,
            [Granted, Granted, Exhausted, Granted, Granted, Exhausted]
        );
    }

    #[test]
    fn spread_out_restarts_go_on_for_ever_in_bounded_memory() {
        let mut window = window(5, 10);
        let seconds: Vec<_> = (0..1_000).map(|n| n * 3).collect();
        assert!(
            admitted(&mut window, &seconds)
                .iter()
                .all(|a| *a == Granted)
        );
        assert!(window.recent.len() <= 5);
    }

    #[test]
    fn without_a_window_restarts_are_counted_for_ever() {
        let mut all = window(2, 0);
        let answers = admitted(&mut all, &[0, 1, 1_000_000]);
        assert_eq!(answers, [Granted, Granted, Exhausted]);
        let later = Instant::now() + Duration::from_secs(1_000_000);
        assert_eq!(all.spent(later), 2);
        let healthy_after = all.intensity().healthy_after();
        assert_eq!(healthy_after, Duration::from_secs(10));
        all.reset();
        assert_eq!(all.admit(later), Granted);
    }

    #[test]
    fn an_intensity_of_zero_admits_none_and_a_reset_forgets_all() {
        assert_eq!(admitted(&mut window(0, 10), &[0]), [Exhausted]);
        let mut one = window(1, 10);
        let now = Instant::now();
        assert_eq!([one.admit(now), one.admit(now)], [Granted, Exhausted]);
        one.reset();
        assert_eq!(one.admit(now), Granted);
    }
}
