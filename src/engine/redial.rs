//! Decides what a dialer does after each attempt (WIRE §7.4): pause and dial again, or wait for the end
//! of a connection that the peer has already.

use std::time::Duration;

use super::Delays;
use crate::event::RefusalReason;
use crate::id::Identity;

/// A connection that was up for this long was a success: the backoff begins anew.
pub(crate) const HEALTHY: Duration = Duration::from_secs(1);

/// The shortest pause that a curve of the application's own is taken at.
const FLOOR: Duration = Duration::from_millis(10);

/// Outcome of one attempt of a dialer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DialOutcome {
    /// The connection was up, with this peer and for this long.
    Ended(Identity, Duration),
    /// The connection panicked, or was given up on our side before it was up.
    Abandoned,
    /// The connection carried nothing.
    Refused(RefusalReason),
    /// The peer is connected already.
    Duplicate(Identity),
}

/// The dialer's next step after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AfterDial {
    /// Dials again after this pause.
    Pause(Duration),
    /// Announces the failure of an attempt, and dials again after a pause.
    Fail {
        attempt: u32,
        next_try: Duration,
        reason: RefusalReason,
    },
    /// Waits until the connection that this peer has already is gone, and reports how long that took to
    /// [`Redial::handle_gone`]: dialling it meanwhile would be in vain.
    WaitUntilGone(Identity),
}

/// The memory of a dialer: its backoff, and whom it has found at its endpoint.
#[derive(Debug)]
pub(crate) struct Redial {
    delays: Delays,
    peer: Option<Identity>,
    /// The last attempt ended without a word, and it is not known who is there.
    turned_away: bool,
}

impl Redial {
    pub(crate) fn new(delays: Delays) -> Self {
        Self {
            delays,
            peer: None,
            turned_away: false,
        }
    }

    /// True if the bind end is to be asked whether we are connected already: the last time it has sent us away without a
    /// word, as it does then.
    pub(crate) fn asks_whether_known(&self) -> bool {
        self.turned_away
    }

    /// The number of the attempt that comes next, or is underway, since the last success.
    pub(crate) fn attempt(&self) -> u32 {
        self.delays.attempts().saturating_add(1)
    }

    /// An attempt has ended. `is_connected` tells whether a peer is connected, by whatever connection.
    pub(crate) fn handle_outcome(
        &mut self,
        outcome: DialOutcome,
        is_connected: impl FnOnce(Identity) -> bool,
    ) -> AfterDial {
        self.turned_away =
            matches!(&outcome, DialOutcome::Refused(reason) if may_be_connected(reason));
        match outcome {
            DialOutcome::Ended(peer, lasted) => {
                self.peer = Some(peer);
                AfterDial::Pause(self.pause_after(lasted))
            }
            DialOutcome::Abandoned => AfterDial::Pause(self.delays.next_delay_above(FLOOR)),
            DialOutcome::Duplicate(peer) => {
                self.peer = Some(peer);
                AfterDial::WaitUntilGone(peer)
            }
            DialOutcome::Refused(reason) => match self.connected_peer(&reason, is_connected) {
                Some(peer) => AfterDial::WaitUntilGone(peer),
                None => AfterDial::Fail {
                    attempt: self.attempt(),
                    next_try: self.delays.next_delay_above(FLOOR),
                    reason,
                },
            },
        }
    }

    /// The peer of the endpoint, if it is connected and may have refused us for it: there is no point in
    /// another attempt, or in another address, before that connection is gone.
    pub(crate) fn connected_peer(
        &self,
        reason: &RefusalReason,
        is_connected: impl FnOnce(Identity) -> bool,
    ) -> Option<Identity> {
        let suspect = self.peer.filter(|_| may_be_connected(reason));
        suspect.filter(|&peer| is_connected(peer))
    }

    /// The peer's other connection was gone after so long. Yields the pause before the next attempt.
    pub(crate) fn handle_gone(&mut self, waited: Duration) -> Duration {
        self.pause_after(waited)
    }

    fn pause_after(&mut self, connected: Duration) -> Duration {
        if connected >= HEALTHY {
            self.delays.reset();
        }
        self.delays.next_delay_above(FLOOR)
    }
}

