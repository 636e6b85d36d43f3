//! Peers that join and leave, and what that means for the messages that wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{COALESCE_FROM, Routes, SocketCore, SocketPhase, Table};
use crate::engine::pressure::{Movement, Relief};
use crate::engine::{Departure, Enrolment};
use crate::error::ReceiptError;
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::limits::SendMode;
use crate::link::{Bound, Entry, GivenUp, Link, Target, WriteBatch};
use crate::sync::Ordering;

/// What became of an attempt to join.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The peer is connected now.
    Accepted,
    /// It was already, by this link, which stays; or by one that is gone, and that has overtaken this
    /// one: what the peer had sent before may be here.
    Duplicate(Option<Arc<Link>>),
    /// It is this very socket.
    Itself,
    /// The socket is closed.
    Closed,
}

impl SocketCore {
    /// A peer has said who it is. From here on it gets messages, those that waited for it first.
    pub(crate) fn join(&self, link: &Arc<Link>, now: Instant) -> Joined {
        self.hand_out_batch();
        let mut table = self.table.lock();
        if self.phase.load(Ordering::SeqCst) == SocketPhase::Closed as usize {
            return Joined::Closed;
        }
        if link.is_closed() {
            // Its connection has given up waiting for this verdict.
            return Joined::Closed;
        }
        let heard = table.outbox.heard(link.peer());
        if heard.is_some_and(|serial| link.may_be_overtaken(serial)) {
            return Joined::Duplicate(None);
        }
        match table.roster.admit(link.peer(), link.serial()) {
            Enrolment::Accepted => {}
            Enrolment::Duplicate => {
                return Joined::Duplicate(self.peer_index.find(link.peer()));
            }
            Enrolment::Itself => return Joined::Itself,
        }
        if heard.is_some() {
            link.note_heard();
        }
        for mut entry in table.outbox.take_held(link.peer()) {
            if self.is_overdue(&entry, now) {
                self.bury(entry, DeadLetterReason::Expired);
            } else if link.push(&mut entry, Bound::Unlimited).is_err() {
                table.outbox.hold(link.peer(), entry);
            }
        }
        table.outbox.start_grace(now + self.config.absence_grace);
        table.members.push(Arc::clone(link));
        self.share_out(&mut table);
        link.set_limits(self.link_limits(), table.share);
        self.peer_index.insert(link);
        self.settle(&mut table);
        if link.start_catching_up(self.uptime()) {
            self.note_restless();
        }
        self.counters.joins.fetch_add(1, Ordering::Relaxed);
        let peers = table.members.len();
        drop(table);
        self.state.send_modify(|state| state.peers = peers);
        self.room.notify();
        self.outbox_room.notify();
        Joined::Accepted
    }

    /// A connection has ended: its peer gets nothing more, and what it had accepted is dealt with.
    /// False if the link had never joined.
    pub(crate) fn leave(&self, link: &Link, hand: WriteBatch, now: Instant) -> bool {
        self.hand_out_batch();
        let mut table = self.table.lock();
        if table.roster.leave(link.peer(), link.serial()) == Departure::NeverAdmitted {
            link.close(hand);
            return false;
        }
        table.members.remove(link.serial());
        table
            .leaving
            .retain(|member| member.serial() != link.serial());
        self.peer_index.remove(link);
        let left = link.close(hand);
        self.asks.handle_leave(link.peer(), link.serial());
        table.past.sent += left.counts.sent;
        table.past.acknowledged += left.counts.acknowledged;
        table.past.resent += left.counts.resent;
        let heard = link.was_heard().then(|| self.next_serial());
        table
            .outbox
            .expect_back(link.peer(), now + self.config.absence_grace, heard);
        let mut mode = VecDeque::new();
        let mut named = VecDeque::new();
        for entry in left.unacknowledged.into_iter().chain(left.unsent) {
            if self.is_closed() {
                // Nobody will look into the outbox any more.
                self.bury(entry, DeadLetterReason::Closed);
            } else if self.is_overdue(&entry, now) {
                self.bury(entry, DeadLetterReason::Expired);
            } else if matches!(entry.target, Target::Peer(_)) {
                named.push_back(entry);
            } else if self.config.send_mode == SendMode::Publish && !table.members.is_empty() {
                // The others have their copies.
                let reason = if self.is_open() {
                    DeadLetterReason::PeerGone
                } else {
                    DeadLetterReason::Closed
                };
                self.bury(named_for(link, entry), reason);
            } else if entry.target == Target::Copy {
                // So had others, who are not to get it again when they return.
                named.push_back(named_for(link, entry));
            } else {
                mode.push_back(entry);
            }
        }
        let back_by = now + self.config.absence_grace;
        if self.config.hold_for_absent {
            table.outbox.hold_again(link.peer(), named, back_by);
        } else {
            for entry in named {
                self.bury(entry, DeadLetterReason::PeerGone);
            }
        }
        table.outbox.requeue(mode);
        let roomier = self.share_out(&mut table);
        self.settle(&mut table);
        let peers = table.members.len();
        drop(table);
        self.state.send_modify(|state| state.peers = peers);
        roomier.iter().for_each(|link| link.room.notify());
        link.room.notify_all();
        self.room.notify_all();
        self.outbox_room.notify_all();
        if left.relieved {
            self.subscriptions.relieve();
        }
        true
    }

