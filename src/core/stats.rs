//! Counts and limits of a socket.

use super::socket_core::SocketCore;
use crate::event::Losses;
use crate::id::Identity;
use crate::limits::Limits;

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
    /// Those of them whose other side said nothing until it closed or the handshake timeout passed, as health
    /// probes and port scanners do.
    pub probes: u64,
    /// Messages handed to the kernel; a published one counts once for each peer.
    pub sent: u64,
    /// Messages received, repetitions included.
    pub received: u64,
    /// Messages received that were known and not delivered again: the connection had brought them before, or
    /// with [`dedupe`](crate::SocketBuilder::dedupe) the peer had sent them.
    pub duplicates: u64,
    /// Messages that [`dedupe`](crate::SocketBuilder::dedupe) remembers now, those in hand among them.
    pub dedupe_messages: usize,
    /// Messages that peers have acknowledged, those among them that they refused.
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
    /// Bytes that links hold above their bounds, now: replies; what had waited for a peer that joined, which
    /// counts as the outbox's; and what links take because handlers of both ends wait for each other, for
    /// which a quarter of the memory budget is the bound. They are among the queued and unacknowledged bytes.
    pub above_bound_bytes: usize,
    /// Messages that wait for a peer now.
    pub outbox_messages: usize,
    /// Bytes that wait for a peer now, with the overhead of keeping them.
    pub outbox_bytes: usize,
    /// Messages that the [outbox](mod@crate::outbox) stores now; 0 without one. They are among those that wait or are unacknowledged,
    /// but for what waits for its commit.
    pub stored_messages: usize,
    /// Bytes of their payloads, and 64 for each.
    pub stored_bytes: usize,
    /// Commits of the outbox's store since the start.
    pub stored_commits: u64,
    /// Messages of earlier starts that the outbox held at the start.
    pub restored_messages: usize,
    /// Records of the outbox that could not be read, at the start or when their turn came; a start sets them aside.
    pub damaged_records: usize,
    /// Dead letters that are [kept](crate::SocketBuilder::dead_letter_queue) now.
    pub kept_letters: usize,
    /// Bytes of their payloads and details, and 64 for each.
    pub kept_letter_bytes: usize,
    /// Dead letters that were not kept any longer, or not at all, for want of room or for their age.
    pub discarded_letters: u64,
    /// Dead letters that were sent, or delivered, once more.
    pub redriven_letters: u64,
    /// True if a commit of the outbox's store failed, and nothing as large was stored since: sends at least once fail until they can be
    /// stored, and what nobody waits for is refused.
    pub store_failing: bool,
    /// Messages that are received and not yet handled now.
    pub inbox_messages: usize,
    /// Bytes that are received and not yet handled now, as allocated.
    pub inbox_bytes: usize,
    /// Bytes that incomplete frames of which 8 KiB or more have come may come to hold now, 64 KiB at least
    /// for each.
    pub unfinished_bytes: usize,
    /// Bytes that were read past full inboxes, for the sake of acknowledgements and answers, and whose
    /// messages are not handled now, with what keeping them costs. The messages are among the inbox
    /// bytes; a quarter of the memory budget is the bound.
    pub read_ahead_bytes: usize,
    /// The connected subscriber that published messages have waited for longest in the last ten seconds or
    /// twenty, if they have waited for any; [`peers`](crate::Socket::peers) tells of each.
    pub slowest_subscriber: Option<Identity>,
    /// Bytes, about, that connections take to know repetitions of what they have brought, now. They are beside the
    /// memory budget: at most a quarter of the links' part of it, and what is not finished.
    pub remembered_bytes: usize,
    /// Bytes, about, that the offers of all peers take now ([services](crate::service)). They are beside the memory
    /// budget: an eighth of it is the bound, 128 KiB at least, and an offer above it counts as malformed.
    pub catalog_bytes: usize,
    /// Messages that were published while nobody was connected, and dropped for that; always 0 without
    /// [`Unheard::Drop`](crate::Unheard::Drop).
    pub unheard: u64,
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
    /// Tells to services that have come back from an instance which has not handled them, and wait for another, now.
    pub returned_tells: usize,
    /// Bytes of their payloads. New tells to a service wait from 1,024 messages, or 1 MiB, of it on.
    pub returned_tell_bytes: usize,
    /// Bytes of heartbeats, acknowledgements and frames about services that wait to be written now. From 64 KiB on a
    /// peer is not read from, so that no more is owed to it.
    pub control_bytes: usize,
    /// Malformed frames, which were skipped.
    pub malformed: u64,
    /// Frames of an unknown type, which were skipped.
    pub unknown: u64,
    /// Messages that went without their metadata, because their peer does not read it; of a published one, each copy.
    pub metadata_left_out: u64,
    /// Received messages whose metadata is malformed, which were refused.
    pub bad_envelopes: u64,
}

