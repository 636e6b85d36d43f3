//! The bounds of a link change while it is in use, and what it holds within them.

use std::sync::Arc;

use super::limits::LinkLimits;
use super::link::Link;
use super::state::LinkLoad;
use crate::limits::Capacity;

impl Link {
    /// The socket's budget is shared out anew.
    pub(crate) fn set_share(&self, bytes: usize) {
        let mut state = self.lock();
        state.bounds.set_share(bytes);
        state.note_room();
    }

    /// The bounds change. What the link holds above them stays; who waits for room is for the caller
    /// to tell.
    pub(crate) fn set_limits(&self, limits: impl Into<Arc<LinkLimits>>, share: usize) {
        let limits = limits.into();
        let mut state = self.lock();
        if state.queue.is_lent() {
            // To another thread, which reserved room by the bounds as they were.
            self.loan.revoke();
        }
        state.in_flight.set_resend_after(limits.resend_after);
        state.bounds.set_limits(limits, share);
        state.note_room();
    }

    /// Present content of the link.
    pub(crate) fn load(&self) -> LinkLoad {
        let state = self.lock();
        // Only what another thread has borrowed is still reserved.
        let (frames, bytes) = self.loan.filled();
        let queued = state.queue.queued_with(frames, bytes);
        let in_flight = state.in_flight.held();
        let (suspects, suspect_bytes) = state.trials.as_ref().map_or((0, 0), |t| t.held());
        LinkLoad {
            frames: queued.messages,
            bytes: queued.bytes,
            unacknowledged: in_flight.messages + suspects,
            unacknowledged_bytes: in_flight.bytes + suspect_bytes,
            control_bytes: state.queue.control_bytes(),
        }
    }

    /// Content of the link above its bounds, accepted before they shrank.
    pub(crate) fn excess(&self) -> Capacity {
        let state = self.lock();
        let in_flight = above(state.in_flight.held(), state.bounds.in_flight_alone());
        let queued = above(state.queue.queued(), state.bounds.queue());
        Capacity {
            messages: in_flight.messages.max(queued.messages),
            bytes: in_flight.bytes.max(queued.bytes),
        }
    }
}

