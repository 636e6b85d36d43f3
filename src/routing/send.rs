//! The way of one message from a sender into a link or the outbox.

use std::sync::Arc;

use super::broadcast::{Published, copies_for};
use super::router::Router;
use super::routes::Routes;
use super::send_refusal::SendRefusal;
use super::table::PeerTable;
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::limits::{SendMode, Unheard};
use crate::link::{Attempt, Bound, Courtesy, Entry, Link, Refused, Target, take, try_put};
use crate::sync::Ordering;

/// Result of an attempt at round-robin.
enum RoundRobinAttempt {
    Tried(Attempt),
    /// Every link is full.
    Full,
    /// None has taken it, and some are closed.
    Closed,
    NoRoute,
}

impl Router {
    /// Takes a message within the bounds, or says why not. Never waits.
    #[inline]
    pub(crate) fn try_take(&self, entry: &mut Entry) -> Result<(), SendRefusal> {
        match self.try_take_with(entry, Courtesy::None)? {
            Attempt::Taken => Ok(()),
            Attempt::WriterFirst => unreachable!("nobody is asked to yield who does not"),
        }
    }

    /// [`try_take`](Self::try_take), by a sender that may let the writer go first.
    #[inline]
    pub(crate) fn try_take_with(
        &self,
        entry: &mut Entry,
        courtesy: Courtesy,
    ) -> Result<Attempt, SendRefusal> {
        if !self.lifecycle.is_open() {
            return Err(SendRefusal::Closed);
        }
        match (entry.target, self.config.send_mode) {
            (Target::Mode | Target::Copy, SendMode::RoundRobin) => {
                self.round_robin(entry, courtesy)
            }
            (Target::Mode | Target::Copy, SendMode::Publish) => self.publish(entry, courtesy),
            (Target::Service, _) => {
                unreachable!("its instance was chosen, and it goes to that link")
            }
            (Target::Peer(peer), _) => self
                .to_peer(peer, entry, Bound::Link)
                .map(|()| Attempt::Taken),
        }
    }

    /// Takes a message without a lock, if its sender is just filling a block of the only link.
    /// Whoever waits for room is not overtaken.
    #[inline]
    pub(crate) fn try_put(&self, entry: &Entry) -> bool {
        entry.is_plain()
            && self.lifecycle.is_open()
            && self.waiting.anywhere.is_empty()
            && try_put(self.routes.version(), &entry.payload)
    }

    /// A handler answers the peer of `link`. It cannot wait, so that it may go above the bound.
    pub(crate) fn reply(&self, link: &Arc<Link>, entry: &mut Entry) -> Result<(), SendRefusal> {
        if self.lifecycle.is_closed() {
            return Err(SendRefusal::Closed);
        }
        let pushed = match self.config.send_mode {
            SendMode::RoundRobin => link.push_reply(entry),
            SendMode::Publish => self.push_reply(link, entry),
        };
        match pushed {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(SendRefusal::LinkFull(Arc::clone(link))),
            Err(Refused::Closed) => self.to_peer(link.peer(), entry, Bound::Reply),
        }
    }

    /// Sends a message that cannot wait, such as a reply, behind all that was published before.
    pub(crate) fn push_reply(&self, link: &Link, entry: &mut Entry) -> Result<(), Refused> {
        self.flush_batch();
        link.push(entry, Bound::Reply)
    }

    /// Sends an answer that a relay brings back, without waiting. The peer owes nothing for it.
    pub(crate) fn push_answer(&self, link: &Link, entry: &mut Entry) -> Result<(), Refused> {
        self.flush_batch();
        link.push(entry, Bound::Answer)
    }

    /// Sends a message to the instance of a service that was chosen.
    pub(crate) fn push_to_instance(&self, link: &Link, entry: &mut Entry) -> Result<(), Refused> {
        if !self.lifecycle.is_open() {
            return Err(Refused::Closed);
        }
        self.push_again_to_instance(link, entry)
    }

    /// The same, of a message that was accepted before: also while the socket closes and delivers what it has.
    pub(crate) fn push_again_to_instance(
        &self,
        link: &Link,
        entry: &mut Entry,
    ) -> Result<(), Refused> {
        if self.lifecycle.is_closed() {
            return Err(Refused::Closed);
        }
        self.flush_batch();
        link.push(entry, Bound::Link)
    }