impl Stats {
    /// What others are told of a socket from outside, by its names here.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 27] {
        [
            ("peers", self.peers as u64),
            ("connections", self.connections as u64),
            ("joins", self.joins),
            ("refused", self.refused),
            ("sent", self.sent),
            ("received", self.received),
            ("duplicates", self.duplicates),
            ("acknowledged", self.acknowledged),
            ("resent", self.resent),
            ("unacknowledged", self.unacknowledged as u64),
            ("unacknowledged_bytes", self.unacknowledged_bytes as u64),
            ("queued_messages", self.queued_messages as u64),
            ("queued_bytes", self.queued_bytes as u64),
            ("outbox_messages", self.outbox_messages as u64),
            ("outbox_bytes", self.outbox_bytes as u64),
            ("stored_messages", self.stored_messages as u64),
            ("stored_bytes", self.stored_bytes as u64),
            ("inbox_messages", self.inbox_messages as u64),
            ("inbox_bytes", self.inbox_bytes as u64),
            ("unheard", self.unheard),
            ("dead_letters", self.dead_letters),
            ("asks", self.asks as u64),
            ("late_answers", self.late_answers),
            ("returned_tells", self.returned_tells as u64),
            ("malformed", self.malformed),
            ("unknown", self.unknown),
            ("memory_budget", self.limits.memory_budget as u64),
        ]
    }
}

impl SocketCore {
    /// The figures of the socket now.
    pub(crate) fn stats(&self) -> Stats {
        let (inbox_messages, inbox_bytes) = self.inbound.subscriptions.load();
        let mut totals = self.router.totals();
        let (own, own_counts) = self.services.own_figures();
        totals.load += own;
        totals.counts += own_counts;
        let store = self.router.store_figures().unwrap_or_default();
        let letters = self.events.letter_figures();
        let limits = *self.limits.current();
        let (returned_tells, returned_tell_bytes) = self.services.returned();
        Stats {
            peers: totals.peers,
            connections: self.admission.connections(),
            joins: totals.joins,
            slowest_subscriber: totals.slowest,
            unheard: totals.unheard,
            refused: self.admission.refused(),
            probes: self.admission.probes(),
            sent: totals.counts.sent,
            received: self.counters.received(),
            duplicates: self.counters.duplicates(),
            dedupe_messages: self.router.dedupe_messages(),
            acknowledged: totals.counts.acknowledged,
            resent: totals.counts.resent,
            unacknowledged: totals.load.unacknowledged,
            unacknowledged_bytes: totals.load.unacknowledged_bytes,
            queued_messages: totals.load.frames,
            queued_bytes: totals.load.bytes,
            above_bound_bytes: totals.above_bound,
            outbox_messages: totals.outbox.0 + store.tail.0,
            outbox_bytes: totals.outbox.1 + store.tail.1,
            stored_messages: store.messages,
            stored_bytes: store.bytes,
            stored_commits: store.commits,
            restored_messages: store.restored,
            damaged_records: store.damaged,
            store_failing: store.failing,
            kept_letters: letters.kept,
            kept_letter_bytes: letters.bytes,
            discarded_letters: letters.discarded,
            redriven_letters: letters.redriven,
            inbox_messages,
            inbox_bytes,
            unfinished_bytes: self.inbound.frame_budget.held(),
            read_ahead_bytes: self.inbound.read_ahead.held(),
            remembered_bytes: totals.remembered_bytes,
            catalog_bytes: self.services.directory.bytes(),
            dead_letters: self.events.lost(),
            asks: self.inbound.asks.outstanding(),
            late_answers: self.inbound.asks.late(),
            losses: self.events.losses(),
            limits,
            link_share_bytes: totals.share.min(limits.link_capacity.bytes),
            returned_tells,
            returned_tell_bytes,
            control_bytes: totals.load.control_bytes,
            malformed: self.counters.malformed(),
            unknown: self.counters.unknown(),
            metadata_left_out: self.router.metadata_left_out(),
            bad_envelopes: self.counters.bad_envelopes(),
        }
    }
}
