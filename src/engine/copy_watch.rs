//! When a socket with an outbox suspects that a copy of it is connected in its place.
//!
//! A bind end to which a socket of our identity is connected ends our connection without a word, once it has our HELLO. After a
//! crash that lasts until the bind end has given the old connection up, which takes it the heartbeat timeout at most.

use std::time::{Duration, Instant};

/// The refusals of one endpoint that may mean a duplicate, since the last attempt that meant something else.
#[derive(Debug, Default)]
pub(crate) struct CopyWatch {
    since: Option<Instant>,
    told: bool,
}

impl CopyWatch {
    /// An attempt was refused as a duplicate would be. Yields for how long that has been so, once, when it is longer than the
    /// heartbeat timeout.
    pub(crate) fn handle_refusal(&mut self, now: Instant, timeout: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        let is_due = lasted > timeout && !self.told;
        self.told |= is_due;
        is_due.then_some(lasted)
    }

    /// An attempt ended otherwise.
    pub(crate) fn handle_other(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    #[test]
    fn refusals_for_longer_than_the_heartbeat_timeout_are_told_of_once_and_again_after_a_success() {
        let mut watch = CopyWatch::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watch.handle_refusal(at(0), TIMEOUT), None);
        assert_eq!(watch.handle_refusal(at(15), TIMEOUT), None);
        let sixteen = Duration::from_secs(16);
        assert_eq!(watch.handle_refusal(at(16), TIMEOUT), Some(sixteen));
        assert_eq!(watch.handle_refusal(at(60), TIMEOUT), None);
        watch.handle_other();
        assert_eq!(watch.handle_refusal(at(70), TIMEOUT), None);
        assert_eq!(watch.handle_refusal(at(86), TIMEOUT), Some(sixteen));
    }
}
