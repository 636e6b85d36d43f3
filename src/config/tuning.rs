//! The settings that may change while a socket runs.

use std::time::Duration;

use super::{KIB, MIB, Overflow, Room, Timers};
use crate::inbox::InboxLimits;
use crate::link::{Guarantee, Link, LinkLimits};

/// Descriptors that the connection limit leaves to the rest of the process.
const DESCRIPTOR_RESERVE: usize = 16;

/// Bounds, what happens at them, and timers: see [`Socket::reconfigure`](crate::Socket::reconfigure).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) resend_timeout: Duration,
    pub(crate) resend_limit: Option<u32>,
    pub(crate) link_overflow: Overflow,
    pub(crate) publish_overflow: Overflow,
    pub(crate) outbox_overflow: Overflow,
    /// What the process allows, where it is 0.
    pub(crate) max_connections: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) link: Room,
    pub(crate) unacknowledged: Room,
    pub(crate) outbox: Room,
    pub(crate) inbox: InboxLimits,
    /// Bytes for all links and all unfinished frames together.
    pub(crate) memory_budget: usize,
}

impl Tuning {
    pub(crate) const fn new() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(10),
            resend_timeout: Duration::from_secs(5),
            resend_limit: None,
            link_overflow: Overflow::Wait,
            publish_overflow: Overflow::WaitFor(Duration::from_millis(250)),
            outbox_overflow: Overflow::Wait,
            max_connections: 0,
            max_handshakes: 4096,
            link: Room {
                messages: 4096,
                bytes: 256 * KIB,
            },
            unacknowledged: Room {
                messages: 1024,
                bytes: 256 * KIB,
            },
            outbox: Room {
                messages: 100_000,
                bytes: 16 * MIB,
            },
            inbox: InboxLimits {
                messages: 4096,
                bytes: 256 * KIB,
            },
            memory_budget: 64 * MIB,
        }
    }

    /// With what is left to the process filled in.
    pub(crate) fn completed(mut self) -> Self {
        if self.max_connections == 0 {
            self.max_connections = descriptor_limit().saturating_sub(DESCRIPTOR_RESERVE).max(1);
        }
        self
    }

    /// Says what is wrong, if anything is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.heartbeat_interval.is_zero() || self.heartbeat_timeout.is_zero() {
            return Err("the heartbeat interval and timeout must be longer than zero");
        }
        if self.resend_timeout.is_zero() {
            return Err("the resend timeout must be longer than zero");
        }
        if self.outbox_overflow == Overflow::Disconnect {
            return Err(
                "the outbox holds messages for peers that are not connected, and has no connection \
                 to end: choose another overflow policy for it",
            );
        }
        if self.max_handshakes == 0 {
            return Err("at least one handshake must be allowed at a time");
        }
        Ok(())
    }

    /// What connections are judged by.
    pub(crate) const fn timers(&self) -> Timers {
        Timers::new(
            self.heartbeat_interval,
            self.heartbeat_timeout,
            self.write_timeout,
        )
    }

    /// What each link may hold, the budget apart.
    pub(crate) fn link_limits(&self, max_frame_bytes: u32) -> LinkLimits {
        LinkLimits {
            frames: self.link.messages,
            bytes: self.link.bytes,
            unacked_messages: self.unacknowledged.messages,
            unacked_bytes: self.unacknowledged.bytes,
            resend_after: self.resend_timeout,
            largest_payload: Link::max_payload(Guarantee::AtMostOnce, max_frame_bytes),
        }
    }
}

/// What the process may open, as the system says; a cautious guess where it does not.
fn descriptor_limit() -> usize {
    rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1024, |(soft, _)| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    })
}
