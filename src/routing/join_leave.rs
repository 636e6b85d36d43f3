//! Peers that join and leave, and the messages that wait for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::blame::EndedBy;
use super::router::{Departed, Router};
use super::routes::Routes;
use super::table::PeerTable;
use crate::engine::{Departure, Enrolment};
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::limits::SendMode;
use crate::link::{Bound, Entry, Link, Target, WriteBatch};

/// From this many members on, a join does not publish the list by itself: the router does, once
/// for all joins of its turn, so that thousands of joins do not copy thousands of entries each.
pub(super) const COALESCE_FROM: usize = 64;

/// Result of an attempt to join.
#[derive(Debug)]
pub(crate) enum JoinOutcome {
    /// The peer is connected now.
    Accepted,
    /// The peer was connected already, by this link, which stays; or by one that is gone, and that has overtaken
    /// this one: messages that the peer had sent before may be here.
    Duplicate(Option<Arc<Link>>),
    /// The peer is this very socket.
    Itself,
    /// The socket is closed.
    Closed,
}

impl Router {
    /// A peer has said who it is. From here on it gets messages, those that waited for it first.
    pub(crate) fn join(&self, link: &Arc<Link>, now: Instant) -> JoinOutcome {
        let mut table = self.table();
        if self.lifecycle.is_closed() {
            return JoinOutcome::Closed;
        }
        if link.is_closed() {
            // Its connection has given up waiting for this verdict.
            return JoinOutcome::Closed;
        }
        let heard = table.outbox.heard(link.peer());
        if heard.is_some_and(|serial| link.may_be_overtaken(serial)) {
            return JoinOutcome::Duplicate(None);
        }
        match table.roster.admit(link.peer(), link.serial()) {
            Enrolment::Accepted => {}
            Enrolment::Duplicate => {
                let kept = table.index.find(link.peer());
                if let Some(kept) = &kept {
                    kept.note_newcomer();
                }
                // Whoever made both connections has kept none but the one that it was answered on.
                if let Some(kept) = &kept
                    && (kept.is_dialled() || link.is_dialled())
                {
                    kept.note_turned_away_another();
                }
                return JoinOutcome::Duplicate(kept);
            }
            Enrolment::Itself => return JoinOutcome::Itself,
        }
        if heard.is_some() {
            link.note_heard();
        }
        table.outbox.start_grace(now + self.config.absence_grace);
        table.members.push(Arc::clone(link));
        self.share_out(&mut table);
        link.set_limits(Arc::clone(&table.link_limits), table.share);
        self.hand_over_held(link, &mut table, now);
        table.index.insert(link);
        self.settle(&mut table);
        if link.start_catching_up(self.lifecycle.uptime()) {
            self.note_restless();
            table.note_backlog(link);
        }
        table.joins += 1;
        table.changes += 1;
        let (peers, as_of) = (table.members.len(), table.changes);
        drop(table);
        self.lifecycle.note_peers(peers, as_of);
        self.waiting.notify();
        JoinOutcome::Accepted
    }

    /// Gives a peer that came its held messages, and in their order those for any peer that were accepted before
    /// them, as far as the link has room. Those because of which it may have ended its connections, though nobody can tell as others
    /// came with them, go last: then they are tried alone.
    fn hand_over_held(&self, link: &Link, table: &mut PeerTable, now: Instant) {
        let bound = match self.config.send_mode {
            SendMode::RoundRobin => Bound::Link,
            SendMode::Publish => Bound::Unlimited,
        };
        let held = table.outbox.take_held(link.peer()).into_iter();
        let (last, first): (Vec<_>, Vec<_>) =
            held.partition(|held| link.hides_among_others(&held.entry));
        for mut held in first.into_iter().chain(last) {
            while let Some(mut earlier) = table.outbox.pop_before(&held) {
                if earlier.entry.is_expired(now) {
                    self.bury(earlier.entry, DeadLetterReason::Expired);
                } else if link.push(&mut earlier.entry, bound).is_err() {
                    table.outbox.push_front(earlier);
                    break;
                }
            }
            if held.entry.is_expired(now) {
                self.bury(held.entry, DeadLetterReason::Expired);
            } else if link.push(&mut held.entry, Bound::Unlimited).is_err() {
                table.outbox.hold(link.peer(), held.entry);
            }
        }
    }

