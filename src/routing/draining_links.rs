//! Links that hold messages of the outbox: those that are closed, until their connections have left, and
//! those that have joined and got more than their bound.
//!
//! What such a link holds comes back to the outbox, which does not refuse it. What it holds above
//! its own bound takes up room there already: otherwise a peer that does not read, and whose
//! connection ends and comes back for ever, would take over as much as the outbox holds each time. So
//! does what had waited for a peer that has joined and has not taken it yet: peers that come one after
//! the other, and read nothing, hold no more together than the outbox does.

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

    /// A link has joined. What it got above its bound counts as the outbox's until it is written.
    pub(super) fn note_backlog(&mut self, link: &Arc<Link>) {
        self.backlogged.retain(|link| is_above_bound(link));
        if is_above_bound(link) {
            self.backlogged.push(Arc::clone(link));
        }
    }

    /// True if the outbox has room for a message, and for those that are about to come back, or that had
    /// waited in it and are with a link above its bound.
    pub(super) fn has_room(&mut self, entry: &Entry, bound: Bound) -> bool {
        self.backlogged
            .retain(|link| !link.is_closed() && is_above_bound(link));
        let mut coming = Capacity {
            messages: 0,
            bytes: 0,
        };
        for link in self.leaving.iter().chain(&self.backlogged) {
            let excess = link.excess();
            coming.messages += excess.messages;
            coming.bytes += excess.bytes;
        }
        self.outbox.has_room(entry, bound, coming)
    }
}

fn is_above_bound(link: &Link) -> bool {
    let excess = link.excess();
    excess.messages > 0 || excess.bytes > 0
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Poll;

    use super::super::tests::{core, join, leave, peer, poll, send};
    use crate::link::Target;

    #[test]
    fn peers_that_come_one_after_the_other_and_read_nothing_hold_no_more_than_the_outbox() {
        let core = core(|config| {
            config.limits.outbox_capacity.messages = 10;
            config.limits.link_capacity.messages = 2;
        });
        let _other = join(&core, 200);
        for number in 1..=20 {
            let link = join(&core, number);
            leave(&core, &link);
        }
        let mut taken = 0;
        for number in 1..=20 {
            let accepts =
                || poll(&mut send(&core, Target::Peer(peer(number)))) == Poll::Ready(Ok(()));
            while accepts() {
                taken += 1;
            }
            join(&core, number);
        }
        // What waits in the outbox and what is above the bounds of the links is ten together.
        let held: usize = core
            .router
            .links()
            .iter()
            .map(|link| link.load().frames)
            .sum();
        assert_eq!(held, taken);
        let above: usize = core
            .router
            .links()
            .iter()
            .map(|link| link.excess().messages)
            .sum();
        assert!((8..=10).contains(&above), "{above}");
        assert_eq!(core.stats().outbox_messages, 0);
        assert!(core.stats().above_bound_bytes <= core.stats().queued_bytes);
    }
}
