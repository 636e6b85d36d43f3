//! The unread replies of a peer that asks faster than it reads.
//!
//! A reply may go above the bound of its link, because a handler cannot wait. Replies above the bound are
//! counted. When they are as much as the bound once more, the peer is not read from, and its received messages
//! wait.

use crate::limits::Capacity;

/// Consequence of a reply for the peer that gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Debt {
    /// The peer is answered on.
    Bearable,
    /// Its messages wait until it has read its replies.
    TooMuch,
}

/// Consequence of a write for a peer whose messages had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repayment {
    /// The link is still above its bound.
    Due,
    /// The link is within its bound: the peer owes nothing.
    Paid,
}

/// Replies that were taken above the bound since the queue was last within it.
#[derive(Debug)]
pub(super) struct ReplyDebt(Capacity);

impl ReplyDebt {
    pub(super) const fn new() -> Self {
        Self(Capacity::new(0, 0))
    }

    #[inline]
    pub(super) fn handle_reply(&mut self, bytes: usize, queued: Capacity, bound: Capacity) -> Debt {
        // An empty queue takes one message of any size.
        if queued.messages <= 1 || queued.is_within(bound) {
            return Debt::Bearable;
        }
        self.0.messages += 1;
        self.0.bytes += bytes;
        if self.is_too_much(bound) {
            Debt::TooMuch
        } else {
            Debt::Bearable
        }
    }

    #[inline]
    pub(super) fn handle_written(&mut self, queued: Capacity, bound: Capacity) -> Repayment {
        if !queued.is_within(bound) {
            return Repayment::Due;
        }
        self.0 = Capacity::new(0, 0);
        Repayment::Paid
    }

    pub(super) const fn is_too_much(&self, bound: Capacity) -> bool {
        !self.0.is_within(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Capacity = Capacity::new(100, 10_000);

    #[test]
    fn replies_are_too_many_at_twice_the_messages_or_twice_the_bytes_of_the_bound() {
        for (bytes, expected) in [(5, 201), (1000, 21)] {
            let mut debt = ReplyDebt::new();
            let taken = (1..).find(|&messages| {
                let queued = Capacity::new(messages, messages * bytes);
                debt.handle_reply(bytes, queued, BOUND) == Debt::TooMuch
            });
            assert_eq!(taken, Some(expected), "of {bytes} bytes");
        }
    }

    #[test]
    fn what_is_queued_within_the_bound_is_no_debt_and_neither_is_the_only_message() {
        let mut debt = ReplyDebt::new();
        for _ in 0..1000 {
            assert_eq!(debt.handle_reply(5, BOUND, BOUND), Debt::Bearable);
            let large = Capacity::new(1, 50_000);
            assert_eq!(debt.handle_reply(50_000, large, BOUND), Debt::Bearable);
        }
        assert!(!debt.is_too_much(BOUND));
    }

    #[test]
    fn a_debt_is_paid_as_a_whole_once_the_queue_is_within_its_bound() {
        let mut debt = ReplyDebt::new();
        let above = Capacity::new(2, 20_000);
        assert_eq!(debt.handle_reply(10_001, above, BOUND), Debt::TooMuch);
        assert_eq!(debt.handle_written(above, BOUND), Repayment::Due);
        assert!(debt.is_too_much(BOUND));
        assert_eq!(debt.handle_written(BOUND, BOUND), Repayment::Paid);
        assert!(!debt.is_too_much(BOUND));
    }
}
