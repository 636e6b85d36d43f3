//! Messages that the router gives up.

use super::router::Router;
use crate::announcements::Burial;
use crate::error::ReceiptError;
use crate::event::DeadLetterReason;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Target};
use crate::wire::NotHandled;

impl Router {
    /// Announces a message that will not arrive, and fails its receipt.
    pub(crate) fn bury(&self, entry: Entry, reason: DeadLetterReason) {
        self.bury_with(entry, reason, None);
    }

    /// The same, with what its reason leaves open.
    pub(super) fn bury_with(&self, entry: Entry, reason: DeadLetterReason, detail: Option<String>) {
        if reason == DeadLetterReason::Closed && entry.is_stored() {
            // It stays in the store, for the next start.
            if let Some(receipt) = entry.extras.and_then(|extras| extras.receipt) {
                receipt.resolve(Err(reason.into()));
            }
            return;
        }
        let envelope = entry.envelope().clone();
        let (mut id, mut stored) = (None, None);
        if let Some(mut extras) = entry.extras {
            (id, stored) = (extras.id, extras.stored.take());
            extras.end(Err(reason.into()));
        }
        self.events.bury(Burial {
            payload: entry.payload,
            peer: entry.target.peer(),
            reason,
            detail,
            received: false,
            at_least_once: entry.guarantee == DeliveryGuarantee::AtLeastOnce,
            to_service: entry.target == Target::Service,
            id,
            envelope,
            stored,
        });
    }
}

impl From<DeadLetterReason> for ReceiptError {
    fn from(reason: DeadLetterReason) -> Self {
        match reason {
            DeadLetterReason::Expired | DeadLetterReason::ResendLimit => Self::Expired,
            DeadLetterReason::PeerGone | DeadLetterReason::HalfWritten => Self::PeerGone,
            DeadLetterReason::PeerCannotTake => Self::PeerCannotTake,
            DeadLetterReason::Overflow => Self::Overflow,
            DeadLetterReason::Closed
            | DeadLetterReason::Poison
            | DeadLetterReason::Rejected
            | DeadLetterReason::Undecodable
            | DeadLetterReason::Unwanted
            | DeadLetterReason::Unclaimed => Self::Closed,
        }
    }
}

impl From<NotHandled> for ReceiptError {
    fn from(reason: NotHandled) -> Self {
        match reason {
            NotHandled::Poison => Self::Poison,
            NotHandled::Rejected => Self::Rejected,
            NotHandled::Undecodable => Self::Undecodable,
            NotHandled::Unwanted | NotHandled::NoSuchService => Self::Unwanted,
            NotHandled::Unclaimed => Self::Unclaimed,
            NotHandled::Busy
            | NotHandled::Draining
            | NotHandled::NotAllowed
            | NotHandled::Other(_) => Self::Refused,
        }
    }
}
