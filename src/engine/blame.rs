//! Whether a peer ends its connections because of a message.
//!
//! A message above the frame limit of its peer, or one that crashes it, ends every connection that it is sent
//! on, and whatever is behind it never arrives. A bad network ends connections, too, and no message is to be lost for
//! that. So nothing counts but ends by the peer of connections on which the message was alone; and before the
//! verdict, the connections must last without the message.

use std::time::Duration;

/// Ends, after which a message is sent alone.
const ALONE_AFTER: u32 = 2;
/// Ends with the message alone, after which it is set apart.
const APART_AFTER: u32 = 5;
/// How much longer a connection must last without the message than all those have lasted with it.
const QUIET_FACTOR: u32 = 4;
/// The least time that it must last.
const LEAST_QUIET: Duration = Duration::from_secs(1);

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
    /// It was written, and so were others.
    Among,
    /// It was written, and waited alone for its acknowledgement, for so long.
    Alone(Duration),
}

/// The case of one message and one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Blame {
    ends: u32,
    alone: u32,
    lasted: Duration,
    /// Connections last without it: this is its last trial.
    last_trial: bool,
    convicted: bool,
}

impl Blame {
    /// The peer has ended a connection. What is not told here, our own end of it, silence, a time limit, a
    /// replacement or a failure of the network, says nothing about the message.
    pub(crate) fn handle_end(&mut self, end: PeerEnd) {
        match end {
            // The connections end without it.
            PeerEnd::Without => *self = Self::default(),
            PeerEnd::Among => self.ends += 1,
            PeerEnd::Alone(lasted) => {
                self.ends += 1;
                self.alone += 1;
                self.lasted += lasted;
                self.convicted |= self.last_trial;
            }
        }
    }

    /// The connection has lasted long enough without the message.
    pub(crate) fn handle_quiet(&mut self) {
        self.last_trial = true;
    }

    /// How the message may be sent now.
    pub(crate) fn standing(&self) -> Standing {
        if self.alone >= APART_AFTER && !self.last_trial {
            Standing::Apart((self.lasted * QUIET_FACTOR).max(LEAST_QUIET))
        } else if self.ends >= ALONE_AFTER {
            Standing::Alone
        } else {
            Standing::Free
        }
    }

    /// True if the peer ends its connections because of the message.
    pub(crate) const fn is_convicted(&self) -> bool {
        self.convicted
    }

    /// Connections that the peer has ended while the message was alone on them.
    pub(crate) const fn ends_alone(&self) -> u32 {
        self.alone
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_message_that_ends_each_connection_is_tried_alone_set_apart_tried_once_more_and_convicted()
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
        assert_eq!(blame.standing(), Standing::Apart(millis(2_000)));
        blame.handle_quiet();
        assert_eq!(blame.standing(), Standing::Alone);
        assert!(!blame.is_convicted());
        blame.handle_end(PeerEnd::Alone(millis(100)));
        assert!(blame.is_convicted());
        assert_eq!(blame.ends_alone(), 6);
    }

    #[test]
    fn what_ends_at_once_is_set_apart_for_a_second() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(1))));
        assert_eq!(blame.standing(), Standing::Apart(LEAST_QUIET));
    }

    #[test]
    fn an_end_without_the_message_acquits_it() {
        let mut blame = Blame::default();
        (0..5).for_each(|_| blame.handle_end(PeerEnd::Alone(millis(1))));
        blame.handle_end(PeerEnd::Without);
        assert_eq!(blame, Blame::default());
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

    proptest! {
        /// The connections of a bad network last a while with a message or without it, and none lasts twenty times
        /// as long as another.
        #[test]
        fn a_bad_network_never_convicts_a_message(
            shortest in 1..10_000_u64,
            factors in prop::collection::vec(1.0..20.0_f64, 1..40),
        ) {
            let cuts: Vec<u64> = factors.iter().map(|f| (shortest as f64 * f) as u64).collect();
            prop_assert!(!convicts(&cuts, 1_000));
        }

        /// A message that ends its connections within any time is convicted, and none before the peer has ended six of
        /// them with it alone, and one has lasted without it.
        #[test]
        fn a_message_that_ends_its_connections_is_convicted(times in prop::collection::vec(0..5_000_u64, 1..20)) {
            let mut blame = Blame::default();
            let mut quiet = 0;
            let mut ends = 0;
            for &time in times.iter().cycle().take(20) {
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
            prop_assert_eq!((ends, quiet), (6, 1));
        }
    }
}
