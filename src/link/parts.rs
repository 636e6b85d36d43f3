//! What a link is asked and what it answers.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Entry, Link};
use crate::limits::{DeliveryGuarantee, Limits};

/// The bounds of a link. An empty queue admits one message of any size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkLimits {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) unacked_messages: usize,
    pub(crate) unacked_bytes: usize,
    pub(crate) resend_after: Duration,
    /// Bytes of the largest payload that is sent at most once.
    pub(crate) largest_payload: usize,
}

/// What a link has done so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LinkCounts {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) resent: u64,
}

/// How far above its bound a link takes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The bound, from a sender that can let the writer go first.
    Courteous,
    /// The bound, from a sender that has let the writer go first.
    Patient,
    /// The bound, from a sender that does not come back.
    Bound,
    /// Replies from handlers, which cannot wait: eight times the bound.
    Reply,
    /// What was accepted before and only changes its place.
    Requeue,
}

impl Mark {
    /// How many times the bound this is; `None` for no bound at all.
    #[inline]
    pub(crate) const fn factor(self) -> Option<usize> {
        match self {
            Self::Courteous | Self::Patient | Self::Bound => Some(1),
            Self::Reply => Some(8),
            Self::Requeue => None,
        }
    }
}

/// Why a link did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// Why a link did not take a message of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BurstRefused {
    Full,
    Closed,
    /// To a courteous sender: a block is full, and its writer, on this very thread, has not had its turn: now what it holds is
    /// still in the processor's cache.
    Unwritten,
}

impl LinkLimits {
    /// The bounds of each link of a socket, the memory budget apart.
    pub(crate) fn new(limits: &Limits, max_frame_bytes: u32) -> Self {
        Self {
            frames: limits.link_capacity.messages,
            bytes: limits.link_capacity.bytes,
            unacked_messages: limits.unacknowledged_capacity.messages,
            unacked_bytes: limits.unacknowledged_capacity.bytes,
            resend_after: limits.resend_timeout,
            largest_payload: Link::max_payload(DeliveryGuarantee::AtMostOnce, max_frame_bytes),
        }
    }
}

#[cfg(test)]
impl LinkLimits {
    /// So many messages and bytes, for what waits to be written and for what waits to be acknowledged.
    pub(crate) const fn of(messages: usize, bytes: usize) -> Self {
        Self {
            frames: messages,
            bytes,
            unacked_messages: messages,
            unacked_bytes: bytes,
            resend_after: Duration::from_secs(5),
            largest_payload: bytes,
        }
    }
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextWrite {
    /// There are bytes in the hand.
    Write,
    /// Nothing to write; the waker is kept and woken when there is.
    Park,
    /// Everything is written and nothing more will come.
    Finish,
    /// Someone ended the connection.
    Closed,
}

/// What a closed link leaves behind, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Transmitted or not, but not acknowledged.
    pub(crate) unacknowledged: VecDeque<Entry>,
    /// At most once, and not handed to the kernel.
    pub(crate) unsent: VecDeque<Entry>,
    /// The peer's messages had to wait for it to read our answers, and need wait no longer.
    pub(crate) relieved: bool,
    pub(crate) counts: LinkCounts,
}

/// What a link holds at the moment.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LinkLoad {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) unacknowledged_bytes: usize,
}
