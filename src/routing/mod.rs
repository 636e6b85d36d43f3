//! Routing: who is connected, who gets the next message, and what waits for somebody to come.
//!
//! The data plane is a published, immutable list of links; the table behind it has one lock. Lock
//! order is table, then link; the lock of a line of waiting senders comes before both, and that of the
//! batch of published messages before that of a link. The
//! published list is non-empty only while the outbox holds nothing for the send mode, so that a
//! message never overtakes one that was accepted earlier.

mod batch;
mod budget;
mod dedupe;
mod draining_links;
mod handshakes;
mod join_leave;
mod link_owner;
mod outbox;
mod overflow;
mod peer_index;
mod peer_watch;
mod reconfigure;
mod route_cache;
mod route_table;
mod routes;
mod send;
mod shutdown;
mod stats;
mod subscription_host;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch;

use batch::Batch;
pub(crate) use dedupe::DedupeWindows;
pub(crate) use handshakes::HandshakePlace;
use handshakes::Handshakes;
pub(crate) use join_leave::Joined;
use outbox::Outbox;
pub(crate) use overflow::Overflowed;
use peer_index::PeerIndex;
pub use peer_watch::{PeerDown, PeerWatch};
use route_cache::RouteCache;
use route_table::RouteTable;
pub(crate) use routes::Routes;
pub(crate) use send::SendRefusal;
pub use shutdown::CloseReport;
use stats::LossCounts;
pub use stats::Losses;

use crate::ask::Asks;
use crate::config::Config;
use crate::engine::{Line, RateLimit, Roster};
use crate::event::{Announcer, DeadLetter, DeadLetterReason, PeerEvent, SocketEvent};
use crate::id::Identity;
use crate::inbox::{FrameBudget, ReadAheadBudget};
use crate::limits::{Limits, Timers};
use crate::link::{Entry, Link, LinkCounts, LinkLimits, Target, Uptime};
use crate::subscription::{SubscriptionContext, Subscriptions};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, WaitQueue};
use crate::telemetry::{self, Topic};
use peer_watch::Watchers;

/// From this many members on, a join does not publish the list by itself: the router does, once
/// for all joins of its turn, so that thousands of joins do not copy thousands of entries each.
const COALESCE_FROM: usize = 64;

/// The core of a socket, shared by its handles, its actors and its connections. It survives each
/// of the actors.
#[derive(Debug)]
pub(crate) struct SocketCore {
    pub(crate) config: Config,
    limits: ArcSwap<Limits>,
    /// What follows from it, shared by all links and connections.
    link_limits: ArcSwap<LinkLimits>,
    timers: ArcSwap<Timers>,
    routes: RouteCache,
    cursor: AtomicUsize,
    /// Where a link was last found too full for a published message.
    full_at: AtomicUsize,
    peer_index: PeerIndex,
    table: Mutex<Table>,
    /// RouteCache messages that the links do not have yet.
    batch: Mutex<Option<Batch>>,
    /// Whether there are any, or are about to be.
    batching: AtomicBool,
    /// Whether the outbox holds messages for the send mode: a link that gets room asks.
    backlog: AtomicBool,
    /// Whether the router's sweep may have something to do at a link.
    restless: AtomicBool,
    /// Senders by the send mode that wait for room on any link, or in the outbox.
    pub(crate) room: WaitQueue,
    /// Senders to peers that are not connected, which wait for room in the outbox. They stand in a
    /// line of their own, so that an absent peer delays nobody else.
    pub(crate) outbox_room: WaitQueue,
    phase: AtomicUsize,
    /// Why it was closed, once it is.
    reason: OnceLock<String>,
    /// What became of its messages, once it is.
    report: OnceLock<CloseReport>,
    started: Instant,
    uptime_millis: AtomicU64,
    next_serial: AtomicU64,
    state: watch::Sender<SocketState>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) asks: Arc<Asks>,
    /// Nothing more is received, and the socket still sends.
    draining: AtomicBool,
    /// What peers have sent lately; `None` where repetitions are delivered.
    pub(crate) memories: Option<DedupeWindows>,
    pub(crate) peer_events: Announcer<PeerEvent>,
    pub(crate) socket_events: Announcer<SocketEvent>,
    pub(crate) dead_letters: Announcer<DeadLetter>,
    pub(crate) counters: Counters,
    /// What frames hold that have begun to arrive.
    pub(crate) unfinished: Arc<FrameBudget>,
    /// What is read past full inboxes.
    pub(crate) read_ahead: Arc<ReadAheadBudget>,
    handshakes: Handshakes,
    /// How often one address may connect, if that is limited.
    pub(crate) accept_pace: Option<Mutex<RateLimit>>,
    pub(crate) watchers: Watchers,
}