    /// Waits until a peer is not connected any more, or the socket is closed.
    pub(crate) async fn until_gone(&self, peer: Identity) {
        let mut state = self.state();
        while !self.is_closed() && self.is_connected(peer) {
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Publishes joins and departures that were held back, once for all of them.
    pub(crate) fn publish_joins(&self) {
        let mut table = self.table.lock();
        if table.stale && !table.outbox.has_mode_messages() {
            self.store_routes(&mut table);
            drop(table);
            self.room.notify();
        }
    }

    /// Whether joins wait to be published, and somebody may miss them.
    pub(crate) fn has_unpublished_joins(&self) -> bool {
        self.routes.is_seen() && self.table.lock().stale
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

    pub(super) fn publish_routes(&self, table: &mut Table, backlog: bool) {
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

    fn is_published(&self, table: &Table) -> bool {
        let routes = self.routes.load();
        routes.len() == table.members.len()
            && routes
                .iter()
                .zip(table.members.iter())
                .all(|(a, b)| a.serial() == b.serial())
    }

    fn store_routes(&self, table: &mut Table) {
        table.stale = false;
        self.routes.store(table.members.list().clone());
    }

    /// A sender found a closed link whose connection has not left yet: nobody is to find it again.
    pub(super) fn withdraw_closed(&self) {
        let mut table = self.table.lock();
        table.withdraw_closed();
        self.settle(&mut table);
        if !table.outbox.has_mode_messages() && !self.is_published(&table) {
            self.store_routes(&mut table);
        }
    }

    /// The router's sweep: gives up what is overdue in the outbox and resends what is due on the
    /// links.
    pub(crate) fn handle_sweep(&self, now: Instant) {
        self.note_time(now);
        if let Some(memories) = &self.memories {
            memories.handle_sweep(self.uptime());
        }
        let (expired, overdue) = {
            let outbox = &mut self.table.lock().outbox;
            (outbox.take_expired(now), outbox.take_overdue(now))
        };
        if !expired.is_empty() || !overdue.is_empty() {
            for entry in expired {
                self.bury(entry, DeadLetterReason::Expired);
            }
            for entry in overdue {
                self.bury(entry, DeadLetterReason::PeerGone);
            }
            self.note_room();
        }
        self.sweep_links(now);
    }

    /// A link holds messages until they are acknowledged: the sweeps that follow look at links.
    pub(crate) fn note_restless(&self) {
        if !self.restless.load(Ordering::Acquire) {
            self.restless.store(true, Ordering::Release);
        }
    }

    /// Looks at the links, if any may need that. Those of thousands of idle peers do not.
    fn sweep_links(&self, now: Instant) {
        self.hand_out_batch();
        let (unhandled, _) = self.subscriptions.load();
        let unhandled = (unhandled, self.subscriptions.parked());
        // What is noted from here on is for the next sweep.
        let restless = self.restless.swap(false, Ordering::AcqRel);
        if !restless && unhandled.0 <= unhandled.1 {
            return;
        }
        let resend_limit = self.limits().resend_limit;
        for link in self.links().iter() {
            let given_up = link.handle_sweep(self.uptime(), now, resend_limit);
            let some = !given_up.is_empty();
            for (entry, why) in given_up {
                let reason = match why {
                    GivenUp::Expired => DeadLetterReason::Expired,
                    GivenUp::ResendLimit => DeadLetterReason::ResendLimit,
                };
                self.bury(entry, reason);
            }
            if link.watch_backlog(self.uptime()) || some {
                link.room.notify();
                self.note_room();
            }
            self.end_standstill(link, unhandled);
            if link.is_restless() {
                self.note_restless();
            }
        }
    }

    /// Gives way if both ends of a link wait for each other. Of the messages that are not handled, some
    /// may be parked.
    fn end_standstill(&self, link: &Link, (unhandled, parked): (usize, usize)) {
        let received = self.counters.received.load(Ordering::Relaxed);
        let waited_for = !(self.room.is_empty() && link.room.is_empty());
        let movement = Movement {
            both_wait: waited_for && unhandled > parked,
            handled: received.wrapping_sub(unhandled as u64),
        };
        if link.handle_standstill(self.uptime(), movement) == Relief::Room {
            tracing::debug!(peer = %link.peer(), "both ends wait for each other: taking more");
            link.room.notify();
            self.note_room();
        }
    }

    fn is_overdue(&self, entry: &Entry, now: Instant) -> bool {
        entry.expires().is_some_and(|expires| expires <= now)
    }
}

/// A copy of a published message, as one for this peer alone.
fn named_for(link: &Link, mut copy: Entry) -> Entry {
    copy.target = Target::Peer(link.peer());
    copy
}

impl From<DeadLetterReason> for ReceiptError {
    fn from(reason: DeadLetterReason) -> Self {
        match reason {
            DeadLetterReason::Expired | DeadLetterReason::ResendLimit => Self::Expired,
            DeadLetterReason::PeerGone => Self::PeerGone,
            DeadLetterReason::Overflow => Self::Overflow,
            DeadLetterReason::Closed
            | DeadLetterReason::Poison
            | DeadLetterReason::Rejected
            | DeadLetterReason::Undecodable
            | DeadLetterReason::Unwanted
            | DeadLetterReason::Unclaimed => Self::Closed,
        }
    }
}
