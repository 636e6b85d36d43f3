//! Whether a peer ends its connections because of a message.
//!
//! A message above the frame limit of its peer, or one that crashes it, ends every connection that it is sent
//! on, and whatever is behind it never arrives. A bad network ends connections, too, and no message is to be lost for
//! that. So nothing counts but ends by the peer of connections on which the message was alone; and a verdict takes
//! several trials in a row, each right after a long time that the connection has lasted without the message.
//!
//! A long proof must not delay a message that is good: it is tried again early, and ever later if that fails. If it is
//! acknowledged, all is well. If the peer ends the connection, that proves nothing, as it has not lasted long enough
//! without the message, and counts neither for it nor against it.
//!
//! A network that ends connections by chance passes for such a peer once in a billion times: five trials on end
//! take so long together, then eight times as long nothing ends, then within that time something does, and
//! both three times more.

use std::time::Duration;

/// Ends, after which a message is sent alone.
const ALONE_AFTER: u32 = 2;
/// Ends with the message alone, after which it is set apart.
const APART_AFTER: u32 = 5;
/// Trials after which it is convicted, each on a connection that has lasted without it.
const LAST_TRIALS: u32 = 4;
/// How much longer a connection must last without the message than all those have lasted with it.
const QUIET_FACTOR: u32 = 8;
/// The least time that it must last.
const LEAST_QUIET: Duration = Duration::from_secs(1);
/// When a message that is set apart is first tried again, if the connection must last longer for a trial that counts.
const FIRST_EARLY: Duration = Duration::from_secs(30);

/// How a message may be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Among others.
    Free,
    /// While no other waits for its acknowledgement.
    Alone,
    /// Once the connection has lasted so long without it.
    Apart(Duration),
}

/// What the end of a connection by its peer was for a message that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerEnd {
    /// The message was not written.
    Without,
    /// It was not written, and one other message waited alone, which may be the reason.
    OfAnother,
    /// It was not written, and another that is under suspicion was.
    OfSuspect,
    /// It was written, and so were others.
    Among,
    /// It was written, and waited alone for its acknowledgement, for so long.
    Alone(Duration),
}

/// The messages that were written on a connection and not acknowledged when its peer ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// All of them.
    pub(crate) messages: usize,
    /// Those that were under suspicion.
    pub(crate) suspects: usize,
}

impl Written {
    /// What the end was for one of them.
    pub(crate) fn end(self, lasted: impl FnOnce() -> Duration) -> PeerEnd {
        match self.messages {
            1 => PeerEnd::Alone(lasted()),
            _ => PeerEnd::Among,
        }
    }

    /// What the end was for a message that was not written.
    pub(crate) const fn end_of_others(self) -> PeerEnd {
        match self {
            Self { suspects: 1.., .. } => PeerEnd::OfSuspect,
            Self { messages: 1, .. } => PeerEnd::OfAnother,
            _ => PeerEnd::Without,
        }
    }
}

/// The case of one message and one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Blame {
    ends: u32,
    alone: u32,
    lasted: Duration,
    next: Trial,
    last_trials: u32,
    /// Early trials that the peer has ended.
    early_trials: u32,
}

/// What the next trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Trial {
    /// One of the first, or none yet.
    #[default]
    First,
    /// The connection has lasted a while without the message: only an acknowledgement counts.
    Early,
    /// The connection has lasted so long without it that the trial is one of the last.
    Last,
}

