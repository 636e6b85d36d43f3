//! Messages that wait in the store alone, but for what has to be in memory.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::clock;
use crate::link::Entry;
use crate::outbox::Stored;

/// Messages whose turn has not come, and that are in memory all the same, by their places: somebody waits for their receipts, or their
/// time ends.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    entries: BTreeMap<u64, Entry>,
    /// No message expires before this.
    next_expiry: Option<Instant>,
}

impl SetAside {
    /// A message of the store waits for its turn. Most need not be here.
    pub(super) fn put(&mut self, entry: Entry) {
        let Some(place) = entry.stored().map(Stored::place) else {
            return;
        };
        let has_receipt = (entry.extras.as_ref()).is_some_and(|extras| extras.receipt.is_some());
        if has_receipt || entry.expires().is_some() {
            clock::sooner(&mut self.next_expiry, entry.expires());
            self.entries.insert(place, entry);
        }
    }

    /// The turn of a message has come.
    pub(super) fn take(&mut self, place: u64) -> Option<Entry> {
        self.entries.remove(&place)
    }

    /// Takes those that are no longer worth sending.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Entry> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let (expired, left) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|(_, entry)| entry.is_expired(now));
        let expired: BTreeMap<_, _> = expired;
        self.entries = left;
        self.next_expiry = self.entries.values().filter_map(Entry::expires).min();
        expired.into_values().collect()
    }

    /// Everything, as when the socket closes.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Entry> {
        std::mem::take(&mut self.entries).into_values()
    }
}
