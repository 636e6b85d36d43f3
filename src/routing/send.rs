//! The way of one message from a sender into a link or the outbox.

use std::sync::Arc;

use super::{Routes, SocketCore, Table};
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::limits::{SendMode, Unheard};
use crate::link::{Attempt, Bound, Courtesy, Entry, Link, Refused, Target, try_put};
use crate::sync::Ordering;

/// Why a message was not taken. The entry is as it was.
#[derive(Debug)]
pub(crate) enum SendRefusal {
    /// The socket is closing or closed.
    Closed,
    /// No such peer, and others are connected.
    UnknownPeer(Identity),
    /// Every link is full: wait at the socket.
    LinksFull,
    /// Nobody is connected and the outbox is full: wait at the socket.
    OutboxFull,
    /// This peer is not connected and the outbox is full: wait for that.
    HeldFull(Identity),
    /// One link is full, and nothing else will do: wait at that link.
    LinkFull(Arc<Link>),
    /// It has waited for as long as it may.
    TooLate,
}

/// What came of an attempt at round-robin.
enum Turn {
    Tried(Attempt),
    /// Every link is full.
    Full,
    /// None has taken it, and some are closed.
    Closed,
    NoRoute,
}

impl SocketCore {
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
        if !self.is_open() {
            return Err(SendRefusal::Closed);
        }
        match (entry.target, self.config.send_mode) {
            (Target::Mode | Target::Copy, SendMode::RoundRobin) => {
                self.round_robin(entry, courtesy)
            }
            (Target::Mode | Target::Copy, SendMode::Publish) => self.publish(entry, courtesy),
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
            && self.is_open()
            && self.room.is_empty()
            && try_put(self.routes.version(), &entry.payload)
    }

    /// A handler answers the peer of `link`. It cannot wait, so that it may go above the bound.
    pub(crate) fn reply(&self, link: &Arc<Link>, entry: &mut Entry) -> Result<(), SendRefusal> {
        if self.is_closed() {
            return Err(SendRefusal::Closed);
        }
        let pushed = match self.config.send_mode {
            SendMode::RoundRobin => link.push_reply(entry),
            SendMode::Publish => {
                self.hand_out_batch();
                link.push(entry, Bound::Reply)
            }
        };
        match pushed {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(SendRefusal::LinkFull(Arc::clone(link))),
            Err(Refused::Closed) => self.to_peer(link.peer(), entry, Bound::Reply),
        }
    }

    fn round_robin(&self, entry: &mut Entry, courtesy: Courtesy) -> Result<Attempt, SendRefusal> {
        self.look_at_routes();
        loop {
            let turn = self.routes.with(|routes, version| match routes.only() {
                Some(only) => match only.push_in_burst(entry, courtesy, version) {
                    Ok(attempt) => Turn::Tried(attempt),
                    Err(Refused::Full) => Turn::Full,
                    Err(Refused::Closed) => Turn::Closed,
                },
                None if routes.is_empty() => Turn::NoRoute,
                None => self.next_in_turn(routes, entry),
            });
            match turn {
                Turn::Tried(attempt) => return Ok(attempt),
                Turn::Full => return Err(SendRefusal::LinksFull),
                Turn::Closed => self.withdraw_closed(),
                Turn::NoRoute => {
                    if let Some(verdict) = self.enqueue(entry) {
                        return verdict.map(|()| Attempt::Taken);
                    }
                }
            }
        }
    }

    /// The next link in turn that has room takes the message, and the turn is with the one behind it.
    fn next_in_turn(&self, routes: &Routes, entry: &mut Entry) -> Turn {
        let first = self.cursor.fetch_add(1, Ordering::Relaxed) % routes.len();
        match routes.push_in_turn(first, entry) {
            Ok(place) if place == first => Turn::Tried(Attempt::Taken),
            Ok(place) => {
                // Else the link behind those that are full would have their turns.
                let passed = (place + routes.len() - first) % routes.len();
                self.cursor.fetch_add(passed, Ordering::Relaxed);
                Turn::Tried(Attempt::Taken)
            }
            Err(Refused::Full) => Turn::Full,
            Err(Refused::Closed) => Turn::Closed,
        }
    }

