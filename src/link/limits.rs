//! The bounds of a link, which may change while it is in use.

use std::sync::Arc;
use std::time::Duration;

use super::block::GATHER_FROM;
use super::entry::Entry;
use crate::engine::REMEMBERED;
use crate::limits::{Capacity, DeliveryGuarantee, Limits};
use crate::wire;

/// The bounds of each link of a socket. An empty queue takes one message of any size.
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

impl LinkLimits {
    /// The bounds of each link of a socket, the memory budget apart.
    pub(crate) fn new(limits: &Limits, max_frame_bytes: u32) -> Self {
        Self {
            frames: limits.link_capacity.messages,
            bytes: limits.link_capacity.bytes,
            unacked_messages: limits.unacknowledged_capacity.messages,
            unacked_bytes: limits.unacknowledged_capacity.bytes,
            resend_after: limits.resend_timeout,
            largest_payload: max_payload(DeliveryGuarantee::AtMostOnce, max_frame_bytes),
        }
    }

    /// So many messages and bytes, both for the send queue and for unacknowledged messages.
    #[cfg(test)]
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

/// A quarter of a link's share of the budget may go into what is remembered, twice 64 bytes for each message.
const REMEMBERED_SHARE: usize = 512;

/// Payload bytes of the largest message that the frame limit of the protocol allows.
pub(super) fn max_payload(guarantee: DeliveryGuarantee, max_frame_bytes: u32) -> usize {
    let fixed = header_bytes(guarantee);
    (max_frame_bytes as usize).saturating_sub(fixed - wire::PREFIX_BYTES)
}

/// Bytes of the header of a message, its length prefix included.
#[inline]
pub(super) const fn header_bytes(guarantee: DeliveryGuarantee) -> usize {
    match guarantee {
        DeliveryGuarantee::AtMostOnce => wire::DATA_HEADER_BYTES,
        DeliveryGuarantee::AtLeastOnce => wire::DATA_REQ_HEADER_BYTES,
    }
}

/// The bound that holds for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The bound of the link.
    Link,
    /// Eight times the bound of the link, for replies from handlers, which cannot wait.
    Reply,
    /// The same, for answers that a relay brings back: whoever does not take them is read from all the same.
    Answer,
    /// None, for what was accepted before and only changes its place.
    Unlimited,
}

impl Bound {
    /// Factor on the bound of the link; `None` for no bound at all.
    #[inline]
    pub(crate) const fn factor(self) -> Option<usize> {
        match self {
            Self::Link => Some(1),
            Self::Reply | Self::Answer => Some(REPLY_FACTOR),
            Self::Unlimited => None,
        }
    }
}

/// How many times the bound of the link holds for replies.
pub(super) const REPLY_FACTOR: usize = 8;

/// The bounds of one link.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Shared by all links of a socket.
    limits: Arc<LinkLimits>,
    /// Bytes that the queue takes: its bound, or its share of the socket's budget if that is less.
    share: usize,
}

impl Bounds {
    pub(super) fn new(limits: Arc<LinkLimits>) -> Self {
        Self {
            share: limits.bytes,
            limits,
        }
    }

    /// The bound of what waits to be written.
    #[inline]
    pub(super) fn queue(&self) -> Capacity {
        Capacity::new(self.limits.frames, self.share)
    }

    /// The bound of the queue for a copy of a published message. A large payload is not copied: all links
    /// hold the same, and it counts once, so that the budget is not divided for it.
    pub(super) fn queue_for_copy(&self, entry: &Entry) -> Capacity {
        if entry.payload.len() >= GATHER_FROM {
            Capacity::new(self.limits.frames, self.limits.bytes)
        } else {
            self.queue()
        }
    }

    /// The bound of what waits for its acknowledgement: never more bytes than may wait to be written, so
    /// that many links share the budget in this too.
    #[inline]
    pub(super) fn in_flight(&self) -> Capacity {
        let bytes = if self.share < self.limits.bytes {
            self.share.min(self.limits.unacked_bytes)
        } else {
            self.limits.unacked_bytes
        };
        Capacity::new(self.limits.unacked_messages, bytes)
    }

    /// The bound of what waits for its acknowledgement, whatever the share.
    pub(super) fn in_flight_alone(&self) -> Capacity {
        Capacity::new(self.limits.unacked_messages, self.limits.unacked_bytes)
    }

    /// Finished messages of the peer that are remembered: fewer where many links share the budget.
    #[inline]
    pub(super) fn remembered(&self) -> usize {
        if self.share < self.limits.bytes {
            (self.share / REMEMBERED_SHARE).clamp(1, REMEMBERED)
        } else {
            REMEMBERED
        }
    }

    pub(super) fn resend_after(&self) -> Duration {
        self.limits.resend_after
    }

    /// Bytes of the largest payload that is sent at most once.
    pub(super) fn largest_payload(&self) -> usize {
        self.limits.largest_payload
    }

    /// The socket's budget is shared out anew.
    pub(super) fn set_share(&mut self, bytes: usize) {
        self.share = bytes.min(self.limits.bytes);
    }

    pub(super) fn set_limits(&mut self, limits: Arc<LinkLimits>, share: usize) {
        self.share = share.min(limits.bytes);
        self.limits = limits;
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn of_a_peer_fewer_messages_are_remembered_where_many_links_share_the_budget() {
        let limits = Arc::new(LinkLimits::of(10, 256 * 1024));
        let mut bounds = Bounds::new(limits);
        assert_eq!(bounds.remembered(), REMEMBERED);
        let mut remembered = |share| {
            bounds.set_share(share);
            bounds.remembered()
        };
        assert_eq!(remembered(usize::MAX), REMEMBERED);
        assert_eq!(remembered(64 * 1024), 128);
        assert_eq!(remembered(0), 1);
    }
}