    pub(super) fn round_robin(
        &self,
        entry: &mut Entry,
        courtesy: Courtesy,
    ) -> Result<Attempt, SendRefusal> {
        self.look_at_routes();
        loop {
            let turn = self.routes.with(|routes, version| match routes.only() {
                Some(only) => match only.push_in_burst(entry, courtesy, version) {
                    Ok(attempt) => RoundRobinAttempt::Tried(attempt),
                    Err(Refused::Full) => RoundRobinAttempt::Full,
                    Err(Refused::Closed) => RoundRobinAttempt::Closed,
                },
                None if routes.is_empty() => RoundRobinAttempt::NoRoute,
                None => self.next_in_turn(routes, entry),
            });
            match turn {
                RoundRobinAttempt::Tried(attempt) => return Ok(attempt),
                RoundRobinAttempt::Full => return Err(SendRefusal::LinksFull),
                RoundRobinAttempt::Closed => self.withdraw_closed(),
                RoundRobinAttempt::NoRoute => {
                    if let Some(verdict) = self.enqueue(entry) {
                        return verdict.map(|()| Attempt::Taken);
                    }
                }
            }
        }
    }

    /// The next link in turn that has room takes the message, and the turn is with the one behind it.
    fn next_in_turn(&self, routes: &Routes, entry: &mut Entry) -> RoundRobinAttempt {
        let first = self.turns.take(routes.len());
        match routes.push_in_turn(first, entry) {
            Ok(place) => {
                self.turns.pass(first, place, routes.len());
                RoundRobinAttempt::Tried(Attempt::Taken)
            }
            Err(Refused::Full) => RoundRobinAttempt::Full,
            Err(Refused::Closed) => RoundRobinAttempt::Closed,
        }
    }

    /// Every link gets a copy, or none does.
    fn publish(&self, entry: &mut Entry, courtesy: Courtesy) -> Result<Attempt, SendRefusal> {
        self.look_at_routes();
        if courtesy != Courtesy::None {
            match self.publish_in_batch(entry, courtesy) {
                Published::Taken => return Ok(Attempt::Taken),
                Published::WriterFirst => return Ok(Attempt::WriterFirst),
                Published::No => {}
            }
        }
        self.flush_batch();
        loop {
            let routes = self.routes.load();
            if routes.is_empty() {
                match self.enqueue(entry) {
                    Some(verdict) => return verdict.map(|()| Attempt::Taken),
                    None => continue,
                }
            }
            self.turns
                .look_at_each(&routes, |link| match link.would_take(entry) {
                    Some(false) => Err(SendRefusal::LinkFull(Arc::clone(link))),
                    Some(true) | None => Ok(()),
                })?;
            let mut taken = 0;
            entry.target = copies_for(routes.len());
            for link in routes.iter() {
                if let Ok(shedding) = link.publish(entry) {
                    taken += 1;
                    if !shedding.taken {
                        self.bury(copy_for(link.peer(), entry), DeadLetterReason::Overflow);
                    }
                    self.bury_shed(shedding.lost, link);
                }
            }
            if taken > 0 {
                return Ok(Attempt::Taken);
            }
            entry.target = Target::Mode;
            self.withdraw_closed();
        }
    }

