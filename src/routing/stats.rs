//! What a socket counts and what it may hold.

use std::time::Duration;

use crate::config::{Overflow, Room, Tuning};
use crate::event::DeadLetterReason;
use crate::sync::{AtomicUsize, Ordering};

/// Accepted messages that did not arrive, by reason, since the socket was started. The sum of all
/// is [`Stats::dead_letters`](super::Stats::dead_letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Losses {
    /// Their time-to-live was over.
    pub expired: u64,
    /// They were resent as often as the resend limit allows.
    pub resend_limit: u64,
    /// A queue was full and its overflow policy dropped them.
    pub overflow: u64,
    /// Their peer went away and did not come back in time.
    pub peer_gone: u64,
    /// The socket was closed first.
    pub closed: u64,
    /// Their handler failed each time.
    pub poison: u64,
    /// A handler rejected them.
    pub rejected: u64,
    /// They are not of the type that they should be.
    pub undecodable: u64,
    /// No subscription wants them.
    pub unwanted: u64,
}

/// The bound of a queue: the first of the two that is reached counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueLimit {
    /// Messages that it takes.
    pub messages: usize,
    /// Bytes that it takes. An empty queue takes one message of any size.
    pub bytes: usize,
}

/// The bounds of a socket, what happens at them, and its timers: what
/// [`reconfigure`](crate::Socket::reconfigure) changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// What waits to be written to one peer; its bytes are the link's share of the budget, if that is
    /// less than the bound.
    pub link: QueueLimit,
    /// What one peer has yet to acknowledge.
    pub unacknowledged: QueueLimit,
    /// What waits for a peer to come.
    pub outbox: QueueLimit,
    /// What one subscription has received and not handled.
    pub inbox: QueueLimit,
    /// Bytes of frames that have begun to arrive and are not whole, above 64 KiB each, all connections
    /// together. A larger frame goes beside it, one at a time.
    pub unfinished_bytes: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Accepted connections in their handshake at a time.
    pub handshakes: usize,
    /// What becomes of a message when the link of its peer is full.
    pub link_overflow: Overflow,
    /// What becomes of a published message when the link of a peer is full.
    pub publish_overflow: Overflow,
    /// What becomes of a message when the outbox is full.
    pub outbox_overflow: Overflow,
    /// After how long a silent connection says that it lives.
    pub heartbeat_interval: Duration,
    /// After how long without any frame a peer is given up.
    pub heartbeat_timeout: Duration,
    /// How long a connection that is not read may make no progress.
    pub write_timeout: Duration,
    /// After how long without an acknowledgement a message is sent again.
    pub resend_timeout: Duration,
    /// How often a message is resent before it becomes a dead letter, if there is a limit.
    pub resend_limit: Option<u32>,
}

impl Limits {
    /// What holds when each link may hold `share` bytes.
    pub(super) fn of(tuning: &Tuning, share: usize) -> Self {
        let limit = |Room { messages, bytes }| QueueLimit { messages, bytes };
        let inbox = Room {
            messages: tuning.inbox.messages,
            bytes: tuning.inbox.bytes,
        };
        let within_share = |room: Room| Room {
            bytes: room.bytes.min(share),
            ..room
        };
        let unacknowledged = if share < tuning.link.bytes {
            within_share(tuning.unacknowledged)
        } else {
            tuning.unacknowledged
        };
        Self {
            link: limit(within_share(tuning.link)),
            unacknowledged: limit(unacknowledged),
            outbox: limit(tuning.outbox),
            inbox: limit(inbox),
            unfinished_bytes: tuning.memory_budget / 2,
            connections: tuning.max_connections,
            handshakes: tuning.max_handshakes,
            link_overflow: tuning.link_overflow,
            publish_overflow: tuning.publish_overflow,
            outbox_overflow: tuning.outbox_overflow,
            heartbeat_interval: tuning.heartbeat_interval,
            heartbeat_timeout: tuning.heartbeat_timeout,
            write_timeout: tuning.write_timeout,
            resend_timeout: tuning.resend_timeout,
            resend_limit: tuning.resend_limit,
        }
    }
}

/// Counts of dead letters by reason.
#[derive(Debug, Default)]
pub(crate) struct LossCounts {
    expired: AtomicUsize,
    resend_limit: AtomicUsize,
    overflow: AtomicUsize,
    peer_gone: AtomicUsize,
    closed: AtomicUsize,
    poison: AtomicUsize,
    rejected: AtomicUsize,
    undecodable: AtomicUsize,
    unwanted: AtomicUsize,
}

impl LossCounts {
    pub(crate) fn count(&self, reason: DeadLetterReason) {
        let counter = match reason {
            DeadLetterReason::Expired => &self.expired,
            DeadLetterReason::ResendLimit => &self.resend_limit,
            DeadLetterReason::Overflow => &self.overflow,
            DeadLetterReason::PeerGone => &self.peer_gone,
            DeadLetterReason::Closed => &self.closed,
            DeadLetterReason::Poison => &self.poison,
            DeadLetterReason::Rejected => &self.rejected,
            DeadLetterReason::Undecodable => &self.undecodable,
            DeadLetterReason::Unwanted => &self.unwanted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> Losses {
        let load = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) as u64;
        Losses {
            expired: load(&self.expired),
            resend_limit: load(&self.resend_limit),
            overflow: load(&self.overflow),
            peer_gone: load(&self.peer_gone),
            closed: load(&self.closed),
            poison: load(&self.poison),
            rejected: load(&self.rejected),
            undecodable: load(&self.undecodable),
            unwanted: load(&self.unwanted),
        }
    }
}
