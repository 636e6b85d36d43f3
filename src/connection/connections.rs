//! The connections of a socket: temporary children of the socket actor.
//!
//! Each has an entry here from its first byte to its end. By it the socket actor lists a connection and
//! ends it, and a connection that panicked reports to the socket actor. None has a mailbox or a task for
//! that: thousands of idle ones would pay for it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use actix::{Message, WeakRecipient};

use super::connected_peer::ConnectedPeer;
use crate::address::{PeerAddress, Role, TransportKind};
use crate::clock;
use crate::core::SocketCore;
use crate::event::ConnectionStage;
use crate::id::Identity;
use crate::link::Link;
use crate::sync::Mutex;

/// A connection has panicked. It is not restarted.
#[derive(Debug)]
pub(crate) struct ConnectionPanicked {
    pub(crate) peer: Option<Identity>,
    pub(crate) address: PeerAddress,
    pub(crate) role: Role,
    pub(crate) stage: ConnectionStage,
    pub(crate) message: Arc<str>,
}

impl Message for ConnectionPanicked {
    type Result = ();
}

/// All connections of one socket, those in their handshake included.
#[derive(Debug)]
pub(crate) struct Connections {
    core: Arc<SocketCore>,
    entries: Mutex<Entries>,
    /// The socket actor, once it runs.
    supervisor: OnceLock<WeakRecipient<ConnectionPanicked>>,
}

/// One connection, and no later one that uses the same entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionKey {
    index: u32,
    serial: u64,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<ListedConnection>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct ListedConnection {
    /// When the connection began, counted in connections.
    serial: u64,
    began: Instant,
    address: PeerAddress,
    role: Role,
    stage: EntryStage,
}

#[derive(Debug)]
enum EntryStage {
    Handshake,
    /// The peer has said who it is, and is admitted unless that is still being decided.
    Identified(Arc<Link>, TransportKind),
    /// The socket ends the connection, although it goes on itself.
    Disconnecting(Arc<Link>, TransportKind),
    /// The peer is told why the connection has ended.
    Farewell,
}

/// Reference of a connection to its entry.
#[derive(Debug, Clone)]
pub(crate) struct EntryRef {
    connections: Arc<Connections>,
    index: u32,
}

/// One of the connections that the socket's limit counts. Dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct ConnectionEntry {
    entry: EntryRef,
}

/// Entry of a connection that carries nothing any more.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) address: PeerAddress,
    pub(super) role: Role,
    /// The socket ended the connection, and goes on itself.
    pub(super) disconnected: bool,
}

impl Connections {
    pub(crate) fn new(core: Arc<SocketCore>) -> Arc<Self> {
        Arc::new(Self {
            core,
            entries: Mutex::new(Entries::default()),
            supervisor: OnceLock::new(),
        })
    }

    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        &self.core
    }

    /// Panics are reported to `supervisor` from now on.
    pub(crate) fn report_to(&self, supervisor: WeakRecipient<ConnectionPanicked>) {
        // The address of a supervised actor is the same in all its incarnations.
        let _ = self.supervisor.set(supervisor);
    }

    /// An entry for one more connection; `None` at the limit.
    pub(crate) fn begin(
        self: &Arc<Self>,
        address: PeerAddress,
        role: Role,
    ) -> Option<ConnectionEntry> {
        if !self.core.admission.enter(&address) {
            self.core.admission.leave(&address);
            return None;
        }
        let index = self.entries.lock().insert(ListedConnection {
            serial: self.core.lifecycle.next_serial(),
            began: clock::now(),
            address,
            role,
            stage: EntryStage::Handshake,
        });
        Some(ConnectionEntry {
            entry: EntryRef {
                connections: Arc::clone(self),
                index,
            },
        })
    }

    /// The peers that are connected, in the order in which they were admitted.
    pub(crate) fn peers(&self) -> Vec<ConnectedPeer> {
        self.peers_with(|peer, _| peer)
    }

    /// The same, each with what else is read of its link.
    pub(crate) fn peers_with<T>(&self, read: impl Fn(ConnectedPeer, &Link) -> T) -> Vec<T> {
        let now = clock::now();
        let links = self.core.router.links();
        let entries = self.entries.lock();
        let mut described: Vec<_> = entries
            .iter()
            .filter_map(ListedConnection::described)
            .collect();
        described.sort_unstable_by_key(|(link, ..)| Arc::as_ptr(link));
        let find = |link: &Arc<Link>| {
            let by_link = |&(other, ..): &(&Arc<Link>, _, _)| Arc::as_ptr(other);
            let at = described.binary_search_by_key(&Arc::as_ptr(link), by_link);
            let (link, transport, entry) = described[at.ok()?];
            let peer = ConnectedPeer::of(
                link,
                (entry.address.clone(), transport, entry.role),
                entry.began,
                now,
            );
            Some(read(peer, link))
        };
        links.iter().filter_map(find).collect()
    }

    /// Connections whose peer is not admitted yet.
    pub(crate) fn handshakes(&self) -> usize {
        let entries = self.entries.lock();
        let in_handshake = |entry: &&ListedConnection| match &entry.stage {
            EntryStage::Handshake => true,
            EntryStage::Identified(link, _) => !self.core.router.is_member(link),
            EntryStage::Disconnecting(..) | EntryStage::Farewell => false,
        };
        entries.iter().filter(in_handshake).count()
    }

    /// Ends the connection of a peer at once; false if there is none.
    pub(crate) fn disconnect(&self, peer: Identity) -> bool {
        let Some(link) = self.core.router.link_to(peer) else {
            return false;
        };
        self.entries.lock().disconnect(&link);
        link.abort();
        true
    }

    /// Ends one connection in order, if it is up: what it has is written before.
    pub(crate) fn finish(&self, key: ConnectionKey) {
        let link = {
            let mut entries = self.entries.lock();
            // The list may have become shorter, or empty, when the connection ended.
            let entry = entries.slots.get_mut(key.index as usize);
            entry
                .and_then(Option::as_mut)
                .filter(|entry| entry.serial == key.serial)
                .and_then(ListedConnection::disconnect)
        };
        if let Some(link) = link {
            link.finish();
        }
    }
}

