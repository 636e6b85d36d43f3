//! Time for a peer that has come back to take its backlog.
//!
//! The backlog may be as large as the bound of the link, or larger. A full link is then no sign of a peer
//! that does not read: it has had no chance to. Without this time it would be disconnected again and again
//! before it could take anything.

use std::time::Duration;

/// Time for a peer to take its backlog.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time without any progress after which a peer counts as stalled with its backlog.
const STALLS_AFTER: Duration = Duration::from_secs(1);

/// Progress of a peer with its backlog. Of several peers the least one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backlog {
    /// Nothing had waited, the peer has taken it, or its time is over.
    None,
    /// The peer is taking it.
    Taken,
    /// The peer has taken nothing for a while, and has some time left.
    Stalled,
}

/// Result of a sweep for a peer that catches up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CatchUpStep {
    None,
    /// Tell the senders that wait for the link: the overflow policy may decide otherwise for them now.
    TellSenders,
}

/// The machine. Few links need it at a time, so that it takes its memory when it is started.
#[derive(Debug)]
pub(super) struct CatchUp(Option<Box<CatchUpProgress>>);

#[derive(Debug)]
struct CatchUpProgress {
    until: Duration,
    /// Messages that were written at the last sweep, and since when that is so.
    sent: u64,
    since: Duration,
}

impl CatchUp {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn start(&mut self, now: Duration, sent: u64) {
        self.0 = Some(Box::new(CatchUpProgress {
            until: now + PATIENCE,
            sent,
            since: now,
        }));
    }

    pub(super) fn backlog(&self, now: Duration, held: usize) -> Backlog {
        match &self.0 {
            Some(progress) if now < progress.until && held > 0 => progress.backlog(now),
            Some(_) | None => Backlog::None,
        }
    }

    /// Tells once, when the time is over or the peer has caught up, and as long as it takes nothing.
    pub(super) fn handle_sweep(&mut self, now: Duration, sent: u64, held: usize) -> CatchUpStep {
        let Some(progress) = &mut self.0 else {
            return CatchUpStep::None;
        };
        if progress.sent < sent {
            (progress.sent, progress.since) = (sent, now);
        }
        let stalled = progress.backlog(now) == Backlog::Stalled;
        if self.backlog(now, held) == Backlog::None {
            self.0 = None;
            return CatchUpStep::TellSenders;
        }
        if stalled {
            CatchUpStep::TellSenders
        } else {
            CatchUpStep::None
        }
    }
}

impl CatchUpProgress {
    fn backlog(&self, now: Duration) -> Backlog {
        if now.saturating_sub(self.since) >= STALLS_AFTER {
            Backlog::Stalled
        } else {
            Backlog::Taken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn started() -> CatchUp {
        let mut catch_up = CatchUp::new();
        catch_up.start(millis(1000), 7);
        catch_up
    }

    #[test]
    fn a_peer_for_which_much_has_waited_has_time_to_take_it() {
        let mut catch_up = started();
        assert_eq!(catch_up.backlog(millis(1999), 9), Backlog::Taken);
        assert_eq!(catch_up.backlog(millis(2000), 9), Backlog::Stalled);
        let steps = [1900, 2000, 10_999, 11_000, 12_000]
            .map(|now| catch_up.handle_sweep(millis(now), 7, 9));
        assert_eq!(
            steps,
            [
                CatchUpStep::None,
                CatchUpStep::TellSenders,
                CatchUpStep::TellSenders,
                CatchUpStep::TellSenders,
                CatchUpStep::None,
            ]
        );
        assert_eq!(catch_up.backlog(millis(12_000), 9), Backlog::None);
    }

    #[test]
    fn a_peer_takes_what_has_waited_as_long_as_something_is_written() {
        let mut catch_up = started();
        for second in 1..10 {
            let now = millis(1000 + second * 900);
            assert_eq!(catch_up.handle_sweep(now, 7 + second, 9), CatchUpStep::None);
            assert_eq!(catch_up.backlog(now, 9), Backlog::Taken);
        }
        assert!(catch_up.is_watched());
    }

    #[test]
    fn a_peer_that_has_taken_it_is_one_like_any_other() {
        let mut catch_up = started();
        assert_eq!(catch_up.backlog(millis(1100), 0), Backlog::None);
        assert_eq!(
            catch_up.handle_sweep(millis(1100), 16, 0),
            CatchUpStep::TellSenders
        );
        assert!(!catch_up.is_watched());
        assert_eq!(
            catch_up.handle_sweep(millis(1200), 16, 0),
            CatchUpStep::None
        );
    }
}
