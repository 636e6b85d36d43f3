//! The router of a socket: it reaches every link, and nobody else does.

use std::sync::Arc;

use super::broadcast::Broadcast;
use super::outbox::Outbox;
use super::peer_index::PeerIndex;
use super::receiving::{DebtListener, Receiving};
use super::route_cache::RouteCache;
use super::route_table::RouteTable;
use super::routes::Routes;
use super::table::Table;
use super::turns::Turns;
use super::waiting::WaitingSenders;
use crate::announcements::Events;
use crate::config::Config;
use crate::engine::Roster;
use crate::event::PeerWatch;
use crate::id::Identity;
use crate::lifecycle::Lifecycle;
use crate::limits::{CurrentLimits, Timers};
use crate::link::{Entry, Link, LinkCounts, LinkLimits, LinkLoad};
use crate::sync::{AtomicBool, Mutex, WaitQueue};

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
    pub(super) peer_index: PeerIndex,
    pub(super) table: Mutex<Table>,
    pub(super) broadcast: Broadcast,
    pub(super) waiting: WaitingSenders,
    /// Set when a link needs the router's next sweep: resend, catch-up or stall.
    pub(super) restless: AtomicBool,
    pub(super) receiving: Receiving,
}

/// A link has left, and somebody may have to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departed {
    /// Whether its peer had left so many replies unread that its messages were set aside.
    pub(crate) was_in_debt: bool,
}

/// What all links of a socket hold and have done.
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
        let table = Table {
            members: RouteTable::default(),
            leaving: Vec::new(),
            roster: Roster::new(config.identity),
            outbox: Outbox::new(now.outbox_capacity),
            stale: false,
            past: LinkCounts::default(),
            joins: 0,
            unheard: 0,
            link_limits: Arc::new(LinkLimits::new(&now, config.max_frame_bytes)),
            share: now.link_capacity.bytes,
        };
        Self {
            routes: RouteCache::new(),
            turns: Turns::new(),
            peer_index: PeerIndex::new(),
            table: Mutex::new(table),
            broadcast: Broadcast::new(),
            waiting: WaitingSenders::new(),
            restless: AtomicBool::new(false),
            receiving: Receiving::new(config.dedupe, debts),
            config,
            limits,
            lifecycle,
            events,
        }
    }

    /// The settings of the socket that never change.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Where lost messages are announced.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The timers that connections are judged by, until they are replaced.
    pub(crate) fn timers(&self) -> Arc<Timers> {
        self.limits.timers()
    }

    /// Where senders by the send mode wait for room on any link, or in the outbox.
    #[inline]
    pub(crate) fn room(&self) -> &WaitQueue {
        &self.waiting.anywhere
    }

    /// Where senders to peers that are not connected wait for room in the outbox.
    pub(crate) fn outbox_room(&self) -> &WaitQueue {
        &self.waiting.outbox
    }

    /// What each link may hold now, its share of the budget apart.
    pub(crate) fn link_limits(&self) -> Arc<LinkLimits> {
        Arc::clone(&self.table.lock().link_limits)
    }

    /// Watches one peer. The table is locked, so that the peer cannot leave unnoticed meanwhile.
    pub(crate) fn watch(&self, peer: Identity) -> PeerWatch {
        let table = self.table.lock();
        match table.roster.connection(peer) {
            Some(_) => self.events.watch(peer),
            None => PeerWatch::not_connected(peer),
        }
    }

    /// The link of a peer, if it is connected.
    pub(crate) fn link_to(&self, peer: Identity) -> Option<Arc<Link>> {
        self.peer_index.find(peer)
    }

    /// The link of the next peer in turn, whatever the send mode.
    pub(crate) fn peer_in_turn(&self) -> Option<Arc<Link>> {
        let table = self.table.lock();
        let turn = self.turns.take(table.members.len().max(1));
        table.members.list().get(turn).cloned()
    }

    /// Whether a link's peer is connected by this very link.
    pub(crate) fn is_member(&self, link: &Link) -> bool {
        self.table.lock().roster.connection(link.peer()) == Some(link.serial())
    }

    /// Whether a peer is connected.
    pub(crate) fn is_connected(&self, peer: Identity) -> bool {
        self.table.lock().roster.connection(peer).is_some()
    }

    /// The links of all connected peers.
    pub(crate) fn links(&self) -> Routes {
        self.hand_out_batch();
        self.table.lock().members.list().clone()
    }

    /// Whether everything that was accepted has been handed to the kernel and, where it wants
    /// that, acknowledged.
    pub(crate) fn is_drained(&self, acknowledged_too: bool) -> bool {
        self.hand_out_batch();
        let table = self.table.lock();
        table.outbox.is_empty()
            && table.members.iter().chain(&table.leaving).all(|link| {
                let load = link.load();
                load.frames == 0 && !(acknowledged_too && load.unacknowledged > 0)
            })
    }

    /// What all links hold and have done.
    pub(crate) fn totals(&self) -> LinkTotals {
        self.hand_out_batch();
        let table = self.table.lock();
        let mut totals = LinkTotals {
            peers: table.members.len(),
            joins: table.joins,
            unheard: table.unheard,
            share: table.share,
            outbox: table.outbox.load(),
            counts: table.past,
            load: LinkLoad::default(),
        };
        for link in table.members.iter().chain(&table.leaving) {
            totals.counts += link.counts();
            totals.load += link.load();
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
        self.table.lock().outbox.take_all()
    }
}
