//! The batch that all publishers of a socket fill.

use super::batch::{Batch, BatchStart, HandedOut};
use crate::link::{Courtesy, Entry, GATHER_FROM};
use crate::routing::route_cache::RouteCache;
use crate::routing::turns::Turns;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Published messages that the links do not have yet. Its lock comes before that of a link.
#[derive(Debug)]
pub(in crate::routing) struct Broadcast {
    batch: Mutex<Option<Batch>>,
    /// Set while there is a batch, or is about to be one.
    begun: AtomicBool,
}

/// Result of putting a message into the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::routing) enum Published {
    Taken,
    /// The writer of a link is to have its turn first.
    WriterFirst,
    /// The message does not go into a batch, or there is not room for it everywhere.
    No,
}

impl Broadcast {
    pub(in crate::routing) fn new() -> Self {
        Self {
            batch: Mutex::new(None),
            begun: AtomicBool::new(false),
        }
    }

    /// Takes a small published message into the batch. If an earlier batch goes first, `account` gets the messages
    /// that links did not take; it runs without any lock.
    pub(in crate::routing) fn publish(
        &self,
        routes: &RouteCache,
        turns: &Turns,
        entry: &Entry,
        courtesy: Courtesy,
        account: impl FnOnce(HandedOut),
    ) -> Published {
        let goes = entry.is_plain() || entry.is_plain_with_metadata();
        if !goes || entry.payload.len() >= GATHER_FROM {
            return Published::No;
        }
        let mut slot = self.batch.lock();
        if let Some(batch) = &mut *slot
            && batch.is_for(routes.version())
            && batch.takes(entry)
        {
            batch.put(entry);
            return Published::Taken;
        }
        let out = slot.take().map(Batch::hand_out);
        // Set before the links are looked at: a writer that parks behind that look finds it.
        self.begun.store(true, Ordering::SeqCst);
        let published = match Batch::begin(routes, turns, entry, courtesy) {
            BatchStart::Batch(mut batch) if batch.takes(entry) => {
                batch.put(entry);
                *slot = Some(batch);
                Published::Taken
            }
            BatchStart::WriterFirst => Published::WriterFirst,
            BatchStart::Batch(_) | BatchStart::NoRoom => Published::No,
        };
        if slot.is_none() {
            self.begun.store(false, Ordering::SeqCst);
        }
        drop(slot);
        if let Some(out) = out {
            account(out);
        }
        published
    }

    /// Hands what was gathered to the links. True if that was anything. What links do not take is for
    /// `account`, which runs without any lock.
    #[inline]
    pub(in crate::routing) fn flush(&self, account: impl FnOnce(HandedOut)) -> bool {
        self.begun.load(Ordering::SeqCst) && self.hand_out(account)
    }

    /// Closes a link behind what was gathered for it, which it gets first. Nothing is gathered for it any more.
    pub(in crate::routing) fn close_behind<T>(&self, close: impl FnOnce() -> T) -> (T, HandedOut) {
        let mut slot = self.batch.lock();
        let out = slot.take().map(Batch::hand_out).unwrap_or_default();
        self.begun.store(false, Ordering::SeqCst);
        // Under the lock: a batch that begins behind it finds the link closed.
        (close(), out)
    }

    #[cold]
    fn hand_out(&self, account: impl FnOnce(HandedOut)) -> bool {
        let mut slot = self.batch.lock();
        let Some(batch) = slot.take() else {
            return false;
        };
        // Under the lock, so that what is gathered next comes behind it.
        let out = batch.hand_out();
        self.begun.store(false, Ordering::SeqCst);
        drop(slot);
        account(out);
        true
    }
}
