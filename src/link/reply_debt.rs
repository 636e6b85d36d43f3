//! What a peer that asks faster than it reads has yet to take.
//!
//! A reply may go above the bound of its link, because a handler cannot wait. What goes above is
//! counted, and beyond a second mark, of as much again, nothing more is read from that peer, and what
//! it has asked already waits.

use super::{Link, State};
use crate::limits::DeliveryGuarantee;
use crate::sync::Ordering;
use crate::wire::{DATA_HEADER_BYTES, DATA_REQ_HEADER_BYTES};

/// Replies that were taken above the bound since the queue was last within it.
#[derive(Debug, Default)]
pub(super) struct ReplyDebt {
    frames: usize,
    bytes: usize,
}

impl Link {
    /// A reply of so many payload bytes was queued.
    #[inline]
    pub(super) fn note_reply(
        &self,
        state: &mut State,
        length: usize,
        guarantee: DeliveryGuarantee,
    ) {
        if state.queue.frames() > 1 && !state.is_within_bound() {
            state.owed.frames += 1;
            state.owed.bytes += length
                + match guarantee {
                    DeliveryGuarantee::AtMostOnce => DATA_HEADER_BYTES,
                    DeliveryGuarantee::AtLeastOnce => DATA_REQ_HEADER_BYTES,
                };
            if state.owes_replies() {
                self.in_debt.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Whether the peer has left so many answers unread that its messages are to wait.
    #[inline]
    pub(crate) fn is_in_debt(&self) -> bool {
        self.in_debt.load(Ordering::Relaxed)
    }

    /// Some of what waited has been written. True if the messages of the peer need wait no longer, of
    /// which the inboxes are to be told.
    pub(super) fn forgive_if_drained(&self, state: &mut State) -> bool {
        if !state.is_within_bound() {
            return false;
        }
        state.owed = ReplyDebt::default();
        self.is_in_debt() && self.in_debt.swap(false, Ordering::SeqCst)
    }

    /// Nobody is left who owes anything. True as above.
    pub(super) fn forgive(&self) -> bool {
        self.in_debt.swap(false, Ordering::SeqCst)
    }
}

impl State {
    fn is_within_bound(&self) -> bool {
        self.queue.bytes() <= self.share && self.queue.frames() <= self.limits.frames
    }

    /// Whether the peer has left more replies unread than it is answered for.
    pub(super) fn owes_replies(&self) -> bool {
        self.owed.bytes > self.share || self.owed.frames > self.limits.frames
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::{Entry, LinkLimits, Mark, NextWrite, Refused, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;

    const FRAMES: usize = 100;
    const BYTES: usize = 10_000;

    fn link() -> Link {
        let limits = LinkLimits {
            largest_payload: 1 << 20,
            ..LinkLimits::of(FRAMES, BYTES)
        };
        let peer = Identity::from_bytes([7; 16]);
        Link::without_socket(peer, 1, limits)
    }

    fn reply(link: &Link, bytes: usize, guarantee: DeliveryGuarantee) -> Result<(), Refused> {
        let peer = Target::Peer(link.peer());
        let mut entry = Entry::new(peer, guarantee, Bytes::from(vec![0; bytes]));
        link.push(&mut entry, Mark::Reply)
    }

    /// Replies that are taken until the peer is not read from any more.
    fn answered(link: &Link, bytes: usize, guarantee: DeliveryGuarantee) -> usize {
        let taken = (0..8 * FRAMES)
            .take_while(|_| !link.owes_too_much() && reply(link, bytes, guarantee).is_ok())
            .count();
        assert!(link.is_in_debt());
        taken
    }

    #[test]
    fn a_flood_of_questions_with_empty_answers_is_read_to_twice_the_frames_of_the_bound() {
        let link = link();
        assert_eq!(
            answered(&link, 0, DeliveryGuarantee::AtMostOnce),
            2 * FRAMES + 1
        );
    }

    #[test]
    fn a_flood_of_questions_with_large_answers_is_read_to_twice_the_bytes_of_the_bound() {
        let link = link();
        // With their headers, ten are exactly the bound.
        assert_eq!(answered(&link, 995, DeliveryGuarantee::AtMostOnce), 21);
    }

    #[test]
    fn the_header_of_an_answer_that_wants_an_acknowledgement_counts() {
        let link = link();
        // Two hundred bytes each, of which 21 are header.
        assert_eq!(answered(&link, 179, DeliveryGuarantee::AtLeastOnce), 101);
    }

    #[test]
    fn what_others_sent_is_not_held_against_the_peer() {
        let link = link();
        for _ in 0..4 * FRAMES {
            let data = Bytes::from_static(b"not an answer");
            let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, data);
            link.push(&mut entry, Mark::Requeue).unwrap();
        }
        assert!(!link.owes_too_much());
    }

    #[test]
    fn a_peer_that_reads_its_answers_is_read_from_again() {
        let link = link();
        answered(&link, 0, DeliveryGuarantee::AtMostOnce);
        assert!(link.owes_too_much() && link.is_in_debt());
        let mut hand = WriteBatch::default();
        while link.next_write(&mut hand, Waker::noop()).0 == NextWrite::Write {}
        assert!(!link.owes_too_much() && !link.is_in_debt());
    }
}
