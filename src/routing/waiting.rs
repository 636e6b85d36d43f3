//! Senders that wait for room.

use crate::sync::{AtomicBool, WaitQueue};

/// The lines of senders that no single link keeps.
#[derive(Debug)]
pub(super) struct WaitingSenders {
    /// Senders by the send mode that wait for room on any link, or in the outbox.
    pub(super) anywhere: WaitQueue,
    /// Senders to peers that are not connected, which wait for room in the outbox. They stand in a
    /// line of their own, so that an absent peer delays nobody else.
    pub(super) outbox: WaitQueue,
    /// Set while the outbox holds messages for the send mode: a link that gets room asks.
    pub(super) backlog: AtomicBool,
}

impl WaitingSenders {
    pub(super) fn new() -> Self {
        Self {
            anywhere: WaitQueue::new(),
            outbox: WaitQueue::new(),
            backlog: AtomicBool::new(false),
        }
    }

    /// There may be room: the first of each line looks.
    pub(super) fn notify(&self) {
        self.anywhere.notify();
        self.outbox.notify();
    }

    /// Something has changed for everyone who waits.
    pub(super) fn notify_all(&self) {
        self.anywhere.notify_all();
        self.outbox.notify_all();
    }
}
