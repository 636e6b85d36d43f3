//! Links that are closed, and hold messages until their connections have left.
//!
//! What such a link holds comes back to the outbox, which does not refuse it. What it holds above
//! its own bound takes up room there already: otherwise a peer that does not read, and whose
//! connection ends and comes back for ever, would take over as much as the outbox holds each time.

use std::sync::Arc;

use super::table::PeerTable;
use crate::limits::Capacity;
use crate::link::{Bound, Entry, Link};

impl PeerTable {
    /// Links that are closed are members no longer.
    pub(super) fn withdraw_closed(&mut self) {
        for link in self.members.take_closed() {
            self.expect_leave(link);
        }
    }

    /// A link was found closed.
    pub(super) fn expect_leave(&mut self, link: Arc<Link>) {
        self.members.remove(link.serial());
        if !self.leaving.iter().any(|known| Arc::ptr_eq(known, &link)) {
            self.leaving.push(link);
        }
    }

    /// True if the outbox has room for a message, and for those that are about to come back.
    pub(super) fn has_room(&self, entry: &Entry, bound: Bound) -> bool {
        let mut coming = Capacity {
            messages: 0,
            bytes: 0,
        };
        for link in &self.leaving {
            let excess = link.excess();
            coming.messages += excess.messages;
            coming.bytes += excess.bytes;
        }
        self.outbox.has_room(entry, bound, coming)
    }
}
