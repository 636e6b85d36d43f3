//! The door to the links: whoever goes through it finds them behind all that was published before.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::broadcast::{Broadcast, HandedOut, Published};
use super::peer_index::PeerIndex;
use super::route_cache::RouteCache;
use super::table::PeerTable;
use super::turns::Turns;
use crate::id::Identity;
use crate::link::{Courtesy, Entry, Link};
use crate::sync::{Mutex, MutexGuard};

/// The table of a socket, its peers by identity, and the batch that its links do not have yet. There is no
/// way to a link here but behind that batch. What closed links do not take of it is for `account`, which
/// runs without any lock.
#[derive(Debug)]
pub(super) struct LinkTable {
    table: Mutex<PeerTable>,
    index: PeerIndex,
    broadcast: Broadcast,
}

/// The locked table, and the peers by identity, which change only under its lock.
pub(super) struct TableGuard<'a> {
    table: MutexGuard<'a, PeerTable>,
    pub(super) index: &'a PeerIndex,
}

impl LinkTable {
    pub(super) fn new(table: PeerTable) -> Self {
        Self {
            table: Mutex::new(table),
            index: PeerIndex::new(),
            broadcast: Broadcast::new(),
        }
    }

    /// Locks the table.
    pub(super) fn lock(&self, account: impl FnOnce(HandedOut)) -> TableGuard<'_> {
        self.flush(account);
        self.lock_within_flush()
    }

    /// Locks the table for what a batch comes back with.
    pub(super) fn lock_within_flush(&self) -> TableGuard<'_> {
        TableGuard {
            table: self.table.lock(),
            index: &self.index,
        }
    }

    /// The link of a peer that is sent nothing by it, so that no batch need go before.
    pub(super) fn find_unflushed(&self, peer: Identity) -> Option<Arc<Link>> {
        self.index.find(peer)
    }

    /// The link of a peer, if it is connected.
    pub(super) fn find(
        &self,
        peer: Identity,
        account: impl FnOnce(HandedOut),
    ) -> Option<Arc<Link>> {
        self.flush(account);
        self.index.find(peer)
    }

    /// Takes a small published message into the batch.
    pub(super) fn publish(
        &self,
        routes: &RouteCache,
        turns: &Turns,
        entry: &Entry,
        courtesy: Courtesy,
        account: impl FnOnce(HandedOut),
    ) -> Published {
        (self.broadcast).publish(routes, turns, entry, courtesy, account)
    }

    /// Closes a link behind what was published, and yields what links have not taken of that. The table is locked.
    pub(super) fn close_behind_batch<T>(&self, close: impl FnOnce() -> T) -> (T, HandedOut) {
        self.broadcast.close_behind(close)
    }

    /// Hands what was published to the links. True if that was anything.
    #[inline]
    pub(super) fn flush(&self, account: impl FnOnce(HandedOut)) -> bool {
        self.broadcast.flush(account)
    }
}

impl Deref for TableGuard<'_> {
    type Target = PeerTable;

    fn deref(&self) -> &PeerTable {
        &self.table
    }
}

impl DerefMut for TableGuard<'_> {
    fn deref_mut(&mut self) -> &mut PeerTable {
        &mut self.table
    }
}