impl Blame {
    /// The peer has ended a connection. What is not told here, our own end of it, silence, a time limit, a
    /// replacement or a failure of the network, says nothing against the message.
    pub(crate) fn handle_end(&mut self, end: PeerEnd) {
        match end {
            // The connections end without it: nothing that was found before counts. It goes alone until it is
            // acknowledged, so that two that the peer cannot take do not acquit each other by going together.
            PeerEnd::Without => {
                *self = Self {
                    ends: self.ends.min(ALONE_AFTER),
                    ..Self::default()
                };
            }
            // Another that it cannot take, or a bad network: the next quiet is longer by a trial.
            PeerEnd::OfAnother => {
                if let Some(mean) = self.lasted.checked_div(self.alone) {
                    self.lasted = self.lasted.saturating_add(mean);
                }
            }
            // Nothing to go by: several suspects must not acquit each other. The time of the trial of another does not
            // count as quiet, so that a bad network gains nothing by it.
            PeerEnd::OfSuspect => {}
            PeerEnd::Among => self.ends = self.ends.saturating_add(1),
            PeerEnd::Alone(lasted) => {
                self.ends = self.ends.saturating_add(1);
                let trial = std::mem::take(&mut self.next);
                if trial == Trial::Early {
                    self.early_trials += 1;
                    return;
                }
                // One that lasts longer is of another kind than those before; it makes the next quiet longer.
                let is_alike = lasted <= self.quiet() / QUIET_FACTOR;
                if trial == Trial::Last && is_alike {
                    self.last_trials += 1;
                }
                self.alone += 1;
                self.lasted = self.lasted.saturating_add(lasted);
            }
        }
    }

    /// The connection has lasted without the message for as long as its [`standing`](Self::standing) said.
    pub(crate) fn handle_quiet(&mut self) {
        self.next = match self.early() < self.quiet() {
            true => Trial::Early,
            false => Trial::Last,
        };
    }

    /// How long a connection must last without the message until that is tried early.
    fn early(&self) -> Duration {
        FIRST_EARLY.saturating_mul(1_u32.checked_shl(self.early_trials).unwrap_or(u32::MAX))
    }

    /// How long a connection must last without the message for a trial that counts.
    fn quiet(&self) -> Duration {
        self.lasted.saturating_mul(QUIET_FACTOR).max(LEAST_QUIET)
    }

    /// How the message may be sent now.
    pub(crate) fn standing(&self) -> Standing {
        if self.alone >= APART_AFTER && self.next == Trial::First && !self.is_convicted() {
            Standing::Apart(self.quiet().min(self.early()))
        } else if self.ends >= ALONE_AFTER {
            Standing::Alone
        } else {
            Standing::Free
        }
    }

    /// True if the peer ends its connections because of the message.
    pub(crate) const fn is_convicted(&self) -> bool {
        self.last_trials >= LAST_TRIALS
    }

    /// True if the peer has ended so many connections on which it was never alone that it is to be sent behind others.
    pub(crate) const fn hides_among_others(&self) -> bool {
        self.ends >= APART_AFTER && self.alone == 0 && self.early_trials == 0
    }

