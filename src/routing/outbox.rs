//! The outbox: accepted messages that no link holds.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::id::Identity;
use crate::limits::Capacity;
use crate::link::{Bound, Entry};

/// Peers that are remembered after they went away, so that inventing identities costs us nothing.
const MOST_EXPECTED: usize = 65_536;

/// Messages for one peer that is not connected.
#[derive(Debug, Default)]
struct Held {
    entries: VecDeque<Entry>,
    /// When they are given up; `None` while nobody at all is connected and nobody knows the peer.
    until: Option<Instant>,
    /// Whether the peer was connected before.
    seen: bool,
    /// If it had sent anything by then: connections that had begun by this one may hold what it sent
    /// before.
    heard: Option<u64>,
}

/// Accepted messages that no link holds, in the order in which they will go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Capacity,
    messages: usize,
    bytes: usize,
    mode: VecDeque<Entry>,
    held: HashMap<Identity, Held>,
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

    /// Whether messages wait for the send mode to distribute them.
    pub(crate) fn has_mode_messages(&self) -> bool {
        !self.mode.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether a message is within the bound, or for a reply within eight times that, when what is
    /// about to come back is there too. An empty outbox admits one of any size.
    pub(crate) fn has_room(&self, entry: &Entry, bound: Bound, coming: Capacity) -> bool {
        let Some(factor) = bound.factor() else {
            return true;
        };
        let messages = self.messages + coming.messages;
        let bytes = self.bytes + coming.bytes;
        messages == 0
            || (messages < self.room.messages * factor
                && bytes + entry.cost() <= self.room.bytes * factor)
    }

    /// Takes out the message that has waited longest, of those for this peer or for the send mode.
    pub(crate) fn drop_first(&mut self, peer: Option<Identity>) -> Option<Entry> {
        let Some(peer) = peer else {
            return self.pop_front();
        };
        let entry = self.held.get_mut(&peer)?.entries.pop_front()?;
        self.count_out(&entry);
        Some(entry)
    }

    /// A new message, behind all others.
    pub(crate) fn push_back(&mut self, entry: Entry) {
        self.count_in(&entry);
        self.mode.push_back(entry);
    }

    /// Messages that were in a link, in front of all others. Never refused.
    pub(crate) fn requeue(&mut self, entries: VecDeque<Entry>) {
        for entry in entries.into_iter().rev() {
            self.count_in(&entry);
            self.mode.push_front(entry);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.mode.pop_front()?;
        self.count_out(&entry);
        if self.mode.is_empty() && self.mode.capacity() > 1024 {
            self.mode = VecDeque::new();
        }
        Some(entry)
    }

    /// Undoes a [`pop_front`](Self::pop_front).
    pub(crate) fn push_front(&mut self, entry: Entry) {
        self.count_in(&entry);
        self.mode.push_front(entry);
    }

    /// Whether messages are held for a peer, or it was connected a moment ago.
    pub(crate) fn knows(&self, peer: Identity) -> bool {
        self.held.contains_key(&peer)
    }

    /// Whether the peer went away a moment ago.
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
        self.count_in(&entry);
        self.held.entry(peer).or_default().entries.push_back(entry);
    }

    /// Holds messages that were in a link, in front of newer ones, until `until`.
    pub(crate) fn hold_again(&mut self, peer: Identity, entries: VecDeque<Entry>, until: Instant) {
        for entry in entries.into_iter().rev() {
            self.count_in(&entry);
            let held = self.held.entry(peer).or_default();
            held.until.get_or_insert(until);
            held.entries.push_front(entry);
        }
    }

    /// The peer is back: everything that was held for it.
    pub(crate) fn take_held(&mut self, peer: Identity) -> VecDeque<Entry> {
        let held = self.held.remove(&peer).unwrap_or_default().entries;
        held.iter().for_each(|entry| self.count_out(entry));
        held
    }

    /// Somebody is connected now: peers that nobody has ever seen get until `until` to appear.
    pub(crate) fn start_grace(&mut self, until: Instant) {
        for held in self.held.values_mut() {
            held.until.get_or_insert(until);
        }
    }

    /// What was held for peers that did not come back in time.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Entry> {
        let overdue = |held: &Held| held.until.is_some_and(|until| until <= now);
        let peers: Vec<Identity> = self
            .held
            .iter()
            .filter_map(|(peer, held)| overdue(held).then_some(*peer))
            .collect();
        peers
            .into_iter()
            .flat_map(|peer| self.take_held(peer))
            .collect()
    }

    /// What is no longer worth sending.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<Entry> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        let mut next = None;
        let queues = self.held.values_mut().map(|held| &mut held.entries);
        for queue in std::iter::once(&mut self.mode).chain(queues) {
            let mortal = |entry: &Entry| entry.expires().is_some();
            if !queue.iter().any(mortal) {
                continue;
            }
            for entry in std::mem::take(queue) {
                match entry.expires() {
                    Some(expires) if expires <= now => expired.push(entry),
                    Some(expires) => {
                        next = Some(next.map_or(expires, |next| expires.min(next)));
                        queue.push_back(entry);
                    }
                    None => queue.push_back(entry),
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
        let mut all: Vec<Entry> = std::iter::from_fn(|| self.pop_front()).collect();
        all.extend(peers.into_iter().flat_map(|peer| self.take_held(peer)));
        all
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
