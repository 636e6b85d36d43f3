//! What waited for a peer while it was away, and is in its link before anything else.
//!
//! It may be as much as the bound, or more. A full link is then no sign of a peer that does not read: it
//! has had no chance to. Whoever would be cut off for it again and again, before it could take
//! anything, has some time first.

use super::{Link, State, Uptime};

/// How long a peer has to take what had waited for it.
const PATIENCE: Uptime = Uptime::from_secs(10);

/// A peer that has taken nothing for so long is not about to take what had waited for it.
const STALLS_AFTER: Uptime = Uptime::from_secs(1);

/// How a peer comes along with what had waited for it.
#[derive(Debug)]
pub(super) struct Backlog {
    until: Uptime,
    /// Messages that were written when it was looked at last, and since when that is so.
    sent: u64,
    since: Uptime,
}

impl Link {
    /// What had waited for the peer is in the link. False if nothing had.
    pub(crate) fn start_catching_up(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let something = state.holds_anything();
        if something {
            state.catching_up = Some(Box::new(Backlog {
                until: now + PATIENCE,
                sent: state.counts.sent,
                since: now,
            }));
        }
        something
    }

    /// Whether what had waited for the peer is why the link is full, and may still be.
    pub(crate) fn is_catching_up(&self, now: Uptime) -> bool {
        let state = self.lock();
        state.is_catching_up(now).is_some()
    }

    /// Whether the peer is, moreover, taking it.
    pub(crate) fn is_taking_backlog(&self, now: Uptime) -> bool {
        let state = self.lock();
        let backlog = state.is_catching_up(now);
        backlog.is_some_and(|backlog| !backlog.is_stalled(now))
    }

    /// Looks how far the peer has come. True if those who wait are to be told: once, when the time is
    /// over or the peer has caught up, and as long as it takes nothing.
    pub(crate) fn watch_backlog(&self, now: Uptime) -> bool {
        let mut state = self.lock();
        let State {
            catching_up,
            counts,
            ..
        } = &mut *state;
        let Some(backlog) = catching_up else {
            return false;
        };
        if backlog.sent < counts.sent {
            (backlog.sent, backlog.since) = (counts.sent, now);
        }
        let is_stalled = backlog.is_stalled(now);
        let is_over = state.is_catching_up(now).is_none();
        if is_over {
            state.catching_up = None;
        }
        is_over || is_stalled
    }
}

impl Backlog {
    fn is_stalled(&self, now: Uptime) -> bool {
        now.saturating_sub(self.since) >= STALLS_AFTER
    }
}

impl State {
    fn is_catching_up(&self, now: Uptime) -> Option<&Backlog> {
        let backlog = self.catching_up.as_deref()?;
        (now < backlog.until && self.holds_anything()).then_some(backlog)
    }

    /// Whether there is anything that the peer has yet to take, or to acknowledge.
    fn holds_anything(&self) -> bool {
        let ring = self.unacked.as_ref();
        self.queue.frames() > 0 || ring.is_some_and(|ring| ring.len() > 0)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::queue::BLOCK_BYTES;
    use super::super::{Entry, LinkLimits, Mark, NextWrite, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;
    use crate::limits::DeliveryGuarantee;

    fn link_with(waited: usize) -> Link {
        let limits = LinkLimits {
            largest_payload: 64,
            ..LinkLimits::of(4, 1024)
        };
        let peer = Identity::from_bytes([7; 16]);
        let link = Link::without_socket(peer, 1, limits);
        for _ in 0..waited {
            let payload = Bytes::from_static(b"waited");
            let mut entry = Entry::new(Target::Peer(peer), DeliveryGuarantee::AtMostOnce, payload);
            link.push(&mut entry, Mark::Requeue).unwrap();
        }
        link.start_catching_up(Uptime::from_secs(1));
        link
    }

    #[test]
    fn a_peer_for_which_much_has_waited_has_time_to_take_it() {
        let link = link_with(9);
        assert!(link.is_catching_up(Uptime::from_secs(2)));
        assert!(!link.watch_backlog(Uptime::from_millis(1900)));
        assert!(!link.is_catching_up(Uptime::from_secs(11)));
        assert!(link.watch_backlog(Uptime::from_secs(11)));
        assert!(!link.watch_backlog(Uptime::from_secs(12)), "once");
    }

    #[test]
    fn a_peer_takes_what_has_waited_as_long_as_something_is_written() {
        let link = link_with(9);
        // The large one fills the first block.
        for length in [BLOCK_BYTES, 1] {
            let payload = Bytes::from(vec![0; length]);
            let mut entry = Entry::new(
                Target::Peer(link.peer),
                DeliveryGuarantee::AtMostOnce,
                payload,
            );
            link.push(&mut entry, Mark::Requeue).unwrap();
        }
        assert!(link.is_taking_backlog(Uptime::from_millis(1900)));
        let mut hand = WriteBatch::default();
        for _ in 0..2 {
            assert_eq!(
                link.next_write(&mut hand, Waker::noop()).0,
                NextWrite::Write
            );
        }
        // The first block is written by now.
        assert!(!link.watch_backlog(Uptime::from_millis(1900)));
        assert!(link.is_taking_backlog(Uptime::from_millis(2800)));
        assert!(link.watch_backlog(Uptime::from_millis(2900)));
        assert!(!link.is_taking_backlog(Uptime::from_millis(2900)));
        assert!(link.is_catching_up(Uptime::from_millis(2900)));
    }

    #[test]
    fn a_peer_that_has_taken_it_is_one_like_any_other() {
        let link = link_with(9);
        let mut hand = WriteBatch::default();
        while link.next_write(&mut hand, Waker::noop()).0 == NextWrite::Write {}
        assert!(!link.is_catching_up(Uptime::from_secs(2)));
        assert!(link.watch_backlog(Uptime::from_secs(2)));
        let other = link_with(0);
        assert!(!other.is_catching_up(Uptime::from_secs(2)));
        assert!(!other.watch_backlog(Uptime::from_secs(20)));
    }
}