    /// Sends to one peer, whatever the send mode.
    pub(super) fn to_peer(
        &self,
        peer: Identity,
        entry: &mut Entry,
        bound: Bound,
    ) -> Result<(), SendRefusal> {
        loop {
            let link = self.link_to(peer);
            match link.as_ref().map(|link| link.push(entry, bound)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(Refused::Full)) => {
                    return Err(link.map_or(SendRefusal::LinksFull, SendRefusal::LinkFull));
                }
                Some(Err(Refused::Closed)) | None => {}
            }
            let mut table = self.table();
            match table.index.find(peer) {
                // The peer came back in the meantime.
                Some(now) if link.is_none_or(|before| before.serial() != now.serial()) => continue,
                // Its connection is about to leave and will put what it holds in front.
                Some(closed) => table.expect_leave(closed),
                None if table.members.is_empty() || table.outbox.knows(peer) => {}
                None if entry.is_stored() => {}
                None => return Err(SendRefusal::UnknownPeer(peer)),
            }
            if self.gives_up(&table, peer) && !entry.is_stored() {
                drop(table);
                self.bury(take(entry), DeadLetterReason::PeerGone);
                return Ok(());
            }
            if !table.has_room(entry, bound) {
                return Err(SendRefusal::HeldFull(peer));
            }
            table.outbox.hold(peer, take(entry));
            return Ok(());
        }
    }

    /// True if messages for a peer that is known and absent are not to wait for it.
    fn gives_up(&self, table: &PeerTable, peer: Identity) -> bool {
        !self.config.hold_for_absent && table.outbox.was_here(peer)
    }

    /// Puts a message into the outbox, if there is still no route. `None`: there is one now.
    fn enqueue(&self, entry: &mut Entry) -> Option<Result<(), SendRefusal>> {
        let mut table = self.table();
        if !self.lifecycle.is_open() {
            return Some(Err(SendRefusal::Closed));
        }
        if !self.routes.load().is_empty() {
            return None;
        }
        if self.config.unheard == Unheard::Drop && table.members.is_empty() && self.publishes(entry)
        {
            table.unheard += 1;
            drop(table);
            drop(take(entry));
            return Some(Ok(()));
        }
        if !table.has_room(entry, Bound::Link) {
            return Some(Err(SendRefusal::OutboxFull));
        }
        table.outbox.push_back(take(entry));
        self.settle(&mut table);
        Some(Ok(()))
    }

    /// A link got room: the outbox goes first, then whoever waits.
    pub(super) fn note_room(&self) {
        if self.waiting.backlog.load(Ordering::Acquire) {
            let mut table = self.table();
            self.settle(&mut table);
        } else {
            self.page_in();
        }
        self.waiting.notify();
    }

    /// Gives as much of the outbox as there is room for to the members, then publishes the list
    /// of members if nothing is left, and withdraws it otherwise.
    pub(super) fn settle(&self, table: &mut PeerTable) {
        if !table.members.is_empty() {
            match self.config.send_mode {
                SendMode::RoundRobin => self.distribute(table),
                SendMode::Publish => self.publish_backlog(table),
            }
        }
        let backlog = table.outbox.has_mode_messages();
        if !backlog {
            self.page_in();
        }
        self.waiting.backlog.store(backlog, Ordering::Release);
        self.publish_routes(table, backlog);
    }

    fn distribute(&self, table: &mut PeerTable) {
        let count = table.members.len();
        while let Some(mut waiting) = self.pop_waiting(table) {
            let first = self.turns.take(count);
            let taken = push_to_any(table.members.list().in_turn(first), &mut waiting.entry);
            if !taken {
                table.outbox.push_front(waiting);
                return;
            }
        }
    }

    /// Gives waiting messages to every present peer, above the bound of their links if need be:
    /// the bound of the outbox holds for them.
    fn publish_backlog(&self, table: &mut PeerTable) {
        while let Some(mut waiting) = self.pop_waiting(table) {
            let mut taken = 0;
            waiting.entry.target = copies_for(table.members.len());
            for link in table.members.iter() {
                taken += usize::from(link.push(&mut waiting.entry, Bound::Unlimited).is_ok());
            }
            if taken == 0 {
                waiting.entry.target = Target::Mode;
                table.outbox.push_front(waiting);
                return;
            }
        }
    }
}

/// Gives a message to the first who takes it, and last to those who may end their connections because of it.
fn push_to_any<'a>(
    members: impl Iterator<Item = &'a Arc<Link>> + Clone,
    entry: &mut Entry,
) -> bool {
    let mut push = |link: &Link, suspects: bool| {
        link.is_suspect_of(entry) == suspects && link.push(entry, Bound::Link).is_ok()
    };
    members.clone().any(|link| push(link, false)) || members.clone().any(|link| push(link, true))
}

/// The copy of a published message that one peer does not get.
fn copy_for(peer: Identity, entry: &Entry) -> Entry {
    Entry::new(Target::Peer(peer), entry.guarantee, entry.payload.clone())
}
