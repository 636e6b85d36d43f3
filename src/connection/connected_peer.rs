//! A connected peer, as a socket lists it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::address::{PeerAddress, Role, TransportKind};
use crate::clock;
use crate::id::Identity;
use crate::link::Link;

/// A peer that is connected, and how its connection fares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectedPeer {
    /// The socket at the other end.
    pub peer: Identity,
    /// Where it is.
    pub address: PeerAddress,
    /// The kind of transport.
    pub transport: TransportKind,
    /// Our end of the connection.
    pub role: Role,
    /// Time since the connection began.
    pub uptime: Duration,
    /// Time since the peer last sent anything, a heartbeat included; 0.1 s and a sixteenth of the
    /// heartbeat interval more or less.
    pub last_heard: Duration,
    /// Messages waiting to be written to it.
    pub queued_messages: usize,
    /// Bytes waiting to be written to it.
    pub queued_bytes: usize,
    /// Messages in flight: waiting for its acknowledgement.
    pub unacknowledged: usize,
    /// Their payload bytes.
    pub unacknowledged_bytes: usize,
    /// How long published messages have waited for it, in all.
    pub waited_for: Duration,
}

impl ConnectedPeer {
    pub(super) fn of(
        link: &Link,
        (address, transport, role): (PeerAddress, TransportKind, Role),
        began: Instant,
        now: Instant,
    ) -> Self {
        let load = link.load();
        Self {
            peer: link.peer(),
            address,
            transport,
            role,
            uptime: now.saturating_duration_since(began),
            last_heard: clock::uptime(now).saturating_sub(link.last_frame()),
            queued_messages: load.frames,
            queued_bytes: load.bytes,
            unacknowledged: load.unacknowledged,
            unacknowledged_bytes: load.unacknowledged_bytes,
            waited_for: link.waited(clock::uptime(now)).1,
        }
    }
}

impl fmt::Display for ConnectedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.role {
            Role::BindEnd => "accepted from",
            Role::ConnectEnd => "connected to",
        };
        write!(
            f,
            "{} {end} {} over {}, up {:.1?}, heard {:.1?} ago, {} messages ({} bytes) queued, {} in flight",
            self.peer,
            self.address,
            self.transport,
            self.uptime,
            self.last_heard,
            self.queued_messages,
            self.queued_bytes,
            self.unacknowledged,
        )
    }
}
