//! Whether messages of the peer may come behind later ones, by another connection.
//!
//! Whoever accepted a connection of ours may send as soon as it has our HELLO, before we admit it. By
//! then it may have given the connection up and made one itself, which we have admitted and which
//! has ended: what lies in the older one comes too late. It is read no more, as when a connection
//! breaks.

use super::Link;
use crate::address::Role;
use crate::sync::{AtomicBool, Ordering};

/// What is known of the messages of a peer.
#[derive(Debug)]
pub(super) struct Heard {
    role: Role,
    /// Some have come, on this connection or an earlier one.
    any: AtomicBool,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self {
            role: Role::BindEnd,
            any: AtomicBool::new(false),
        }
    }
}

impl Link {
    /// Which end of the connection we are.
    pub(crate) fn with_role(mut self, role: Role) -> Self {
        self.heard.role = role;
        self
    }

    /// Messages have come from the peer.
    #[inline]
    pub(crate) fn note_heard(&self) {
        self.heard.any.store(true, Ordering::Relaxed);
    }

    /// Whether messages have come from the peer.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard.any.load(Ordering::Relaxed)
    }

    /// Whether the peer may have sent messages by this connection before one that ended at `serial`
    /// was admitted, counted in connections.
    pub(crate) fn may_be_overtaken(&self, serial: u64) -> bool {
        self.heard.role == Role::ConnectEnd && self.serial() < serial
    }
}
