//! The socket-wide budget: half of it is shared out to the links, the other half is for frames that
//! have begun to arrive and are not whole.

use std::sync::Arc;

use super::router::Router;
use super::routes::Routes;
use super::table::PeerTable;
use crate::limits::Limits;
use crate::link::LinkLimits;

impl Router {
    /// Bytes that each of so many links may hold.
    pub(super) fn share_of(&self, links: usize) -> usize {
        let limits = self.limits.current();
        let all = limits.memory_budget / 2;
        let equal = all.checked_div(links).unwrap_or(all);
        equal.min(limits.link_capacity.bytes)
    }

    /// A peer came or went: shares the budget out anew, where that makes a difference worth the
    /// trouble. Yields the links whose share has grown, for whoever waits there: they are to be told
    /// when the table is no longer locked.
    pub(super) fn share_out(&self, table: &mut PeerTable) -> Routes {
        let (old, new) = (table.share, self.share_of(table.members.len()));
        // Those that came since are on the safe side, and small changes wait for others.
        let shrinks = new < old;
        let grows = new > old.saturating_add(old / 4)
            || (new > old && new == self.limits.current().link_capacity.bytes);
        if !shrinks && !grows {
            return Routes::new();
        }
        // A little ahead, so that the next who come change nothing.
        table.share = if shrinks { new - new / 8 } else { new };
        for link in table.members.iter() {
            link.set_share(table.share);
        }
        if grows {
            table.members.list().clone()
        } else {
            Routes::new()
        }
    }

    /// The settings have changed: sets the bounds of the outbox and of all links. Whoever waits looks
    /// again, because there may be room now, or another policy.
    pub(crate) fn handle_limits(&self, limits: &Limits) {
        let links = {
            let mut table = self.table();
            table.link_limits = Arc::new(LinkLimits::new(limits, self.config.max_frame_bytes));
            table.outbox.set_room(limits.outbox_capacity);
            table.share = self.share_of(table.members.len());
            for link in table.members.iter() {
                link.set_limits(Arc::clone(&table.link_limits), table.share);
            }
            table.members.list().clone()
        };
        links.iter().for_each(|link| link.room.notify_all());
        self.note_room();
        self.waiting.notify_all();
    }
}