impl EntryRef {
    #[inline]
    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        &self.connections.core
    }

    /// When the connection began, counted in connections.
    pub(crate) fn serial(&self) -> u64 {
        self.with(|entry| entry.serial)
    }

    /// The peer has said who it is.
    pub(super) fn identify(&self, link: &Arc<Link>, transport: TransportKind) {
        let stage = EntryStage::Identified(Arc::clone(link), transport);
        self.with(|entry| entry.stage = stage);
    }

    /// The connection carries nothing any more.
    pub(super) fn leave(&self) -> Left {
        self.with(|entry| {
            let before = std::mem::replace(&mut entry.stage, EntryStage::Farewell);
            Left {
                address: entry.address.clone(),
                role: entry.role,
                disconnected: matches!(before, EntryStage::Disconnecting(..)),
            }
        })
    }

    fn with<R>(&self, read: impl FnOnce(&mut ListedConnection) -> R) -> R {
        let mut entries = self.connections.entries.lock();
        let entry = entries.slots[self.index as usize].as_mut();
        read(entry.expect("an entry is there as long as its connection"))
    }
}

impl ConnectionEntry {
    pub(crate) fn entry(&self) -> &EntryRef {
        &self.entry
    }

    #[inline]
    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        self.entry.core()
    }

    /// The name of this very connection.
    pub(crate) fn key(&self) -> ConnectionKey {
        ConnectionKey {
            index: self.entry.index,
            serial: self.entry.serial(),
        }
    }

    /// Tells the socket actor that the connection has panicked.
    pub(super) fn report_panic(
        &self,
        peer: Option<Identity>,
        stage: ConnectionStage,
        message: Arc<str>,
    ) {
        let (address, role) = self.entry.with(|entry| (entry.address.clone(), entry.role));
        tracing::error!(?peer, %address, ?role, %stage, %message, "a connection panicked");
        let supervisor = self.entry.connections.supervisor.get();
        if let Some(supervisor) = supervisor.and_then(WeakRecipient::upgrade) {
            supervisor.do_send(ConnectionPanicked {
                peer,
                address,
                role,
                stage,
                message,
            });
        }
    }
}

impl Drop for ConnectionEntry {
    fn drop(&mut self) {
        let EntryRef { connections, index } = &self.entry;
        let removed = connections.entries.lock().remove(*index);
        if let Some(ListedConnection { address, stage, .. }) = removed {
            // It may hold the last of a link, which is not to be dropped under the lock.
            drop(stage);
            connections.core.admission.leave(&address);
        }
    }
}

impl Entries {
    fn insert(&mut self, entry: ListedConnection) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(entry);
            return index;
        }
        if self.slots.len() == self.slots.capacity() {
            // Less than doubling leaves unused, where each of thousands counts.
            self.slots.reserve_exact(self.slots.len() / 8 + 4);
        }
        self.slots.push(Some(entry));
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes an entry out. The memory of many is given back when the last of them has gone.
    fn remove(&mut self, index: u32) -> Option<ListedConnection> {
        let entry = self.slots[index as usize].take();
        self.free.push(index);
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
        entry
    }

    fn iter(&self) -> impl Iterator<Item = &ListedConnection> {
        self.slots.iter().flatten()
    }

    fn disconnect(&mut self, link: &Arc<Link>) {
        let entry = self.slots.iter_mut().flatten().find(
            |entry| matches!(&entry.stage, EntryStage::Identified(known, _) if Arc::ptr_eq(known, link)),
        );
        entry.and_then(ListedConnection::disconnect);
    }
}

impl ListedConnection {
    /// The link of a connection whose peer is known, and what it travels in.
    fn described(&self) -> Option<(&Arc<Link>, TransportKind, &Self)> {
        match &self.stage {
            EntryStage::Identified(link, transport)
            | EntryStage::Disconnecting(link, transport) => Some((link, *transport, self)),
            EntryStage::Handshake | EntryStage::Farewell => None,
        }
    }

    /// Notes that the socket ends the connection, and yields the link by which it does so.
    fn disconnect(&mut self) -> Option<Arc<Link>> {
        let EntryStage::Identified(link, transport) = &self.stage else {
            return None;
        };
        let (link, transport) = (Arc::clone(link), *transport);
        self.stage = EntryStage::Disconnecting(Arc::clone(&link), transport);
        Some(link)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::clock;
    use crate::config::Config;

    #[test]
    fn a_connection_that_has_ended_is_finished_already() {
        let core = SocketCore::new(Config::new(), clock::now());
        let ended = ConnectionKey {
            index: 3,
            serial: 1,
        };
        Connections::new(core).finish(ended);
    }
}
