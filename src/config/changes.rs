//! What a running socket is told to change.

use std::time::Duration;

use super::{Overflow, Room, Tuning};
use crate::inbox::InboxLimits;

/// New bounds, policies and timers for a running socket, which
/// [`Socket::reconfigure`](crate::Socket::reconfigure) applies together. What is not mentioned
/// stays as it is.
///
/// ```
/// # use actix_aiomsg::{Changes, Overflow};
/// let changes = Changes::new()
///     .outbox_capacity(1_000, 1 << 20)
///     .outbox_overflow(Overflow::DropOldest);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "changes do nothing until a socket is reconfigured with them"]
pub struct Changes {
    heartbeat_interval: Option<Duration>,
    heartbeat_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    resend_timeout: Option<Duration>,
    resend_limit: Option<Option<u32>>,
    link_overflow: Option<Overflow>,
    publish_overflow: Option<Overflow>,
    outbox_overflow: Option<Overflow>,
    max_connections: Option<usize>,
    max_handshakes: Option<usize>,
    link: Option<Room>,
    unacknowledged: Option<Room>,
    outbox: Option<Room>,
    inbox: Option<InboxLimits>,
    memory_budget: Option<usize>,
}

impl Changes {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for what waits to be written to one peer, as
    /// [`SocketBuilder::link_capacity`](crate::SocketBuilder::link_capacity).
    pub const fn link_capacity(mut self, messages: usize, bytes: usize) -> Self {
        self.link = Some(Room { messages, bytes });
        self
    }

    /// Room for what one peer has yet to acknowledge, as
    /// [`SocketBuilder::unacknowledged_capacity`](crate::SocketBuilder::unacknowledged_capacity).
    pub const fn unacknowledged_capacity(mut self, messages: usize, bytes: usize) -> Self {
        self.unacknowledged = Some(Room { messages, bytes });
        self
    }

    /// Room for what waits for a peer to come, as
    /// [`SocketBuilder::outbox_capacity`](crate::SocketBuilder::outbox_capacity).
    pub const fn outbox_capacity(mut self, messages: usize, bytes: usize) -> Self {
        self.outbox = Some(Room { messages, bytes });
        self
    }

    /// Room for what one subscription has received and not handled, as
    /// [`SocketBuilder::inbox_capacity`](crate::SocketBuilder::inbox_capacity).
    pub const fn inbox_capacity(mut self, messages: usize, bytes: usize) -> Self {
        self.inbox = Some(InboxLimits { messages, bytes });
        self
    }

    /// PeerDedupe for all peers together, in bytes, as
    /// [`SocketBuilder::memory_budget`](crate::SocketBuilder::memory_budget).
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// What becomes of a message when the link of its peer is full, as
    /// [`SocketBuilder::link_overflow`](crate::SocketBuilder::link_overflow).
    pub const fn link_overflow(mut self, policy: Overflow) -> Self {
        self.link_overflow = Some(policy);
        self
    }

    /// What becomes of a published message when the link of a peer is full, as
    /// [`SocketBuilder::publish_overflow`](crate::SocketBuilder::publish_overflow).
    pub const fn publish_overflow(mut self, policy: Overflow) -> Self {
        self.publish_overflow = Some(policy);
        self
    }

    /// What becomes of a message when the outbox is full, as
    /// [`SocketBuilder::outbox_overflow`](crate::SocketBuilder::outbox_overflow).
    pub const fn outbox_overflow(mut self, policy: Overflow) -> Self {
        self.outbox_overflow = Some(policy);
        self
    }

    /// Connections at a time, as
    /// [`SocketBuilder::max_connections`](crate::SocketBuilder::max_connections); 0 is what the
    /// descriptor limit of the process allows. Those above it stay until they end.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Accepted connections that have not said who they are, at a time, as
    /// [`SocketBuilder::max_handshakes`](crate::SocketBuilder::max_handshakes). Those above it stay
    /// until they are done or others come.
    pub const fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = Some(handshakes);
        self
    }

    /// After how long a silent connection says that it lives, as
    /// [`SocketBuilder::heartbeat_interval`](crate::SocketBuilder::heartbeat_interval).
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = Some(interval);
        self
    }

    /// After how long without any frame a peer is given up, as
    /// [`SocketBuilder::heartbeat_timeout`](crate::SocketBuilder::heartbeat_timeout). A peer that
    /// has been silent for longer than that already is given up.
    pub const fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.heartbeat_timeout = Some(timeout);
        self
    }

    /// How long a connection that we do not read may make no progress, as
    /// [`SocketBuilder::write_timeout`](crate::SocketBuilder::write_timeout).
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = Some(timeout);
        self
    }

    /// After how long without an acknowledgement a message is sent again, as
    /// [`SocketBuilder::resend_timeout`](crate::SocketBuilder::resend_timeout). It holds for
    /// messages that are sent from now on, and for those that were not resent yet.
    pub const fn resend_timeout(mut self, timeout: Duration) -> Self {
        self.resend_timeout = Some(timeout);
        self
    }

    /// How often a message is resent before it becomes a dead letter, as
    /// [`SocketBuilder::resend_limit`](crate::SocketBuilder::resend_limit); `None` is without limit.
    pub fn resend_limit(mut self, resends: impl Into<Option<u32>>) -> Self {
        self.resend_limit = Some(resends.into());
        self
    }

    /// `tuning` with these changes.
    pub(crate) fn applied_to(&self, mut tuning: Tuning) -> Tuning {
        put(&mut tuning.heartbeat_interval, self.heartbeat_interval);
        put(&mut tuning.heartbeat_timeout, self.heartbeat_timeout);
        put(&mut tuning.write_timeout, self.write_timeout);
        put(&mut tuning.resend_timeout, self.resend_timeout);
        put(&mut tuning.resend_limit, self.resend_limit);
        put(&mut tuning.link_overflow, self.link_overflow);
        put(&mut tuning.publish_overflow, self.publish_overflow);
        put(&mut tuning.outbox_overflow, self.outbox_overflow);
        put(&mut tuning.max_connections, self.max_connections);
        put(&mut tuning.max_handshakes, self.max_handshakes);
        put(&mut tuning.link, self.link);
        put(&mut tuning.unacknowledged, self.unacknowledged);
        put(&mut tuning.outbox, self.outbox);
        put(&mut tuning.inbox, self.inbox);
        put(&mut tuning.memory_budget, self.memory_budget);
        tuning.completed()
    }
}

fn put<T>(setting: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *setting = change;
    }
}
