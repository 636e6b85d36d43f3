//! One accepted message while it is not yet in a link, or no longer.

use std::time::Instant;

use bytes::Bytes;

use super::receipt::ReceiptSender;
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;

/// Addressee of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Whomever the socket's send mode picks.
    Mode,
    /// One peer, whatever the send mode.
    Peer(Identity),
    /// The peer of the link that the message is in: it was published, and others have copies of
    /// their own, so that nobody else is to get this one.
    Copy,
}

/// Options that only few messages carry.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// When the message is no longer worth sending.
    pub(crate) expires: Option<Instant>,
    /// The id that it was transmitted by before, which stays the same.
    pub(crate) id: Option<MessageId>,
    /// The receipt that waits for its acknowledgement.
    pub(crate) receipt: Option<ReceiptSender>,
    /// Transmissions so far that were not acknowledged.
    pub(crate) resends: u32,
}

/// One accepted message.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) target: Target,
    pub(crate) guarantee: DeliveryGuarantee,
    pub(crate) payload: Bytes,
    pub(crate) extras: Option<Box<Extras>>,
}

impl Entry {
    /// A message without extras.
    #[inline]
    pub(crate) const fn new(target: Target, guarantee: DeliveryGuarantee, payload: Bytes) -> Self {
        Self {
            target,
            guarantee,
            payload,
            extras: None,
        }
    }

    /// True for a message that goes by the send mode, at most once, without further options.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.target == Target::Mode
            && self.guarantee == DeliveryGuarantee::AtMostOnce
            && self.extras.is_none()
    }

    /// When the message is no longer worth sending, if ever.
    #[inline]
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.extras.as_ref().and_then(|extras| extras.expires)
    }

    /// Cost of the message in a queue: its payload and the overhead of keeping it.
    #[inline]
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }
}