    /// Connections that the peer has ended while the message was alone on them.
    pub(crate) const fn ends_alone(&self) -> u32 {
        self.alone + self.early_trials
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_message_that_ends_each_connection_is_tried_alone_set_apart_tried_four_times_more_and_convicted()
     {
        let mut blame = Blame::default();
        let mut standings = Vec::new();
        for _ in 0..2 {
            standings.push(blame.standing());
            blame.handle_end(PeerEnd::Among);
        }
        for _ in 0..5 {
            standings.push(blame.standing());
            blame.handle_end(PeerEnd::Alone(millis(100)));
        }
        let (free, alone) = (Standing::Free, Standing::Alone);
        assert_eq!(standings, [free, free, alone, alone, alone, alone, alone]);
        for quiet in [4_000, 4_800, 5_600, 6_400] {
            assert!(!blame.is_convicted());
            assert_eq!(blame.standing(), Standing::Apart(millis(quiet)));
            blame.handle_quiet();
            assert_eq!(blame.standing(), Standing::Alone);
            blame.handle_end(PeerEnd::Alone(millis(100)));
        }
        assert!(blame.is_convicted());
        assert_eq!(blame.ends_alone(), 9);
    }

    #[test]
    fn a_last_trial_that_takes_longer_than_all_before_it_counts_for_nothing() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(100))));
        blame.handle_quiet();
        blame.handle_end(PeerEnd::Alone(millis(501)));
        assert_eq!(blame.standing(), Standing::Apart(millis(8 * 1_001)));
        for _ in 0..4 {
            assert!(!blame.is_convicted());
            blame.handle_quiet();
            blame.handle_end(PeerEnd::Alone(millis(100)));
        }
        assert!(blame.is_convicted());
    }

    #[test]
    fn a_message_whose_trials_took_long_is_tried_early_and_ever_later_and_only_a_long_quiet_counts()
    {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(20_000))));
        // 5 × 20 s, times 8.
        for wait in [30_000, 60_000, 120_000, 240_000, 480_000] {
            assert_eq!(blame.standing(), Standing::Apart(millis(wait)));
            blame.handle_quiet();
            assert_eq!(blame.standing(), Standing::Alone);
            blame.handle_end(PeerEnd::Alone(millis(1)));
        }
        // The third of these is early, too: 8 × 7 × 20 s are more.
        for wait in [800_000, 960_000, 960_000, 1_120_000, 1_280_000] {
            assert!(!blame.is_convicted());
            assert_eq!(blame.standing(), Standing::Apart(millis(wait)));
            blame.handle_quiet();
            blame.handle_end(PeerEnd::Alone(millis(20_000)));
        }
        assert!(blame.is_convicted());
        assert_eq!(blame.ends_alone(), 15);
    }

    #[test]
    fn an_end_without_the_message_forgets_its_early_trials() {
        let mut blame = Blame::default();
        for _ in 0..2 {
            (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(20_000))));
            assert_eq!(blame.standing(), Standing::Apart(FIRST_EARLY));
            blame.handle_quiet();
            blame.handle_end(PeerEnd::Alone(millis(20_000)));
            assert_eq!(blame.standing(), Standing::Apart(2 * FIRST_EARLY));
            blame.handle_end(PeerEnd::Without);
        }
    }

    #[test]
    fn an_end_acquits_what_was_not_written_unless_a_single_message_or_a_suspect_was() {
        let lasted = millis(7);
        for (messages, suspects, written, others) in [
            (0, 0, None, PeerEnd::Without),
            (1, 0, Some(PeerEnd::Alone(lasted)), PeerEnd::OfAnother),
            (1, 1, Some(PeerEnd::Alone(lasted)), PeerEnd::OfSuspect),
            (2, 0, Some(PeerEnd::Among), PeerEnd::Without),
            (2, 1, Some(PeerEnd::Among), PeerEnd::OfSuspect),
            (3, 3, Some(PeerEnd::Among), PeerEnd::OfSuspect),
        ] {
            let all = Written { messages, suspects };
            assert_eq!(all.end_of_others(), others, "{all:?}");
            if let Some(written) = written {
                assert_eq!(all.end(|| lasted), written, "{all:?}");
            }
        }
    }

    #[test]
    fn what_ends_at_once_is_set_apart_for_a_second() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(1))));
        assert_eq!(blame.standing(), Standing::Apart(LEAST_QUIET));
    }

    #[test]
    fn an_end_without_the_message_acquits_it_and_it_goes_alone_from_then_on() {
        let mut blame = Blame::default();
        blame.handle_end(PeerEnd::Without);
        assert_eq!(blame, Blame::default());
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(1))));
        blame.handle_end(PeerEnd::Without);
        assert_eq!(blame.ends_alone(), 0);
        for _ in 0..5 {
            assert_eq!(blame.standing(), Standing::Alone);
            blame.handle_end(PeerEnd::Alone(millis(1)));
        }
        assert_eq!(blame.standing(), Standing::Apart(LEAST_QUIET));
    }

    #[test]
    fn no_number_of_ends_is_too_large() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(100))));
        (0..1_000).for_each(|_| blame.handle_end(PeerEnd::OfAnother));
        blame.handle_end(PeerEnd::Alone(Duration::MAX));
        assert_eq!(blame.standing(), Standing::Apart(FIRST_EARLY));
        for _ in 0..100 {
            blame.handle_quiet();
            blame.handle_end(PeerEnd::Alone(Duration::MAX));
        }
        let Standing::Apart(wait) = blame.standing() else {
            panic!("{blame:?}");
        };
        assert!(Instant::now().checked_add(wait).is_some());
        assert!(!blame.is_convicted());
    }

    #[test]
    fn an_end_while_another_message_waits_alone_makes_the_quiet_longer_and_no_more() {
        let mut blame = Blame::default();
        blame.handle_end(PeerEnd::OfAnother);
        assert_eq!(blame, Blame::default());
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(100))));
        blame.handle_end(PeerEnd::OfAnother);
        assert_eq!(blame.standing(), Standing::Apart(millis(8 * 600)));
    }

    #[test]
    fn an_end_with_another_suspect_changes_nothing() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(100))));
        let before = blame;
        blame.handle_end(PeerEnd::OfSuspect);
        assert_eq!(blame, before);
    }

    #[test]
    fn ends_among_others_never_convict() {
        let mut blame = Blame::default();
        (0..1_000).for_each(|_| blame.handle_end(PeerEnd::Among));
        assert_eq!(blame.standing(), Standing::Alone);
        assert!(!blame.is_convicted());
    }

    /// A network that cuts each connection, whatever is written on it, after one of these times, one after the other
    /// and round again. Yields whether it convicts a message that takes longer than any of them.
    fn convicts(cuts: &[u64], connections: usize) -> bool {
        let mut blame = Blame::default();
        for &cut in cuts.iter().cycle().take(connections) {
            let cut = millis(cut);
            let end = match blame.standing() {
                Standing::Free => PeerEnd::Among,
                Standing::Alone => PeerEnd::Alone(cut),
                Standing::Apart(quiet) if cut > quiet => {
                    blame.handle_quiet();
                    PeerEnd::Alone(cut - quiet)
                }
                Standing::Apart(_) => PeerEnd::Without,
            };
            blame.handle_end(end);
            if blame.is_convicted() {
                return true;
            }
        }
        false
    }

    /// A network that cuts each connection by chance, at any time alike. An acknowledgement takes `latency` of the mean
    /// time between two cuts, or for ever. Yields whether a message is convicted before it is acknowledged.
    fn convicts_by_chance(chance: &mut Chance, latency: f64) -> bool {
        let mut blame = Blame::default();
        for _ in 0..200 {
            let cut = chance.exponential();
            let before = match blame.standing() {
                Standing::Apart(quiet) => quiet.as_secs_f64(),
                Standing::Alone | Standing::Free => 0.0,
            };
            if cut < before {
                blame.handle_end(PeerEnd::Without);
                continue;
            }
            if before > 0.0 {
                blame.handle_quiet();
            }
            let alone = cut - before;
            if alone > latency {
                return false;
            }
            blame.handle_end(match blame.standing() {
                Standing::Free => PeerEnd::Among,
                _ => PeerEnd::Alone(Duration::from_secs_f64(alone)),
            });
            if blame.is_convicted() {
                return true;
            }
        }
        false
    }

    struct Chance(u64);

    impl Chance {
        /// Of mean 60 s, so that the least quiet does not count.
        fn exponential(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let uniform = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
            -60.0 * (1.0 - uniform).ln()
        }
    }

    #[test]
    fn cuts_by_chance_convict_no_message_of_a_hundred_thousand() {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        for latency in [6.0, 60.0, 600.0, f64::INFINITY] {
            for case in 0..25_000 {
                assert!(
                    !convicts_by_chance(&mut chance, latency),
                    "{latency} {case}"
                );
            }
        }
    }

    proptest! {
        /// The connections of a bad network last a while with a message or without it, and none lasts forty times
        /// as long as another.
        #[test]
        fn a_bad_network_never_convicts_a_message(
            shortest in 1..10_000_u64,
            factors in prop::collection::vec(1.0..40.0_f64, 1..40),
        ) {
            let cuts: Vec<u64> = factors.iter().map(|f| (shortest as f64 * f) as u64).collect();
            prop_assert!(!convicts(&cuts, 1_000));
        }

        /// A message that ends its connections within any time is convicted, and none before the peer has ended nine of
        /// them with it alone, and four have lasted without it.
        #[test]
        fn a_message_that_ends_its_connections_is_convicted(times in prop::collection::vec(0..5_000_u64, 1..20)) {
            let mut blame = Blame::default();
            let mut quiet = 0;
            let mut ends = 0;
            for &time in times.iter().cycle().take(60) {
                if let Standing::Apart(_) = blame.standing() {
                    blame.handle_quiet();
                    quiet += 1;
                }
                blame.handle_end(PeerEnd::Alone(millis(time)));
                ends += 1;
                if blame.is_convicted() {
                    break;
                }
            }
            prop_assert!(blame.is_convicted());
            prop_assert!(ends >= 9 && quiet == ends - 5);
        }
    }
}