/// The phase of a socket, and the number of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SocketState {
    /// Peers that are connected.
    pub peers: usize,
    /// Phase of the socket.
    pub phase: SocketPhase,
}

/// Phases of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SocketPhase {
    /// The socket sends and receives.
    #[default]
    Open,
    /// The socket accepts no new messages and sends what it has.
    Closing,
    /// The socket is closed.
    Closed,
}

#[derive(Debug)]
struct Table {
    members: RouteTable,
    /// Links that are closed and whose connections have not left yet: what they hold comes back.
    leaving: Vec<Arc<Link>>,
    roster: Roster<u64>,
    outbox: Outbox,
    /// Whether the published list lacks members that joined.
    stale: bool,
    /// What closed links have done.
    past: LinkCounts,
    /// Bytes that each link may hold.
    share: usize,
}

/// What is counted outside of links.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) connections: AtomicUsize,
    pub(crate) refused: AtomicU64,
    pub(crate) unheard: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) joins: AtomicU64,
    /// Received messages that were lost when the socket was closed.
    unhandled: AtomicUsize,
    /// Received messages that their senders have, because the socket was closed before they were handled.
    returned: AtomicUsize,
    losses: LossCounts,
}

/// Figures of a socket, since it was started unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Peers that are connected now.
    pub peers: usize,
    /// Connections now, those in their handshake included.
    pub connections: usize,
    /// Peers that were admitted; one that reconnects counts again.
    pub joins: u64,
    /// Connections that were closed before they carried anything.
    pub refused: u64,
    /// Those of them that the other side closed before it had said anything, as health probes and port
    /// scanners do.
    pub probes: u64,
    /// Messages handed to the kernel; a published one counts once for each peer.
    pub sent: u64,
    /// Messages that were published while nobody was connected, and dropped for that; always 0 without
    /// [`Unheard::Drop`](crate::Unheard::Drop).
    pub unheard: u64,
    /// Messages received, repetitions included.
    pub received: u64,
    /// Messages received that were known and not delivered again; always 0 without
    /// [`dedupe`](crate::SocketBuilder::dedupe).
    pub duplicates: u64,
    /// Messages that peers have acknowledged.
    pub acknowledged: u64,
    /// Messages that were sent again for want of an acknowledgement.
    pub resent: u64,
    /// Messages waiting for their acknowledgement now.
    pub unacknowledged: usize,
    /// Their payload bytes.
    pub unacknowledged_bytes: usize,
    /// Messages waiting to be written now, on all links.
    pub queued_messages: usize,
    /// Bytes waiting to be written now, on all links.
    pub queued_bytes: usize,
    /// Messages that wait for a peer now.
    pub outbox_messages: usize,
    /// Bytes that wait for a peer now, with what keeping them costs.
    pub outbox_bytes: usize,
    /// Messages that are received and not yet handled now.
    pub inbox_messages: usize,
    /// Bytes that are received and not yet handled now, as allocated.
    pub inbox_bytes: usize,
    /// Bytes that frames which have begun to arrive and are not whole may come to hold, above 64 KiB
    /// each, now.
    pub unfinished_bytes: usize,
    /// Bytes that were read past full inboxes, for the sake of acknowledgements and answers, and whose
    /// messages are not handled now. They are among the inbox bytes; a quarter of the memory budget
    /// is their bound.
    pub read_ahead_bytes: usize,
    /// Accepted messages that will not arrive.
    pub dead_letters: u64,
    /// Asks that wait for their answer now.
    pub asks: usize,
    /// Answers that came when nobody waited for them any more; they are dropped.
    pub late_answers: u64,
    /// The same by reason.
    pub losses: Losses,
    /// The limits that hold now.
    pub limits: Limits,
    /// Bytes that may wait to be written to one peer, now: the bound of
    /// [`link_capacity`](Limits::link_capacity), or each link's share of the memory budget if that is less.
    pub link_share_bytes: usize,
    /// Malformed frames, which were skipped.
    pub malformed: u64,
    /// Frames of an unknown type, which were skipped.
    pub unknown: u64,
}

