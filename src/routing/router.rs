//! The router of a socket: it reaches every link, and nobody else does.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::broadcast::{HandedOut, Published};
use super::link_table::{LinkTable, TableGuard};
use super::message_store::MessageStore;
use super::outbox::Outbox;
use super::receiving::{DebtListener, ReceivingSide};
use super::route_cache::RouteCache;
use super::route_table::RouteTable;
use super::routes::Routes;
use super::table::PeerTable;
use super::turns::Turns;
use super::waiting::WaitingSenders;
use crate::announcements::Events;
use crate::clock;
use crate::config::Config;
use crate::engine::Roster;
use crate::event::PeerWatch;
use crate::id::Identity;
use crate::lifecycle::Lifecycle;
use crate::limits::{CurrentLimits, Timers};
use crate::link::{Courtesy, Entry, Link, LinkCommons, LinkCounts, LinkLimits, LinkLoad, Target};
use crate::sync::WaitQueue;

/// Distributes what a socket sends. It is shared by the handles of the socket, its actors and its
/// connections, and survives each of the actors.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) config: Arc<Config>,
    pub(super) limits: Arc<CurrentLimits>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) events: Arc<Events>,
    pub(super) routes: RouteCache,
    pub(super) turns: Turns,
    links: LinkTable,
    pub(super) waiting: WaitingSenders,
    pub(super) receiving: ReceivingSide,
    /// What keeps messages beyond the process, if the socket has it.
    pub(super) store: Option<Box<MessageStore>>,
    pub(super) link_commons: OnceLock<Arc<LinkCommons>>,
}

/// A link has left, and somebody may have to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departed {
    /// True if its peer had left so many replies unread that its messages were set aside.
    pub(crate) was_in_debt: bool,
}

/// Content and counts of all links of a socket.
#[derive(Debug, Default)]
pub(crate) struct LinkTotals {
    pub(crate) peers: usize,
    pub(crate) joins: u64,
    /// Messages that were published while nobody was connected, and dropped for that.
    pub(crate) unheard: u64,
    /// Bytes that each link may hold.
    pub(crate) share: usize,
    /// Messages and bytes in the outbox.
    pub(crate) outbox: (usize, usize),
    pub(crate) counts: LinkCounts,
    pub(crate) load: LinkLoad,
    /// Bytes that links hold above their bounds.
    pub(crate) above_bound: usize,
    /// The subscriber that published messages have waited for longest, lately.
    pub(crate) slowest: Option<Identity>,
    /// Bytes that it takes to know repetitions.
    pub(crate) remembered_bytes: usize,
}

impl Router {
    pub(crate) fn new(
        config: Arc<Config>,
        limits: Arc<CurrentLimits>,
        lifecycle: Arc<Lifecycle>,
        events: Arc<Events>,
        debts: Arc<dyn DebtListener>,
    ) -> Self {
        let now = limits.current();
        let table = PeerTable {
            members: RouteTable::default(),
            leaving: Vec::new(),
            backlogged: Vec::new(),
            roster: Roster::new(config.identity),
            outbox: Outbox::new(now.outbox_capacity),
            stale: false,
            past: LinkCounts::default(),
            changes: 0,
            joins: 0,
            unheard: 0,
            link_limits: Arc::new(LinkLimits::new(&now, config.max_frame_bytes)),
            share: now.link_capacity.bytes,
        };
        Self {
            routes: RouteCache::new(),
            turns: Turns::new(),
            links: LinkTable::new(table),
            waiting: WaitingSenders::new(),
            receiving: ReceivingSide::new(config.dedupe, debts),
            store: None,
            link_commons: OnceLock::new(),
            config,
            limits,
            lifecycle,
            events,
        }
    }

