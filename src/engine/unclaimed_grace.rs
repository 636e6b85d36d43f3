//! When messages may be given up that nobody has ever subscribed to.
//!
//! A socket that only sends must come to the acknowledgements behind what its peers send, and gives that up. An actor
//! that subscribes a moment after its socket has started must not lose what came before.

use std::time::{Duration, Instant};

/// How long such messages wait for a subscription once they are in the way.
const GRACE: Duration = Duration::from_secs(2);

/// The grace of a socket, which it has once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum UnclaimedGrace {
    /// Nothing has been in the way.
    #[default]
    Unused,
    /// Messages are in the way since then.
    Since(Instant),
    Over,
}

impl UnclaimedGrace {
    /// Messages that nobody has ever subscribed to fill the inbox before an acknowledgement or an answer. True if
    /// they may be given up.
    pub(crate) fn handle_shortage(&mut self, now: Instant) -> bool {
        if *self == Self::Unused {
            *self = Self::Since(now);
        }
        self.handle_sweep(now);
        *self == Self::Over
    }

    /// True if the grace has just ended: readers that wait are to look again.
    pub(crate) fn handle_sweep(&mut self, now: Instant) -> bool {
        let ends = match *self {
            Self::Since(since) => now.saturating_duration_since(since) >= GRACE,
            Self::Unused | Self::Over => false,
        };
        if ends {
            *self = Self::Over;
        }
        ends
    }

    /// True while messages are in the way and wait all the same.
    pub(crate) const fn is_running(self) -> bool {
        matches!(self, Self::Since(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_waits_for_a_subscription_once_for_two_seconds() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut grace = UnclaimedGrace::default();
        assert!(!grace.handle_sweep(at(0)) && !grace.is_running());
        // It begins with the first that is in the way, however long the socket has been up.
        assert!(!grace.handle_shortage(at(10_000)));
        assert!(grace.is_running());
        assert!(!grace.handle_shortage(at(11_999)) && !grace.handle_sweep(at(11_999)));
        assert!(grace.handle_sweep(at(12_000)), "those who wait are told");
        assert!(grace.handle_shortage(at(12_000)));
        assert!(!grace.handle_sweep(at(12_001)) && !grace.is_running());
        assert!(grace.handle_shortage(at(90_000)), "there is no second one");
    }

    #[test]
    fn the_grace_ends_without_a_sweep_too() {
        let start = Instant::now();
        let mut grace = UnclaimedGrace::default();
        assert!(!grace.handle_shortage(start));
        assert!(grace.handle_shortage(start + GRACE));
    }
}