impl SocketCore {
    pub(crate) fn new(config: Config, now: Instant) -> Arc<Self> {
        let limits = config.limits;
        let attempts = config.max_attempts;
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            routes: RouteCache::new(),
            cursor: AtomicUsize::new(0),
            full_at: AtomicUsize::new(0),
            peer_index: PeerIndex::new(),
            table: Mutex::new(Table {
                members: RouteTable::default(),
                leaving: Vec::new(),
                roster: Roster::new(config.identity),
                outbox: Outbox::new(limits.outbox_capacity),
                stale: false,
                past: LinkCounts::default(),
                share: limits.link_capacity.bytes,
            }),
            batch: Mutex::new(None),
            batching: AtomicBool::new(false),
            backlog: AtomicBool::new(false),
            restless: AtomicBool::new(false),
            room: WaitQueue::new(),
            outbox_room: WaitQueue::new(),
            phase: AtomicUsize::new(SocketPhase::Open as usize),
            reason: OnceLock::new(),
            report: OnceLock::new(),
            started: now,
            uptime_millis: AtomicU64::new(0),
            next_serial: AtomicU64::new(1),
            state: watch::Sender::new(SocketState::default()),
            asks: Arc::new(Asks::new()),
            draining: AtomicBool::new(false),
            subscriptions: Subscriptions::new(
                limits.inbox_capacity,
                SubscriptionContext::new(this.clone(), attempts),
            ),
            memories: config.dedupe.map(DedupeWindows::new),
            peer_events: Announcer::new(),
            socket_events: Announcer::new(),
            dead_letters: Announcer::new(),
            counters: Counters::default(),
            unfinished: Arc::new(FrameBudget::new(limits.memory_budget / 2)),
            read_ahead: Arc::new(ReadAheadBudget::new(limits.memory_budget / 4)),
            handshakes: Handshakes::default(),
            accept_pace: (config.accept_rate)
                .map(|(connections, period)| Mutex::new(RateLimit::new(connections, period))),
            watchers: Watchers::default(),
            link_limits: ArcSwap::from_pointee(LinkLimits::new(&limits, config.max_frame_bytes)),
            timers: ArcSwap::from_pointee(limits.timers()),
            limits: ArcSwap::from_pointee(limits),
            config,
        })
    }

    /// A number that no other connection of this socket has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The socket's coarse clock, as of the last sweep.
    #[inline]
    pub(crate) fn uptime(&self) -> Uptime {
        Duration::from_millis(self.uptime_millis.load(Ordering::Relaxed))
    }

    /// A sweep tells the time.
    pub(crate) fn note_time(&self, now: Instant) {
        let uptime = now.saturating_duration_since(self.started);
        let millis = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        self.uptime_millis.fetch_max(millis, Ordering::Relaxed);
    }

    /// Follows the state of the socket.
    pub(crate) fn state(&self) -> watch::Receiver<SocketState> {
        self.state.subscribe()
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == SocketPhase::Open as usize
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == SocketPhase::Closed as usize
    }

    /// Why the socket was closed, once it is.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Moves on to `phase`; never back. Tells everyone who waits.
    pub(crate) fn enter(&self, phase: SocketPhase) {
        self.phase.fetch_max(phase as usize, Ordering::SeqCst);
        self.state.send_modify(|state| {
            if (phase as usize) > (state.phase as usize) {
                state.phase = phase;
            }
        });
        self.room.notify_all();
        self.outbox_room.notify_all();
        // Not under the lock of the table, which those who wait take in their turn.
        for link in self.links().iter() {
            link.room.notify_all();
        }
    }

    /// Watches one peer. The table is locked, so that the peer cannot leave unnoticed meanwhile.
    pub(crate) fn watch(&self, peer: Identity) -> PeerWatch {
        let table = self.table.lock();
        match table.roster.connection(peer) {
            Some(_) => self.watchers.add(peer),
            None => PeerWatch::not_connected(peer),
        }
    }

    /// The link of a peer, if it is connected.
    pub(crate) fn link_to(&self, peer: Identity) -> Option<Arc<Link>> {
        self.peer_index.find(peer)
    }

    /// From now on nothing is received.
    pub(crate) fn stop_receiving(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_receiving(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// The link of the next peer in turn, whatever the send mode.
    pub(crate) fn peer_in_turn(&self) -> Option<Arc<Link>> {
        let table = self.table.lock();
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
        let count = table.members.len().max(1);
        table.members.list().get(turn % count).cloned()
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

    /// Announces a message that will not arrive.
    pub(crate) fn bury(&self, entry: Entry, reason: DeadLetterReason) {
        if let Some(receipt) = entry.extras.and_then(|extras| extras.receipt) {
            receipt.resolve(Err(reason.into()));
        }
        let peer = match entry.target {
            Target::Mode | Target::Copy => None,
            Target::Peer(peer) => Some(peer),
        };
        self.bury_payload(entry.payload, peer, reason);
    }

    /// Announces a payload that will not arrive.
    pub(crate) fn bury_payload(
        &self,
        payload: Bytes,
        peer: Option<Identity>,
        reason: DeadLetterReason,
    ) {
        self.bury_letter(payload, peer, reason, None);
    }

    /// Announces a payload that will not arrive, with what its reason leaves open.
    pub(crate) fn bury_letter(
        &self,
        payload: Bytes,
        peer: Option<Identity>,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        let buried = self.counters.dead_letters.fetch_add(1, Ordering::Relaxed);
        self.counters.losses.count(reason);
        if self.dead_letters.has_listeners() {
            self.dead_letters.announce(&DeadLetter {
                payload,
                peer,
                reason,
                detail,
                lagged: 0,
            });
        } else if let Some(Line { unlogged }) = telemetry::line(Topic::DeadLetter, reason) {
            tracing::warn!(
                %reason,
                bytes = payload.len(),
                so_far = buried + 1,
                unlogged,
                "a message will not arrive; subscribe to dead letters to see each"
            );
        }
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

    /// The figures of the socket now.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            connections: self.counters.connections.load(Ordering::Relaxed),
            joins: self.counters.joins.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            unheard: self.counters.unheard.load(Ordering::Relaxed),
            probes: self.counters.probes.load(Ordering::Relaxed),
            received: self.counters.received.load(Ordering::Relaxed),
            duplicates: self.counters.duplicates.load(Ordering::Relaxed),
            dead_letters: self.counters.dead_letters.load(Ordering::Relaxed),
            malformed: self.counters.malformed.load(Ordering::Relaxed),
            unknown: self.counters.unknown.load(Ordering::Relaxed),
            losses: self.counters.losses.load(),
            unfinished_bytes: self.unfinished.held(),
            read_ahead_bytes: self.read_ahead.held(),
            asks: self.asks.outstanding(),
            late_answers: self.asks.late(),
            ..Stats::default()
        };
        (stats.inbox_messages, stats.inbox_bytes) = self.subscriptions.load();
        self.hand_out_batch();
        let table = self.table.lock();
        stats.peers = table.members.len();
        stats.limits = *self.limits();
        stats.link_share_bytes = table.share.min(stats.limits.link_capacity.bytes);
        (stats.outbox_messages, stats.outbox_bytes) = table.outbox.load();
        let mut add = |counts: LinkCounts| {
            stats.sent += counts.sent;
            stats.acknowledged += counts.acknowledged;
            stats.resent += counts.resent;
        };
        add(table.past);
        for link in table.members.iter().chain(&table.leaving) {
            add(link.counts());
            let load = link.load();
            stats.queued_messages += load.frames;
            stats.queued_bytes += load.bytes;
            stats.unacknowledged += load.unacknowledged;
            stats.unacknowledged_bytes += load.unacknowledged_bytes;
        }
        stats
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod overflow_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod reconfigure_tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod tests;
#[cfg(all(test, not(aiomsg_loom)))]
mod turn_tests;
