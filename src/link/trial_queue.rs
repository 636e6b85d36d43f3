//! Messages of one link that may be the reason why the peer ends its connections.

use std::collections::VecDeque;
use std::time::Instant;

use super::entry::Entry;

/// Suspects of one connection.
#[derive(Debug, Default)]
pub(super) struct TrialQueue {
    /// To be sent alone, one after the other.
    pub(super) waiting: VecDeque<Entry>,
    /// Set apart until the connection has lasted so long.
    pub(super) apart: Vec<(Instant, Entry)>,
    /// When the one was queued that is in flight now.
    pub(super) began: Option<Instant>,
}

impl TrialQueue {
    /// True if nothing else that wants an acknowledgement is to be sent now.
    pub(super) fn block_others(&self) -> bool {
        self.began.is_some() || !self.waiting.is_empty()
    }

    /// Messages that are not in flight, and their payload bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        let apart = self.apart.iter().map(|(_, entry)| entry);
        let all = self.waiting.iter().chain(apart);
        all.fold((0, 0), |(messages, bytes), entry| {
            (messages + 1, bytes + entry.payload.len())
        })
    }

    /// Everything that was not sent.
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        let apart = self.apart.into_iter().map(|(_, entry)| entry);
        self.waiting.into_iter().chain(apart)
    }
}
