//! Two sockets that dial each other at the same time, and the one of their two connections that stays.
//!
//! Each end keeps the first connection of a peer that it hears of, and closes a second one (WIRE §4.3). On a line that takes
//! its time, both would hear first of the one that the other has dialled, and close the one that the other keeps. So the socket
//! with the smaller identity puts off its verdict on what the other has dialled while a HELLO of its own waits for its answer,
//! which may be of the same peer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::Identity;

/// How long a verdict is put off at most. Longer than lines take, and a bind end that never answers costs others no more.
const MOST: Duration = Duration::from_secs(1);

/// True if the socket of these identities puts off its verdict, and not the peer that has dialled it.
pub(crate) fn gives_way(ours: Identity, peer: Identity) -> bool {
    ours < peer
}

/// The dials of a socket whose HELLO has not been answered.
#[derive(Debug, Default)]
pub(crate) struct UnansweredDials {
    since: BTreeMap<u64, Instant>,
    next: u64,
}

impl UnansweredDials {
    /// A HELLO is about to be sent. Yields its number.
    pub(crate) fn begin(&mut self, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.since.insert(number, now);
        number
    }

    /// It was answered, or never will be. True if it was the last one.
    pub(crate) fn end(&mut self, number: u64) -> bool {
        self.since.remove(&number);
        self.since.is_empty()
    }

    /// Until when a verdict on a peer that has said HELLO at `heard` is put off, if nothing is answered before. `None` if it
    /// falls now.
    pub(crate) fn put_off(&self, heard: Instant, now: Instant) -> Option<Instant> {
        let (_, last) = self.since.last_key_value()?;
        let until = (*last + MOST).min(heard + MOST);
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_sockets_gives_way() {
        let [one, other] = [[1; 16], [2; 16]].map(Identity::from_bytes);
        assert!(gives_way(one, other) && !gives_way(other, one));
        assert!(!gives_way(one, one));
    }

    #[test]
    fn a_verdict_is_put_off_while_a_dial_waits_for_its_answer_and_never_for_longer_than_a_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut dials = UnansweredDials::default();
        assert_eq!(dials.put_off(at(0), at(0)), None);
        let first = dials.begin(at(0));
        assert_eq!(dials.put_off(at(300), at(300)), Some(at(1000)));
        let second = dials.begin(at(400));
        assert_eq!(dials.put_off(at(300), at(400)), Some(at(1300)));
        assert_eq!(dials.put_off(at(300), at(1300)), None);
        assert!(!dials.end(second));
        assert_eq!(dials.put_off(at(300), at(500)), Some(at(1000)));
        assert!(dials.end(first));
        assert_eq!(dials.put_off(at(300), at(500)), None);
    }
}
