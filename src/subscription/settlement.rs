//! A handler's decision about a message, and the way that it takes back to the pump.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A handler's decision about a message, made before it finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Nothing: that it finished is its acknowledgement.
    Finished,
    /// Deliver it again, after this time.
    Nack(Duration),
    /// The message is a dead letter; it is not resent.
    Reject,
}

/// Carries a decision from the handler's `Received` to the pump.
#[derive(Debug, Default)]
pub(crate) struct SettlementCell {
    decision: AtomicU64,
    /// True if the message wants an acknowledgement.
    acknowledged: AtomicBool,
}

const REJECT: u64 = 1;
const NACK: u64 = 2;

impl SettlementCell {
    /// Nothing is decided of the next message.
    #[inline]
    pub(super) fn renew(&self, acknowledged: bool) {
        self.decision.store(0, Ordering::Relaxed);
        self.acknowledged.store(acknowledged, Ordering::Relaxed);
    }

    /// True if the message wants an acknowledgement.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The handler has decided.
    pub(super) fn decide(&self, settlement: Settlement) {
        match settlement {
            Settlement::Nack(delay) => self.nack(delay),
            Settlement::Reject => self.reject(),
            Settlement::Finished => {}
        }
    }

    pub(crate) fn reject(&self) {
        self.decision.store(REJECT, Ordering::Release);
    }

    pub(crate) fn nack(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX >> 2);
        self.decision.store(NACK | millis << 2, Ordering::Release);
    }

    #[inline]
    pub(crate) fn decision(&self) -> Settlement {
        match self.decision.load(Ordering::Acquire) {
            0 => Settlement::Finished,
            REJECT => Settlement::Reject,
            nack => Settlement::Nack(Duration::from_millis(nack >> 2)),
        }
    }
}
