//! The outbox: accepted messages that no link holds.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::id::Identity;
use crate::limits::Capacity;
use crate::link::{Bound, Entry, Target};

/// Peers that are remembered after they went away, so that inventing identities costs us nothing.
const MOST_EXPECTED: usize = 65_536;

/// A message in the outbox, and its place in the order in which all of them were accepted.
#[derive(Debug)]
pub(crate) struct OutboxEntry {
    place: i64,
    pub(super) entry: Entry,
}

/// Messages for one peer that is not connected.
#[derive(Debug, Default)]
struct HeldMessages {
    entries: VecDeque<OutboxEntry>,
    /// When they are given up; `None` while nobody at all is connected and nobody knows the peer.
    until: Option<Instant>,
    /// When the next of those ends its wait that the store has, and that wait for longer.
    stored_until: Option<Instant>,
    /// True if the peer was connected before.
    seen: bool,
    /// If it had sent anything by then: connections that had begun by this one may hold what it sent
    /// before.
    heard: Option<u64>,
}

impl HeldMessages {
    fn note_wait(&mut self, entry: &Entry) {
        if let Some(until) = entry.waits_until() {
            let next = self.stored_until.map_or(until, |next| until.min(next));
            self.stored_until = Some(next);
        }
    }
}

/// Accepted messages that no link holds, in the order in which they will go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Capacity,
    messages: usize,
    bytes: usize,
    mode: VecDeque<OutboxEntry>,
    held: HashMap<Identity, HeldMessages>,
    /// The places of the next message in front of all others, and of the next behind them.
    front: i64,
    back: i64,
    /// No message expires before this.
    next_expiry: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(room: Capacity) -> Self {
        Self {
            room,
            messages: 0,
            bytes: 0,
            mode: VecDeque::new(),
            held: HashMap::new(),
            front: -1,
            back: 0,
            next_expiry: None,
        }
    }

    /// The bound changes. What is there above it stays.
    pub(crate) fn set_room(&mut self, room: Capacity) {
        self.room = room;
    }

    /// Messages and bytes, for the send mode and for named peers together.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// True if messages wait for the send mode to distribute them.
    pub(crate) fn has_mode_messages(&self) -> bool {
        !self.mode.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// True if a message is within the bound, or for a reply within eight times that, together with the messages
    /// that are about to come back. An empty outbox admits one of any size.
    pub(crate) fn has_room(&self, entry: &Entry, bound: Bound, coming: Capacity) -> bool {
        let Some(factor) = bound.factor() else {
            return true;
        };
        let messages = self.messages + coming.messages;
        let bytes = self.bytes + coming.bytes;
        messages == 0
            || (messages < self.room.messages.saturating_mul(factor)
                && bytes + entry.cost() <= self.room.bytes.saturating_mul(factor))
    }

    /// Takes out the message that has waited longest, of those for this peer or for the send mode; but for those in the
    /// store, which has a bound of its own.
    pub(crate) fn drop_first(&mut self, peer: Option<Identity>) -> Option<Entry> {
        let queue = match peer {
            None => &mut self.mode,
            Some(peer) => &mut self.held.get_mut(&peer)?.entries,
        };
        let first = queue.iter().position(|waiting| !waiting.entry.is_stored());
        let waiting = queue.remove(first?)?;
        self.count_out(&waiting.entry);
        Some(waiting.entry)
    }

    /// A new message, behind all others.
    pub(crate) fn push_back(&mut self, entry: Entry) {
        let waiting = self.behind_all(entry);
        self.mode.push_back(waiting);
    }

    /// Messages that were in a link, in front of all others. Never refused.
    pub(crate) fn requeue(&mut self, entries: VecDeque<Entry>) {
        for entry in entries.into_iter().rev() {
            let waiting = self.in_front_of_all(entry);
            self.mode.push_front(waiting);
        }
    }

    /// The same, where those that name a peer are held for it, until `until`.
    pub(crate) fn requeue_or_hold(&mut self, entries: VecDeque<Entry>, until: Instant) {
        for entry in entries.into_iter().rev() {
            let waiting = self.in_front_of_all(entry);
            match waiting.entry.target {
                Target::Peer(peer) => {
                    let held = self.held.entry(peer).or_default();
                    held.until.get_or_insert(until);
                    held.note_wait(&waiting.entry);
                    held.entries.push_front(waiting);
                }
                Target::Mode | Target::Copy | Target::Service => self.mode.push_front(waiting),
            }
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<OutboxEntry> {
        let waiting = self.mode.pop_front()?;
        self.count_out(&waiting.entry);
        if self.mode.is_empty() && self.mode.capacity() > 1024 {
            self.mode = VecDeque::new();
        }
        Some(waiting)
    }

    /// The next message for the send mode, if it was accepted before one that was held.
    pub(crate) fn pop_before(&mut self, held: &OutboxEntry) -> Option<OutboxEntry> {
        let first = self.mode.front()?;
        (first.place < held.place).then(|| self.pop_front())?
    }

    /// Undoes a [`pop_front`](Self::pop_front).
    pub(crate) fn push_front(&mut self, waiting: OutboxEntry) {
        self.count_in(&waiting.entry);
        self.mode.push_front(waiting);
    }

    /// True if a peer was connected a moment ago, or has some time left to appear. One for which nothing but messages of
    /// the store wait, which end by themselves, is not known.
    pub(crate) fn knows(&self, peer: Identity) -> bool {
        let held = self.held.get(&peer);
        held.is_some_and(|held| held.until.is_some())
    }

    /// True if the peer went away a moment ago.
    pub(crate) fn was_here(&self, peer: Identity) -> bool {
        self.held.get(&peer).is_some_and(|held| held.seen)
    }

    /// A peer went away, and may have been heard: what is for it is held until `until`.
    pub(crate) fn expect_back(&mut self, peer: Identity, until: Instant, heard: Option<u64>) {
        if self.held.len() >= MOST_EXPECTED && !self.held.contains_key(&peer) {
            return;
        }
        let held = self.held.entry(peer).or_default();
        held.until = Some(until);
        held.seen = true;
        held.heard = heard;
    }

    /// The peer was heard, a moment ago, by a connection that is gone: the last one that had begun by
    /// then.
    pub(crate) fn heard(&self, peer: Identity) -> Option<u64> {
        self.held.get(&peer)?.heard
    }

    /// Holds a new message for a peer that is not connected.
    pub(crate) fn hold(&mut self, peer: Identity, entry: Entry) {
        let waiting = self.behind_all(entry);
        let held = self.held.entry(peer).or_default();
        held.note_wait(&waiting.entry);
        held.entries.push_back(waiting);
    }

    /// The peer is back: everything that was held for it.
    pub(crate) fn take_held(&mut self, peer: Identity) -> VecDeque<OutboxEntry> {
        let held = self.held.remove(&peer).unwrap_or_default().entries;
        held.iter().for_each(|held| self.count_out(&held.entry));
        held
    }

    /// Somebody is connected now: peers that nobody has ever seen get until `until` to appear.
    pub(crate) fn start_grace(&mut self, until: Instant) {
        for held in self.held.values_mut() {
            held.until.get_or_insert(until);
        }
    }

    /// Takes the messages that were held for peers that did not come back in time.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Entry> {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let overdue = |held: &HeldMessages| is_over(held.until) || is_over(held.stored_until);
        let peers: Vec<Identity> = self
            .held
            .iter()
            .filter_map(|(peer, held)| overdue(held).then_some(*peer))
            .collect();
        let mut taken = Vec::new();
        for peer in peers {
            let held = self
                .held
                .get_mut(&peer)
                .map(std::mem::take)
                .unwrap_or_default();
            let forgets = is_over(held.until);
            let ends = |waiting: &OutboxEntry| match waiting.entry.waits_until() {
                Some(until) => until <= now,
                None => forgets,
            };
            let (over, left): (VecDeque<_>, VecDeque<_>) = held.entries.into_iter().partition(ends);
            taken.extend(over.into_iter().map(|waiting| waiting.entry));
            if forgets && left.is_empty() {
                self.held.remove(&peer);
                continue;
            }
            let stored_until = left
                .iter()
                .filter_map(|waiting| waiting.entry.waits_until());
            let rest = HeldMessages {
                until: held.until.filter(|_| !forgets),
                stored_until: stored_until.min(),
                seen: held.seen && !forgets,
                heard: held.heard.filter(|_| !forgets),
                entries: left,
            };
            self.held.insert(peer, rest);
        }
        taken.iter().for_each(|entry| self.count_out(entry));
        taken
    }

    /// Takes the messages that are no longer worth sending.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Entry> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next = None;
        let queues = self.held.values_mut().map(|held| &mut held.entries);
        for queue in std::iter::once(&mut self.mode).chain(queues) {
            let mortal = |waiting: &OutboxEntry| waiting.entry.expires().is_some();
            if !queue.iter().any(mortal) {
                continue;
            }
            for waiting in std::mem::take(queue) {
                match waiting.entry.expires() {
                    Some(expires) if expires <= now => expired.push(waiting.entry),
                    Some(expires) => {
                        next = Some(next.map_or(expires, |next| expires.min(next)));
                        queue.push_back(waiting);
                    }
                    None => queue.push_back(waiting),
                }
            }
        }
        self.next_expiry = next;
        expired.iter().for_each(|entry| self.count_out(entry));
        expired
    }

    /// Everything, as when the socket closes.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        let peers: Vec<Identity> = self.held.keys().copied().collect();
        let mut all: Vec<OutboxEntry> = std::iter::from_fn(|| self.pop_front()).collect();
        all.extend(peers.into_iter().flat_map(|peer| self.take_held(peer)));
        all.into_iter().map(|waiting| waiting.entry).collect()
    }

    fn behind_all(&mut self, mut entry: Entry) -> OutboxEntry {
        detach(&mut entry);
        self.count_in(&entry);
        self.back += 1;
        let place = self.back - 1;
        OutboxEntry { place, entry }
    }

    fn in_front_of_all(&mut self, mut entry: Entry) -> OutboxEntry {
        detach(&mut entry);
        self.count_in(&entry);
        self.front -= 1;
        let place = self.front + 1;
        OutboxEntry { place, entry }
    }

    fn count_in(&mut self, entry: &Entry) {
        self.messages += 1;
        self.bytes += entry.cost();
        if let Some(expires) = entry.expires() {
            let next = self.next_expiry.map_or(expires, |next| expires.min(next));
            self.next_expiry = Some(next);
        }
    }

    fn count_out(&mut self, entry: &Entry) {
        self.messages -= 1;
        self.bytes -= entry.cost();
    }
}

/// A message waits from now on, perhaps for long. What a store has was copied when it was stored.
fn detach(entry: &mut Entry) {
    if !entry.is_stored() {
        entry.detach();
    }
}
