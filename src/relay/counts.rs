//! Counts of a relay.

use super::event::RelayDrop;
use crate::sync::{AtomicUsize, Ordering};

/// Figures of one direction of a relay. Counts begin with its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RelayStats {
    /// Messages that the back has taken. Asks are not among them.
    pub forwarded: u64,
    /// Asks that were passed on.
    pub asks: u64,
    /// Answers that were brought back.
    pub returned: u64,
    /// Asks whose time was over before an answer came, among those that were passed on.
    pub unanswered: u64,
    /// Asks that are open now: the size of the table of return ways.
    pub open_asks: usize,
    /// Asks that wait now for a peer at the back. Those that wait for room on the way to one are open already.
    pub waiting_asks: usize,
    /// What was not passed on, by reason.
    pub dropped: RelayDrops,
    /// Messages that were recorded.
    pub captured: u64,
    /// Messages that came when the recording had ended.
    pub not_captured: u64,
}

/// What a relay has not passed on, by [reason](RelayDrop).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RelayDrops {
    /// [`RelayDrop::Unasked`].
    pub unasked: u64,
    /// [`RelayDrop::NotAnAnswer`].
    pub not_an_answer: u64,
    /// [`RelayDrop::AskerGone`].
    pub asker_gone: u64,
    /// [`RelayDrop::AskerFull`].
    pub asker_full: u64,
    /// [`RelayDrop::AsksFull`].
    pub asks_full: u64,
    /// [`RelayDrop::AskedTwice`].
    pub asked_twice: u64,
    /// [`RelayDrop::Service`].
    pub service: u64,
    /// [`RelayDrop::TooLarge`].
    pub too_large: u64,
    /// [`RelayDrop::Refused`].
    pub refused: u64,
    /// [`RelayDrop::NotTaken`].
    pub not_taken: u64,
}

/// The counts behind [`RelayStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) forwarded: Count,
    pub(super) asks: Count,
    pub(super) returned: Count,
    pub(super) unanswered: Count,
    unasked: Count,
    not_an_answer: Count,
    asker_gone: Count,
    asker_full: Count,
    asks_full: Count,
    asked_twice: Count,
    service: Count,
    too_large: Count,
    refused: Count,
    not_taken: Count,
}

/// A count that goes up.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

impl Counts {
    pub(super) fn note_drop(&self, reason: RelayDrop) {
        let count = match reason {
            RelayDrop::Unasked => &self.unasked,
            RelayDrop::NotAnAnswer => &self.not_an_answer,
            RelayDrop::AskerGone => &self.asker_gone,
            RelayDrop::AskerFull => &self.asker_full,
            RelayDrop::AsksFull => &self.asks_full,
            RelayDrop::AskedTwice => &self.asked_twice,
            RelayDrop::Service => &self.service,
            RelayDrop::TooLarge => &self.too_large,
            RelayDrop::Refused => &self.refused,
            RelayDrop::NotTaken => &self.not_taken,
        };
        count.add(1);
    }

    pub(super) fn drops(&self) -> RelayDrops {
        RelayDrops {
            unasked: self.unasked.get(),
            not_an_answer: self.not_an_answer.get(),
            asker_gone: self.asker_gone.get(),
            asker_full: self.asker_full.get(),
            asks_full: self.asks_full.get(),
            asked_twice: self.asked_twice.get(),
            service: self.service.get(),
            too_large: self.too_large.get(),
            refused: self.refused.get(),
            not_taken: self.not_taken.get(),
        }
    }
}