    /// Every link gets a copy, or none does.
    fn publish(&self, entry: &mut Entry, courtesy: Courtesy) -> Result<Attempt, SendRefusal> {
        self.look_at_routes();
        if courtesy != Courtesy::None
            && let Some(attempt) = self.publish_in_batch(entry, courtesy)
        {
            return Ok(attempt);
        }
        self.hand_out_batch();
        loop {
            let routes = self.routes.load();
            if routes.is_empty() {
                match self.enqueue(entry) {
                    Some(verdict) => return verdict.map(|()| Attempt::Taken),
                    None => continue,
                }
            }
            self.look_at_each(&routes, |link| match link.would_take(entry) {
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

    /// Looks at all links of a list that is not empty, until one is refused. The look begins where the last
    /// one ended: those before that have had room, and whoever waits for them one after the other looks at
    /// each about twice.
    pub(super) fn look_at_each<E>(
        &self,
        routes: &Routes,
        mut look: impl FnMut(&Arc<Link>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.full_at.load(Ordering::Relaxed) % routes.len();
        for (passed, link) in routes.in_turn(first).enumerate() {
            look(link).inspect_err(|_| {
                let place = (first + passed) % routes.len();
                self.full_at.store(place, Ordering::Relaxed);
            })?;
        }
        Ok(())
    }

    /// Sends to one peer, whatever the send mode.
    fn to_peer(&self, peer: Identity, entry: &mut Entry, bound: Bound) -> Result<(), SendRefusal> {
        self.hand_out_batch();
        loop {
            let link = self.peer_index.find(peer);
            match link.as_ref().map(|link| link.push(entry, bound)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(Refused::Full)) => {
                    return Err(link.map_or(SendRefusal::LinksFull, SendRefusal::LinkFull));
                }
                Some(Err(Refused::Closed)) | None => {}
            }
            let mut table = self.table.lock();
            match self.peer_index.find(peer) {
                // The peer came back in the meantime.
                Some(now) if link.is_none_or(|before| before.serial() != now.serial()) => continue,
                // Its connection is about to leave and will put what it holds in front.
                Some(closed) => table.expect_leave(closed),
                None if table.members.is_empty() || table.outbox.knows(peer) => {}
                None => return Err(SendRefusal::UnknownPeer(peer)),
            }
            if self.gives_up(&table, peer) {
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

    /// Whether messages for a peer that is known and absent are not to wait for it.
    fn gives_up(&self, table: &Table, peer: Identity) -> bool {
        !self.config.hold_for_absent && table.outbox.was_here(peer)
    }

    /// Puts a message into the outbox, if there is still no route. `None`: there is one now.
    fn enqueue(&self, entry: &mut Entry) -> Option<Result<(), SendRefusal>> {
        let mut table = self.table.lock();
        if !self.is_open() {
            return Some(Err(SendRefusal::Closed));
        }
        if !self.routes.load().is_empty() {
            return None;
        }
        if self.config.unheard == Unheard::Drop && table.members.is_empty() && self.publishes(entry)
        {
            drop(table);
            self.counters.unheard.fetch_add(1, Ordering::Relaxed);
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
    pub(crate) fn note_room(&self) {
        if self.backlog.load(Ordering::Acquire) {
            let mut table = self.table.lock();
            self.settle(&mut table);
        }
        self.room.notify();
        self.outbox_room.notify();
    }

    /// Gives as much of the outbox as there is room for to the members, then publishes the list
    /// of members if nothing is left, and withdraws it otherwise.
    pub(super) fn settle(&self, table: &mut Table) {
        if !table.members.is_empty() {
            match self.config.send_mode {
                SendMode::RoundRobin => self.distribute(table),
                SendMode::Publish => self.publish_backlog(table),
            }
        }
        let backlog = table.outbox.has_mode_messages();
        self.backlog.store(backlog, Ordering::Release);
        self.publish_routes(table, backlog);
    }

    fn distribute(&self, table: &mut Table) {
        let count = table.members.len();
        while let Some(mut entry) = self.pop_waiting(table) {
            let first = self.cursor.fetch_add(1, Ordering::Relaxed) % count;
            let mut members = table.members.list().in_turn(first);
            let taken = members.any(|link| link.push(&mut entry, Bound::Link).is_ok());
            if !taken {
                table.outbox.push_front(entry);
                return;
            }
        }
    }

    /// What waited goes to everyone who is there now, above the bound of their links if need be:
    /// the bound of the outbox holds for it.
    fn publish_backlog(&self, table: &mut Table) {
        while let Some(mut entry) = self.pop_waiting(table) {
            let mut taken = 0;
            entry.target = copies_for(table.members.len());
            for link in table.members.iter() {
                taken += usize::from(link.push(&mut entry, Bound::Unlimited).is_ok());
            }
            if taken == 0 {
                entry.target = Target::Mode;
                table.outbox.push_front(entry);
                return;
            }
        }
    }
}

/// Whom a message that so many peers get is for, as each of them has it: the only one of them
/// stands for all peers there may ever be, and others take what it has not been given.
pub(super) fn copies_for(peers: usize) -> Target {
    match peers {
        1 => Target::Mode,
        _ => Target::Copy,
    }
}

/// The copy of a published message that one peer does not get.
fn copy_for(peer: Identity, entry: &Entry) -> Entry {
    Entry::new(Target::Peer(peer), entry.guarantee, entry.payload.clone())
}

/// Moves a message out of the hand of its sender.
pub(super) fn take(entry: &mut Entry) -> Entry {
    Entry {
        target: entry.target,
        guarantee: entry.guarantee,
        payload: std::mem::take(&mut entry.payload),
        extras: entry.extras.take(),
    }
}