    /// A connection has ended: its peer gets nothing more, and what it had accepted is dealt with.
    /// `at_leave` runs before the peer can join again, and has what was for an instance of a service. `None` if
    /// the link had never joined.
    pub(crate) fn leave(
        &self,
        link: &Link,
        batch: WriteBatch,
        now: Instant,
        by: EndedBy,
        at_leave: impl FnOnce(Vec<Entry>),
    ) -> Option<Departed> {
        let mut table = self.table();
        if table.roster.leave(link.peer(), link.serial()) == Departure::NeverAdmitted {
            link.close(batch);
            return None;
        }
        table.members.remove(link.serial());
        table
            .leaving
            .retain(|member| member.serial() != link.serial());
        table.index.remove(link);
        table
            .backlogged
            .retain(|member| member.serial() != link.serial());
        let (mut left, late) = self.close_behind_batch(|| link.close(batch));
        table.past += left.counts;
        let heard = link.was_heard().then(|| self.lifecycle.next_serial());
        table
            .outbox
            .expect_back(link.peer(), now + self.config.absence_grace, heard);
        let mut withdrawn = Vec::new();
        match left.half_written.take() {
            // The peer has not got all of it, so that nobody has handled it.
            Some(entry) if entry.target == Target::Service => withdrawn.push(entry),
            Some(entry) => self.bury(named_for(link, entry), DeadLetterReason::HalfWritten),
            None => {}
        }
        let relieved = left.relieved;
        let unacknowledged = self.judge(&table, link, &mut left, by, now);
        let mut back = VecDeque::new();
        for entry in unacknowledged.into_iter().chain(left.unsent) {
            match self.take_back(&table, link, entry, now) {
                Ok(entry) if entry.target == Target::Service => withdrawn.push(entry),
                Ok(entry) => back.push_back(entry),
                Err((entry, reason)) => self.bury(entry, reason),
            }
        }
        // What was gathered while the link was closed already comes behind what it had.
        for mut entry in late.back {
            entry.target = Target::Mode;
            match self.lifecycle.is_closed() {
                true => self.bury(entry, DeadLetterReason::Closed),
                false => back.push_back(entry),
            }
        }
        for (link, lost) in late.lost {
            self.bury_shed(lost, &link);
        }
        at_leave(withdrawn);
        let back_by = now + self.config.absence_grace;
        table.outbox.requeue_or_hold(back, back_by);
        let roomier = self.share_out(&mut table);
        self.settle(&mut table);
        table.changes += 1;
        let (peers, as_of) = (table.members.len(), table.changes);
        drop(table);
        self.lifecycle.note_peers(peers, as_of);
        roomier.iter().for_each(|link| link.room.notify());
        link.room.notify_all();
        self.waiting.notify_all();
        Some(Departed {
            was_in_debt: relieved,
        })
    }

    /// A message that a link leaves, as it is to wait again; or why nobody will get it.
    fn take_back(
        &self,
        table: &PeerTable,
        link: &Link,
        entry: Entry,
        now: Instant,
    ) -> Result<Entry, (Entry, DeadLetterReason)> {
        if self.lifecycle.is_closed() {
            // Nobody will look into the outbox any more.
            return Err((entry, DeadLetterReason::Closed));
        }
        if entry.target == Target::Service {
            return Ok(entry);
        }
        if entry.is_expired(now) {
            return Err((entry, DeadLetterReason::Expired));
        }
        let entry = match entry.target {
            Target::Peer(_) | Target::Service => entry,
            Target::Mode | Target::Copy
                if self.config.send_mode == SendMode::Publish && !table.members.is_empty() =>
            {
                // The others have their copies.
                let reason = if self.lifecycle.is_open() {
                    DeadLetterReason::PeerGone
                } else {
                    DeadLetterReason::Closed
                };
                return Err((named_for(link, entry), reason));
            }
            // So had others, who are not to get it again when they return.
            Target::Copy => named_for(link, entry),
            Target::Mode => return Ok(entry),
        };
        if self.config.hold_for_absent || entry.is_stored() {
            Ok(entry)
        } else {
            Err((entry, DeadLetterReason::PeerGone))
        }
    }

    /// Waits until a peer is not connected any more, or the socket is closed.
    pub(crate) async fn until_gone(&self, peer: Identity) {
        let mut state = self.lifecycle.state();
        while !self.lifecycle.is_closed() && self.is_connected(peer) {
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Publishes joins and departures that were held back, once for all of them.
    pub(crate) fn publish_joins(&self) {
        let mut table = self.table();
        if table.stale && !table.outbox.has_mode_messages() {
            self.store_routes(&mut table);
            drop(table);
            self.waiting.anywhere.notify();
        }
    }

    /// True if joins wait to be published, and somebody may miss them.
    pub(crate) fn has_unpublished_joins(&self) -> bool {
        self.routes.is_seen() && self.table().stale
    }

    /// A sender is about to look at the list, which has been left as it was while nobody did.
    #[inline]
    pub(super) fn look_at_routes(&self) {
        if !self.routes.is_seen() {
            self.publish_unseen();
        }
    }

    #[cold]
    fn publish_unseen(&self) {
        // In this order, so that a join either is published here or finds that somebody may miss it.
        self.routes.note_seen();
        self.publish_joins();
        self.routes.note_seen();
    }

    pub(super) fn publish_routes(&self, table: &mut PeerTable, backlog: bool) {
        let published = self.routes.load().len();
        let members = table.members.len();
        if backlog {
            if published > 0 {
                self.routes.store(Routes::new());
            }
        } else if published == 0 || members < COALESCE_FROM {
            if !self.is_published(table) {
                self.store_routes(table);
            }
        } else if published != members {
            table.stale = true;
        }
    }

    fn is_published(&self, table: &PeerTable) -> bool {
        let routes = self.routes.load();
        routes.len() == table.members.len()
            && routes
                .iter()
                .zip(table.members.iter())
                .all(|(a, b)| a.serial() == b.serial())
    }

    fn store_routes(&self, table: &mut PeerTable) {
        table.stale = false;
        self.routes.store(table.members.list().clone());
    }

    /// A sender found a closed link whose connection has not left yet: nobody is to find it again.
    pub(super) fn withdraw_closed(&self) {
        let mut table = self.table();
        table.withdraw_closed();
        self.settle(&mut table);
        if !table.outbox.has_mode_messages() && !self.is_published(&table) {
            self.store_routes(&mut table);
        }
    }
}

/// A copy of a published message, as one for this peer alone.
fn named_for(link: &Link, mut copy: Entry) -> Entry {
    copy.target = Target::Peer(link.peer());
    copy
}
