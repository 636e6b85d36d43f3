//! When the log says that a service is waited for that nobody offers.

use std::time::{Duration, Instant};

/// For how long it may be late without a word about it: either end may start first.
const GRACE: Duration = Duration::from_secs(5);
/// Between two lines.
const PERIOD: Duration = Duration::from_secs(60);
/// Time after which it is looked again whether there are peers.
const LOOK: Duration = Duration::from_secs(2);

/// A service, as long as somebody waits for it and nobody offers it.
#[derive(Debug, Default)]
pub(crate) struct MissingService {
    /// When the wait began.
    since: Option<Instant>,
    last_line: Option<Instant>,
}

/// What is known of a service now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Somebody offers it.
    Offered,
    /// Nobody offers it, and nobody waits for it.
    None,
    /// It is waited for, and there are no peers.
    Alone,
    /// It is waited for, and no peer offers it.
    Missed,
}

/// What the log has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingLine {
    /// It has been missed for so long.
    Missed(Duration),
    /// It is offered, after a line has said that it is missed.
    Found,
}

impl MissingService {
    /// Looks at it now. Yields the line for which it is time, and when to look again.
    pub(crate) fn handle_time(
        &mut self,
        now: Instant,
        demand: Demand,
    ) -> (Option<MissingLine>, Option<Instant>) {
        match demand {
            Demand::Offered => {
                let missed = std::mem::take(self).last_line;
                (missed.map(|_| MissingLine::Found), None)
            }
            Demand::None => {
                self.since = None;
                (None, None)
            }
            Demand::Alone => {
                self.since = None;
                (None, Some(now + LOOK))
            }
            Demand::Missed => {
                let since = *self.since.get_or_insert(now);
                let due = self.due(since);
                if now < due {
                    return (None, Some(due));
                }
                self.last_line = Some(now);
                let missed = now.saturating_duration_since(since);
                (Some(MissingLine::Missed(missed)), Some(now + PERIOD))
            }
        }
    }

    fn due(&self, since: Instant) -> Instant {
        let next = self.last_line.map(|line| line + PERIOD);
        next.map_or(since + GRACE, |next| next.max(since + GRACE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds at which there is a line, where it is looked each second until `end`.
    fn lines(
        missing: &mut MissingService,
        start: Instant,
        end: u32,
        demand: impl Fn(u32) -> Demand,
    ) -> Vec<(u32, MissingLine)> {
        let look = |second: u32| {
            let now = start + second * SECOND;
            let (line, _) = missing.handle_time(now, demand(second));
            line.map(|line| (second, line))
        };
        (0..end).filter_map(look).collect()
    }

    #[test]
    fn there_is_a_line_within_ten_seconds_then_one_a_minute_and_one_at_the_end() {
        let mut missing = MissingService::default();
        let demand = |second| match second {
            0..2 => Demand::Alone,
            2..100 => Demand::Missed,
            _ => Demand::Offered,
        };
        let told = lines(&mut missing, Instant::now(), 200, demand);
        let expected = [
            (7, MissingLine::Missed(5 * SECOND)),
            (67, MissingLine::Missed(65 * SECOND)),
            (100, MissingLine::Found),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn who_waits_for_less_than_the_grace_again_and_again_is_no_line() {
        let mut missing = MissingService::default();
        let demand = |second| match second % 5 {
            0 => Demand::None,
            _ => Demand::Missed,
        };
        let told = lines(&mut missing, Instant::now(), 200, demand);
        assert_eq!(told, []);
        assert_eq!(
            lines(&mut missing, Instant::now(), 9, |_| Demand::Offered),
            []
        );
    }

    #[test]
    fn it_is_looked_again_when_there_may_be_a_line() {
        let (now, mut missing) = (Instant::now(), MissingService::default());
        let mut look = |now, demand| missing.handle_time(now, demand).1;
        assert_eq!(look(now, Demand::None), None);
        assert_eq!(look(now, Demand::Alone), Some(now + LOOK));
        assert_eq!(look(now, Demand::Missed), Some(now + GRACE));
        assert_eq!(
            look(now + GRACE, Demand::Missed),
            Some(now + GRACE + PERIOD)
        );
        assert_eq!(look(now + GRACE, Demand::None), None);
        assert_eq!(
            look(now + GRACE, Demand::Missed),
            Some(now + GRACE + PERIOD)
        );
        assert_eq!(look(now + GRACE, Demand::Offered), None);
    }
}