/// True if the bind end may have refused us because we are connected: it sends no HELLO then, and so does
/// not tell who it is.
pub(crate) fn may_be_connected(reason: &RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::Ended { received: 0 } | RefusalReason::NotWanted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Backoff;

    const PEER: Identity = Identity::from_bytes([7; 16]);
    const LONG: Duration = Duration::from_secs(1);
    const SHORT: Duration = Duration::from_millis(999);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Pauses for 100 ms, then twice as long each time.
    fn redial() -> Redial {
        let backoff = Backoff::exponential(millis(100), millis(10_000)).without_jitter();
        Redial::new(backoff.delays())
    }

    fn connected(peer: Identity) -> bool {
        assert_eq!(peer, PEER);
        true
    }

    fn refused(attempt: u32, next_try: u64, reason: RefusalReason) -> AfterDial {
        AfterDial::Fail {
            attempt,
            next_try: millis(next_try),
            reason,
        }
    }

    fn never_asked(_: Identity) -> bool {
        panic!("no peer is suspected")
    }

    #[test]
    fn failures_are_counted_and_pauses_grow_until_a_connection_lasts() {
        let mut redial = redial();
        let mut fail =
            || redial.handle_outcome(DialOutcome::Refused(RefusalReason::TimedOut), never_asked);
        assert_eq!(fail(), refused(1, 100, RefusalReason::TimedOut));
        assert_eq!(fail(), refused(2, 200, RefusalReason::TimedOut));
        assert_eq!(redial.attempt(), 3);
        let mut end = |lasted| redial.handle_outcome(DialOutcome::Ended(PEER, lasted), never_asked);
        assert_eq!(end(SHORT), AfterDial::Pause(millis(400)));
        assert_eq!(end(LONG), AfterDial::Pause(millis(100)));
        assert_eq!(redial.attempt(), 2);
    }

    #[test]
    fn a_connection_that_was_abandoned_is_a_failure_that_nobody_is_told_of() {
        let mut redial = redial();
        let mut abandon = || redial.handle_outcome(DialOutcome::Abandoned, never_asked);
        assert_eq!(abandon(), AfterDial::Pause(millis(100)));
        assert_eq!(abandon(), AfterDial::Pause(millis(200)));
    }

    #[test]
    fn a_duplicate_waits_for_the_other_connection_which_counts_as_ours_would() {
        let mut redial = redial();
        let mut duplicate = |waited| {
            let next = redial.handle_outcome(DialOutcome::Duplicate(PEER), never_asked);
            assert_eq!(next, AfterDial::WaitUntilGone(PEER));
            redial.handle_gone(waited)
        };
        assert_eq!(duplicate(SHORT), millis(100));
        assert_eq!(duplicate(SHORT), millis(200));
        assert_eq!(duplicate(LONG), millis(100));
    }

    #[test]
    fn a_bind_end_that_ends_without_a_word_is_waited_for_if_its_peer_is_connected() {
        for silent in [
            RefusalReason::Ended { received: 0 },
            RefusalReason::NotWanted,
        ] {
            let mut redial = redial();
            let outcome = DialOutcome::Refused(silent.clone());
            let unknown = redial.handle_outcome(outcome.clone(), never_asked);
            assert_eq!(unknown, refused(1, 100, silent.clone()));
            redial.handle_outcome(DialOutcome::Ended(PEER, LONG), never_asked);
            let known = redial.handle_outcome(outcome.clone(), connected);
            assert_eq!(known, AfterDial::WaitUntilGone(PEER));
            let gone = redial.handle_outcome(outcome, |_| false);
            assert_eq!(gone, refused(2, 200, silent));
        }
    }

    #[test]
    fn whoever_was_sent_away_without_a_word_asks_the_next_time() {
        let mut redial = redial();
        assert!(!redial.asks_whether_known());
        for (reason, asks) in [
            (RefusalReason::TimedOut, false),
            (RefusalReason::Ended { received: 0 }, true),
            (RefusalReason::NotWanted, true),
            (RefusalReason::Ended { received: 1 }, false),
        ] {
            redial.handle_outcome(DialOutcome::Refused(reason), never_asked);
            assert_eq!(redial.asks_whether_known(), asks);
        }
        redial.handle_outcome(DialOutcome::Ended(PEER, LONG), never_asked);
        assert!(!redial.asks_whether_known());
    }

    #[test]
    fn a_refusal_with_a_reason_is_a_failure_whoever_is_connected() {
        let mut redial = redial();
        redial.handle_outcome(DialOutcome::Duplicate(PEER), never_asked);
        let reason = RefusalReason::Ended { received: 3 };
        let next = redial.handle_outcome(DialOutcome::Refused(reason.clone()), never_asked);
        assert_eq!(next, refused(1, 100, reason));
    }

    #[test]
    fn a_curve_of_ones_own_that_does_not_pause_does_not_spin() {
        let mut redial = Redial::new(Backoff::from_fn(|_| Duration::ZERO).delays());
        let abandoned = redial.handle_outcome(DialOutcome::Abandoned, never_asked);
        assert_eq!(abandoned, AfterDial::Pause(FLOOR));
        assert_eq!(redial.handle_gone(LONG), FLOOR);
    }
}
