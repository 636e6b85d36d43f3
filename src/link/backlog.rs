//! What waited for a peer while it was away, and is in its link before anything else.
//!
//! It may be as much as the bound, or more. A full link is then no sign of a peer that does not read: it
//! has had no chance to. Whoever would be cut off for it again and again, before it could take
//! anything, has some time first.

use super::{Link, State, Uptime};

/// How long a peer has to take what had waited for it.
const PATIENCE: Uptime = Uptime::from_secs(10);

impl Link {
    /// What had waited for the peer is in the link. False if nothing had.
    pub(crate) fn start_catching_up(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let something = state.holds_anything();
        if something {
            state.catching_up = Some(Box::new(now + PATIENCE));
        }
        something
    }

    /// Whether what had waited for the peer is why the link is full, and may still be.
    pub(crate) fn is_catching_up(&self, now: Uptime) -> bool {
        let state = self.lock();
        let until = state.catching_up.as_deref();
        until.is_some_and(|until| now < *until) && state.holds_anything()
    }

    /// True once, when the time is over or the peer has caught up, of which those who wait are to be
    /// told.
    pub(crate) fn has_caught_up(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let until = state.catching_up.as_deref();
        let over = until.is_some_and(|until| now >= *until || !state.holds_anything());
        if over {
            state.catching_up = None;
        }
        over
    }
}

impl State {
    /// Whether there is anything that the peer has yet to take, or to acknowledge.
    fn holds_anything(&self) -> bool {
        let ring = self.unacked.as_ref();
        self.queue.frames() > 0 || ring.is_some_and(|ring| ring.len() > 0)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::sync::Weak;
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::{Entry, Guarantee, Hand, LinkLimits, Mark, NextWrite, Target};
    use super::*;
    use crate::id::Identity;

    fn link_with(waited: usize) -> Link {
        let limits = LinkLimits {
            largest_payload: 64,
            ..LinkLimits::of(4, 1024)
        };
        let peer = Identity::from_bytes([7; 16]);
        let link = Link::new(peer, 1, Weak::new(), limits, Vec::new());
        for _ in 0..waited {
            let payload = Bytes::from_static(b"waited");
            let mut entry = Entry::new(Target::Peer(peer), Guarantee::AtMostOnce, payload);
            link.push(&mut entry, Mark::Requeue).unwrap();
        }
        link.start_catching_up(Uptime::from_secs(1));
        link
    }

    #[test]
    fn a_peer_for_which_much_has_waited_has_time_to_take_it() {
        let link = link_with(9);
        assert!(link.is_catching_up(Uptime::from_secs(2)));
        assert!(!link.has_caught_up(Uptime::from_secs(2)));
        assert!(!link.is_catching_up(Uptime::from_secs(11)));
        assert!(link.has_caught_up(Uptime::from_secs(11)));
        assert!(!link.has_caught_up(Uptime::from_secs(12)), "once");
    }

    #[test]
    fn a_peer_that_has_taken_it_is_one_like_any_other() {
        let link = link_with(9);
        let mut hand = Hand::default();
        while link.next_write(&mut hand, Waker::noop()).0 == NextWrite::Write {}
        assert!(!link.is_catching_up(Uptime::from_secs(2)));
        assert!(link.has_caught_up(Uptime::from_secs(2)));
        let other = link_with(0);
        assert!(!other.is_catching_up(Uptime::from_secs(2)));
        assert!(!other.has_caught_up(Uptime::from_secs(20)));
    }
}
