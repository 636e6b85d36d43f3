//! The socket's own services, as one of their consumers: a link from the socket to itself, which is not among its peers.

use std::sync::Arc;
use std::time::Instant;

use super::message::ask_in;
use super::services::Services;
use crate::event::DeadLetterReason;
use crate::link::{Link, LinkCounts, LinkLoad, Target, WriteBatch};

impl Services {
    /// The link from the socket to itself, as soon as it both offers and follows services.
    pub(crate) async fn link_to_itself(&self) -> Arc<Link> {
        loop {
            let made = self.own_made.notified();
            if let Some(link) = self.own.get() {
                return Arc::clone(link);
            }
            made.await;
        }
    }

    /// The connections of those who may use services of the socket: its peers, and itself.
    pub(super) fn consumers(&self) -> Vec<Arc<Link>> {
        let mut links: Vec<_> = self.router().links().iter().cloned().collect();
        links.extend(self.own().cloned());
        links
    }

    fn own(&self) -> Option<&Arc<Link>> {
        if self.own.get().is_none() && self.offers.are_any() && self.directory.follows_any() {
            let router = self.router();
            let link = Link::new(
                router.config().identity,
                router.next_serial(),
                Arc::downgrade(router),
                router.link_limits(),
                Vec::new(),
            );
            // Another thread may have been first.
            let _ = self.own.set(Arc::new(link));
            self.own_made.notify_waiters();
        }
        self.own.get()
    }

    /// True if a link is the one from the socket to itself.
    pub(super) fn is_own(&self, link: &Link) -> bool {
        self.own
            .get()
            .is_some_and(|own| own.serial() == link.serial())
    }

    /// Content and counts of the link from the socket to itself.
    pub(crate) fn own_figures(&self) -> (LinkLoad, LinkCounts) {
        let own = self.own.get();
        own.map(|own| (own.load(), own.counts()))
            .unwrap_or_default()
    }

    /// The bounds of links have changed, and those of the link from the socket to itself with them.
    pub(crate) fn handle_limits(&self) {
        if let Some(own) = self.own.get() {
            own.set_limits(self.router().link_limits(), usize::MAX);
            own.room.notify_all();
        }
    }

    /// Resends what the socket has sent to itself and is overdue, or gives it up.
    pub(super) fn sweep_own(&self, now: Instant) {
        if let Some(own) = self.own.get() {
            self.router().sweep_apart(own, now);
        }
    }

    /// The phase of the socket has changed: whoever waits for room on the link from the socket to itself looks again.
    pub(crate) fn wake_own(&self) {
        if let Some(own) = self.own.get() {
            own.room.notify_all();
        }
    }

    /// True if nothing is on its way to the socket itself, or is still to be acknowledged if that counts.
    pub(crate) fn is_own_drained(&self, acknowledged_too: bool) -> bool {
        let (load, _) = self.own_figures();
        load.frames == 0 && (!acknowledged_too || load.unacknowledged == 0)
    }

    /// The socket is closed: tells that were on their way to itself will not be handled.
    pub(super) fn close_own(&self) {
        let Some(own) = self.own.get() else { return };
        let left = own.close(WriteBatch::default());
        let unacknowledged = left.unacknowledged.into_iter().map(|left| left.entry);
        for entry in left.unsent.into_iter().chain(unacknowledged) {
            if entry.target == Target::Service && ask_in(&entry.payload).is_none() {
                self.router().bury(entry, DeadLetterReason::Closed);
            }
        }
    }
}
