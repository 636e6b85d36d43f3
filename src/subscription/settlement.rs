//! A handler's decision about a message, and the way that it takes back to the pump.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
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
    /// What is known of the message.
    facts: AtomicU8,
}

/// The message wants an acknowledgement.
const ACKNOWLEDGED: u8 = 1;
/// It was delivered before, and its handler failed or put it off.
const AGAIN: u8 = 2;

const REJECT: u64 = 1;
const NACK: u64 = 2;

impl SettlementCell {
    /// Nothing is decided of the next message.
    #[inline]
    pub(super) fn renew(&self, acknowledged: bool, again: bool) {
        self.decision.store(0, Ordering::Relaxed);
        let facts = (u8::from(acknowledged) * ACKNOWLEDGED) | (u8::from(again) * AGAIN);
        self.facts.store(facts, Ordering::Relaxed);
    }

    /// True if the message wants an acknowledgement.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.facts.load(Ordering::Relaxed) & ACKNOWLEDGED != 0
    }

    /// True if the message was delivered before, by this start of the socket.
    pub(super) fn is_again(&self) -> bool {
        self.facts.load(Ordering::Relaxed) & AGAIN != 0
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
