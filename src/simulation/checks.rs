//! What holds after every step of a simulation.

use super::executor::Owner;
use super::plan::Echo;
use super::socket::Life;
use super::world::World;
use crate::core::SocketCore;

/// Bytes that a reader asks for at once.
const READ_BYTES: usize = 64 * 1024;

/// How far above the bound of a link its replies may go.
const REPLIES: usize = 8;

impl World {
    /// One task of this owner has had its turn.
    pub(super) fn check(&self, owner: Owner) {
        for seen in self.take_seen() {
            self.ledger().see(seen);
        }
        let life = self.alive().into_iter().find(|life| life.owner == owner);
        if let Some(life) = life {
            self.check_bounds(&life);
        }
    }

    fn check_bounds(&self, life: &Life) {
        let plan = &self.plan;
        let core: &SocketCore = &life.core;
        // A link takes replies above its bound, and what was accepted before without any.
        let replies =
            plan.manners.reply > 0 || plan.manners.echo == Echo::Replies || plan.services.is_some();
        let mark = if replies { REPLIES } else { 1 };
        // It takes more, too, while both ends wait for each other, and what it took so comes back to
        // the outbox and goes into its successor.
        let links = core.router.links();
        let raised = links.iter().map(|link| link.relief_factor()).max();
        life.raised.set(life.raised.get().max(raised.unwrap_or(1)));
        let mark = mark.max(life.raised.get());
        let in_link = mark * (plan.link.messages + plan.unacknowledged.messages).max(2);
        let moved = plan.outbox.messages.max(1) + in_link;
        for link in links.iter() {
            let load = link.load();
            assert!(
                load.frames <= in_link + moved && load.unacknowledged <= in_link + moved,
                "a link holds {load:?}"
            );
        }
        let most = plan.outbox.messages.max(1) + plan.sockets * (in_link + moved);
        let (held, _) = core.router.totals().outbox;
        assert!(held <= most, "the outbox holds {held} of {most}");
        let large = READ_BYTES + 2 * super::plan::LARGEST;
        // Of peers that leave replies unread, as much again is set aside.
        let inboxes = if replies { 2 } else { 1 };
        let ahead = core.inbound.read_ahead.held();
        assert!(
            ahead <= (core.limits.current().memory_budget / 4).max(large),
            "{ahead} bytes are read past full inboxes"
        );
        let (_, held) = core.inbound.subscriptions.load();
        assert!(
            held <= inboxes * plan.inbox.bytes.max(large) + ahead,
            "the inbox holds {held} bytes, of which {ahead} are read ahead"
        );
    }
}
