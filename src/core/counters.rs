//! Counts of the frames that a socket reads.

use std::sync::atomic::AtomicU64;

use crate::sync::{AtomicUsize, Ordering};

/// Counts of what was read, since the socket was started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    received: AtomicU64,
    duplicates: AtomicU64,
    malformed: AtomicU64,
    unknown: AtomicU64,
    bad_envelopes: AtomicU64,
    /// Received messages that were lost when the socket was closed.
    unhandled: AtomicUsize,
    /// Received messages that their senders have, because the socket was closed before they were handled.
    returned: AtomicUsize,
}

impl Counters {
    /// So many messages were read.
    pub(crate) fn note_received(&self, messages: usize) {
        self.received.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// So many of the messages that were read were known already.
    pub(crate) fn note_duplicates(&self, messages: usize) {
        self.duplicates
            .fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// So many frames were skipped: malformed ones, and ones of an unknown type.
    pub(crate) fn note_skipped(&self, malformed: u64, unknown: u64) {
        self.malformed.fetch_add(malformed, Ordering::Relaxed);
        self.unknown.fetch_add(unknown, Ordering::Relaxed);
    }

    /// A message was read whose metadata is malformed.
    pub(crate) fn note_bad_envelope(&self) {
        self.bad_envelopes.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was read, and the socket was closed before anybody handled it.
    pub(super) fn note_unhandled(&self) {
        self.unhandled.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was read, and its sender has it still and will send it again.
    pub(super) fn note_returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    pub(super) fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    pub(super) fn bad_envelopes(&self) -> u64 {
        self.bad_envelopes.load(Ordering::Relaxed)
    }

    pub(super) fn unhandled(&self) -> usize {
        self.unhandled.load(Ordering::Relaxed)
    }

    pub(super) fn returned(&self) -> usize {
        self.returned.load(Ordering::Relaxed)
    }
}
