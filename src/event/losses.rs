//! Counts of accepted messages that did not arrive, by reason.

use super::dead_letter::DeadLetterReason;
use crate::sync::{AtomicUsize, Ordering};

/// Accepted messages that did not arrive, by reason, since the socket was started. The sum of all
/// is [`Stats::dead_letters`](crate::stats::Stats::dead_letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Losses {
    /// Their time-to-live was over.
    pub expired: u64,
    /// Messages that were resent as often as the resend limit allows.
    pub resend_limit: u64,
    /// A queue was full and its overflow policy dropped them.
    pub overflow: u64,
    /// Their peer went away and did not come back in time.
    pub peer_gone: u64,
    /// Their connection ended while they were being written.
    pub half_written: u64,
    /// Their peer ended each connection on which they were alone.
    pub peer_cannot_take: u64,
    /// The socket was closed first.
    pub closed: u64,
    /// Their handler failed each time.
    pub poison: u64,
    /// A handler rejected them.
    pub rejected: u64,
    /// Messages that are not of the expected type.
    pub undecodable: u64,
    /// No subscription wants them.
    pub unwanted: u64,
    /// Nobody received, and they stood before acknowledgements or answers that the socket waits for.
    pub unclaimed: u64,
}

#[cfg(any(feature = "metrics", feature = "inspection"))]
impl Losses {
    /// The counts with the names of their reasons, as metrics and inspections have them.
    pub(crate) fn by_reason(self) -> [(&'static str, u64); 12] {
        let Self {
            expired,
            resend_limit,
            overflow,
            peer_gone,
            half_written,
            peer_cannot_take,
            closed,
            poison,
            rejected,
            undecodable,
            unwanted,
            unclaimed,
        } = self;
        [
            ("expired", expired),
            ("resend_limit", resend_limit),
            ("overflow", overflow),
            ("peer_gone", peer_gone),
            ("half_written", half_written),
            ("peer_cannot_take", peer_cannot_take),
            ("closed", closed),
            ("poison", poison),
            ("rejected", rejected),
            ("undecodable", undecodable),
            ("unwanted", unwanted),
            ("unclaimed", unclaimed),
        ]
    }
}

/// Counts of dead letters by reason.
#[derive(Debug, Default)]
pub(crate) struct LossCounts {
    expired: AtomicUsize,
    resend_limit: AtomicUsize,
    overflow: AtomicUsize,
    peer_gone: AtomicUsize,
    half_written: AtomicUsize,
    peer_cannot_take: AtomicUsize,
    closed: AtomicUsize,
    poison: AtomicUsize,
    rejected: AtomicUsize,
    undecodable: AtomicUsize,
    unwanted: AtomicUsize,
    unclaimed: AtomicUsize,
}

impl LossCounts {
    pub(crate) fn count(&self, reason: DeadLetterReason) {
        let counter = match reason {
            DeadLetterReason::Expired => &self.expired,
            DeadLetterReason::ResendLimit => &self.resend_limit,
            DeadLetterReason::Overflow => &self.overflow,
            DeadLetterReason::PeerGone => &self.peer_gone,
            DeadLetterReason::HalfWritten => &self.half_written,
            DeadLetterReason::PeerCannotTake => &self.peer_cannot_take,
            DeadLetterReason::Closed => &self.closed,
            DeadLetterReason::Poison => &self.poison,
            DeadLetterReason::Rejected => &self.rejected,
            DeadLetterReason::Undecodable => &self.undecodable,
            DeadLetterReason::Unwanted => &self.unwanted,
            DeadLetterReason::Unclaimed => &self.unclaimed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> Losses {
        let load = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as u64;
        Losses {
            expired: load(&self.expired),
            resend_limit: load(&self.resend_limit),
            overflow: load(&self.overflow),
            peer_gone: load(&self.peer_gone),
            half_written: load(&self.half_written),
            peer_cannot_take: load(&self.peer_cannot_take),
            closed: load(&self.closed),
            poison: load(&self.poison),
            rejected: load(&self.rejected),
            undecodable: load(&self.undecodable),
            unwanted: load(&self.unwanted),
            unclaimed: load(&self.unclaimed),
        }
    }
}