/// The part of `held` above the bound.
const fn above(held: Capacity, bound: Capacity) -> Capacity {
    Capacity {
        messages: held.messages.saturating_sub(bound.messages),
        bytes: held.bytes.saturating_sub(bound.bytes),
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;
    use std::thread;
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::super::{
        Bound, Courtesy, Entry, NextWrite, Refused, Target, Uptime, WriteBatch, try_put,
    };
    use super::*;
    use crate::id::Identity;
    use crate::limits::DeliveryGuarantee;

    const VERSION: u64 = 7;
    const PEER: Identity = Identity::from_bytes([1; 16]);

    fn limits(messages: usize) -> LinkLimits {
        LinkLimits::of(messages, 64 * 1024)
    }

    fn link(messages: usize) -> Arc<Link> {
        let limits = limits(messages);
        Arc::new(Link::without_socket(PEER, 1, limits))
    }

    fn entry(guarantee: DeliveryGuarantee) -> Entry {
        Entry::new(Target::Mode, guarantee, Bytes::from_static(b"message"))
    }

    fn push(link: &Link, guarantee: DeliveryGuarantee) -> Result<(), Refused> {
        link.push(&mut entry(guarantee), Bound::Link)
    }

    /// As many as there is room for.
    fn fill(link: &Link, guarantee: DeliveryGuarantee) -> usize {
        (0..1000)
            .take_while(|_| push(link, guarantee).is_ok())
            .count()
    }

    /// Writes all that is queued.
    fn write(link: &Link) -> usize {
        let before = link.counts().sent;
        let mut batch = WriteBatch::default();
        while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {
            batch.written = batch.len();
        }
        usize::try_from(link.counts().sent - before).unwrap()
    }

    #[test]
    fn a_raised_bound_takes_more_and_a_lowered_one_refuses_and_keeps_what_there_is() {
        for guarantee in [
            DeliveryGuarantee::AtMostOnce,
            DeliveryGuarantee::AtLeastOnce,
        ] {
            let link = link(10);
            assert_eq!(fill(&link, guarantee), 10);
            link.set_limits(limits(15), usize::MAX);
            assert_eq!(fill(&link, guarantee), 5);
            link.set_limits(limits(4), usize::MAX);
            assert_eq!(push(&link, guarantee), Err(Refused::Full));
            assert_eq!(link.load().frames, 15);
            assert_eq!(write(&link), 15, "nothing was lost");
        }
        let link = link(10);
        fill(&link, DeliveryGuarantee::AtMostOnce);
        link.set_limits(limits(4), usize::MAX);
        write(&link);
        assert_eq!(fill(&link, DeliveryGuarantee::AtMostOnce), 4);
    }

    #[test]
    fn the_ring_has_bounds_of_its_own_that_change_as_well() {
        let link = link(10);
        let unacked = |unacked_messages| LinkLimits {
            unacked_messages,
            ..limits(100)
        };
        link.set_limits(unacked(3), usize::MAX);
        assert_eq!(fill(&link, DeliveryGuarantee::AtLeastOnce), 3);
        write(&link);
        assert_eq!(
            push(&link, DeliveryGuarantee::AtLeastOnce),
            Err(Refused::Full)
        );
        link.set_limits(unacked(5), usize::MAX);
        assert_eq!(fill(&link, DeliveryGuarantee::AtLeastOnce), 2);
    }

    #[test]
    fn the_share_of_the_budget_holds_below_the_bound() {
        let link = link(1000);
        link.set_limits(limits(1000), 160);
        // The empty link takes the first; each is seven bytes and five of header.
        assert_eq!(fill(&link, DeliveryGuarantee::AtMostOnce), 13);
        link.set_limits(limits(1000), 1_600);
        assert_eq!(fill(&link, DeliveryGuarantee::AtMostOnce), 120);
    }

    #[test]
    fn a_burst_without_the_lock_ends_at_the_lowered_bound_whichever_thread_lowers_it() {
        for elsewhere in [false, true] {
            let link = link(1000);
            let put = |count: usize| {
                let payload = Bytes::from_static(b"message");
                (0..count)
                    .take_while(|_| {
                        try_put(VERSION, &payload)
                            || link
                                .push_in_burst(
                                    &mut entry(DeliveryGuarantee::AtMostOnce),
                                    Courtesy::None,
                                    VERSION,
                                )
                                .is_ok()
                    })
                    .count()
            };
            assert_eq!(put(20), 20);
            let payload = Bytes::from_static(b"message");
            assert!(try_put(VERSION, &payload), "the burst goes on");
            let lower = || link.set_limits(limits(10), usize::MAX);
            if elsewhere {
                thread::scope(|threads| {
                    threads.spawn(lower);
                });
            } else {
                lower();
            }
            assert_eq!(put(100), 0);
            assert_eq!(write(&link), 21);
            assert_eq!(put(100), 10);
        }
    }

    #[test]
    fn what_was_not_resent_yet_goes_by_the_new_resend_timeout() {
        let link = link(10);
        let now = Instant::now();
        let sweep = |seconds| {
            let before = link.counts().resent;
            let given_up = link.handle_sweep(Uptime::from_secs(seconds), now, None);
            assert!(given_up.is_empty());
            write(&link);
            link.counts().resent - before
        };
        push(&link, DeliveryGuarantee::AtLeastOnce).unwrap();
        write(&link);
        assert_eq!(sweep(4), 0);
        let sooner = LinkLimits {
            resend_after: Duration::from_secs(3),
            ..limits(10)
        };
        link.set_limits(sooner, usize::MAX);
        assert_eq!(sweep(4), 1);
        // It was resent, and keeps its pace of three seconds doubled.
        link.set_limits(limits(10), usize::MAX);
        assert_eq!(sweep(10), 0);
        assert_eq!(sweep(11), 1);
    }
}
