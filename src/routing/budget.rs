//! The socket-wide budget: half of it is shared out to the links, the other half is for frames that
//! have begun to arrive and are not whole.

use super::{Routes, SocketCore, Table};

impl SocketCore {
    /// Bytes that each of so many links may hold.
    pub(super) fn share_of(&self, links: usize) -> usize {
        let limits = self.limits();
        let all = limits.memory_budget / 2;
        let equal = all.checked_div(links).unwrap_or(all);
        equal.min(limits.link_capacity.bytes)
    }

    /// A peer came or went: shares the budget out anew, where that makes a difference worth the
    /// trouble. Yields the links whose share has grown, for whoever waits there: they are to be told
    /// when the table is no longer locked.
    pub(super) fn share_out(&self, table: &mut Table) -> Routes {
        let (old, new) = (table.share, self.share_of(table.members.len()));
        // Those that came since are on the safe side, and small changes wait for others.
        let shrinks = new < old;
        let grows = new > old + old / 4 || (new > old && new == self.limits().link_capacity.bytes);
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
}