    /// Locks the table. What was published before is with the links by then.
    pub(super) fn table(&self) -> TableGuard<'_> {
        self.links.lock(|out| self.account_for(out))
    }

    /// Takes a small published message into the batch that all links will get.
    pub(super) fn publish_in_batch(&self, entry: &Entry, courtesy: Courtesy) -> Published {
        let account = |out| self.account_for(out);
        (self.links).publish(&self.routes, &self.turns, entry, courtesy, account)
    }

    /// Hands published messages that were gathered to the links. True if there were any.
    #[inline]
    pub(super) fn flush_batch(&self) -> bool {
        self.links.flush(|out| self.account_for(out))
    }

    /// Closes a link behind what was published, and yields what links have not taken of that. The table is locked.
    pub(super) fn close_behind_batch<T>(&self, close: impl FnOnce() -> T) -> (T, HandedOut) {
        self.links.close_behind_batch(close)
    }

    /// If all links of a batch were closed, it waits for the next peer, in front of what came since.
    fn account_for(&self, out: HandedOut) {
        for (link, lost) in out.lost {
            self.bury_shed(lost, &link);
        }
        if out.back.is_empty() {
            return;
        }
        let waiting = out.back.into_iter().map(|mut entry| {
            entry.target = Target::Mode;
            entry
        });
        let mut table = self.table();
        table.outbox.requeue(waiting.collect());
        self.settle(&mut table);
    }

    /// The settings of the socket that never change.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// True until the socket begins to close.
    pub(crate) fn is_open(&self) -> bool {
        self.lifecycle.is_open()
    }

    /// The place where lost messages are announced.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The timers that connections are judged by, until they are replaced.
    pub(crate) fn memory_budget(&self) -> usize {
        self.limits.current().memory_budget
    }

    pub(crate) fn timers(&self) -> Arc<Timers> {
        self.limits.timers()
    }

    /// Where senders by the send mode wait for room on any link, or in the outbox.
    #[inline]
    pub(crate) fn room(&self) -> &WaitQueue {
        &self.waiting.anywhere
    }

    /// Messages that wait for a peer to come.
    pub(crate) fn outbox_messages(&self) -> usize {
        self.table().outbox.load().0
    }

    /// Where senders to peers that are not connected wait for room in the outbox.
    pub(crate) fn outbox_room(&self) -> &WaitQueue {
        &self.waiting.outbox
    }

    /// The number of the next connection, or of what is told from connections by a number.
    pub(crate) fn next_serial(&self) -> u64 {
        self.lifecycle.next_serial()
    }

    /// Limits of each link now, its share of the budget apart.
    pub(crate) fn link_limits(&self) -> Arc<LinkLimits> {
        Arc::clone(&self.table().link_limits)
    }

    /// Watches one peer. The table is locked, so that the peer cannot leave unnoticed meanwhile.
    pub(crate) fn watch(&self, peer: Identity) -> PeerWatch {
        let table = self.table();
        match table.roster.connection(peer) {
            Some(_) => self.events.watch(peer),
            None => PeerWatch::not_connected(peer),
        }
    }

    /// The link of a peer, if it is connected.
    pub(crate) fn link_to(&self, peer: Identity) -> Option<Arc<Link>> {
        self.links.find(peer, |out| self.account_for(out))
    }

    /// The same for whoever sends nothing by it, so that no batch need go before.
    pub(super) fn link_for_no_message(&self, peer: Identity) -> Option<Arc<Link>> {
        self.links.find_unflushed(peer)
    }

    /// The link of the next peer in turn, whatever the send mode. One that is ending is passed over.
    pub(crate) fn peer_in_turn(&self) -> Option<Arc<Link>> {
        let table = self.table();
        let turn = self.turns.take(table.members.len().max(1));
        let mut peers = table.members.list().in_turn(turn);
        peers.find(|link| !link.is_closed()).cloned()
    }

    /// True if a link's peer is connected by this very link.
    pub(crate) fn is_member(&self, link: &Link) -> bool {
        self.table().roster.connection(link.peer()) == Some(link.serial())
    }

    /// True if a peer is connected.
    pub(crate) fn is_connected(&self, peer: Identity) -> bool {
        self.table().roster.connection(peer).is_some()
    }

    /// True if a peer that has dialled us is connected.
    pub(crate) fn was_dialled(&self) -> bool {
        self.links().iter().any(|link| !link.is_dialled())
    }

    /// The links of all connected peers.
    pub(crate) fn links(&self) -> Routes {
        self.table().members.list().clone()
    }

    /// True if every accepted message has been handed to the kernel and, where it wants
    /// that, acknowledged.
    pub(crate) fn is_drained(&self, acknowledged_too: bool) -> bool {
        let table = self.table();
        table.outbox.is_empty()
            && !self.has_tail()
            && table.members.iter().chain(&table.leaving).all(|link| {
                let load = link.load();
                load.frames == 0 && !(acknowledged_too && load.unacknowledged > 0)
            })
    }

    /// Content and counts of all links.
    pub(crate) fn totals(&self) -> LinkTotals {
        let table = self.table();
        let mut totals = LinkTotals {
            peers: table.members.len(),
            joins: table.joins,
            unheard: table.unheard,
            share: table.share,
            outbox: table.outbox.load(),
            counts: table.past,
            load: LinkLoad::default(),
            above_bound: 0,
            slowest: None,
            remembered_bytes: 0,
        };
        let now = clock::uptime(clock::now());
        let mut longest = Duration::ZERO;
        for link in table.members.iter().chain(&table.leaving) {
            totals.counts += link.counts();
            totals.load += link.load();
            totals.above_bound += link.excess().bytes;
            let (lately, _) = link.waited(now);
            if lately > longest {
                (longest, totals.slowest) = (lately, Some(link.peer()));
            }
            totals.remembered_bytes += link.remembered_bytes();
        }
        totals
    }

    /// Wakes everyone who waits for room, because the socket's phase has changed.
    pub(crate) fn wake_all(&self) {
        self.waiting.notify_all();
        // Not under the lock of the table, which those who wait take in their turn.
        for link in self.links().iter() {
            link.room.notify_all();
        }
    }

    /// Takes everything out of the outbox, as when the socket closes.
    pub(crate) fn take_outbox(&self) -> Vec<Entry> {
        let mut all = self.table().outbox.take_all();
        if let Some(store) = &self.store {
            all.extend(store.set_aside.lock().take_all());
        }
        all
    }
}
