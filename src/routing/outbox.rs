//! The outbox: accepted messages that no link holds.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::config::Room;
use crate::id::Identity;
use crate::link::Entry;

/// Peers that are remembered after they went away, so that inventing identities costs us nothing.
const MOST_EXPECTED: usize = 65_536;

/// Messages for one peer that is not connected.
#[derive(Debug, Default)]
struct Held {
    entries: VecDeque<Entry>,
    /// When they are given up; `None` while nobody at all is connected and nobody knows the peer.
    until: Option<Instant>,
}

/// Accepted messages that no link holds, in the order in which they will go out.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Room,
    messages: usize,
    bytes: usize,
    mode: VecDeque<Entry>,
    held: HashMap<Identity, Held>,
}

impl Outbox {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            room,
            messages: 0,
            bytes: 0,
            mode: VecDeque::new(),
            held: HashMap::new(),
        }
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

    /// Whether a new message is within the bound. An empty outbox admits one of any size.
    pub(crate) fn has_room(&self, entry: &Entry) -> bool {
        self.messages == 0
            || (self.messages < self.room.messages && self.bytes + entry.cost() <= self.room.bytes)
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

    /// A peer went away: what is for it is held until `until`.
    pub(crate) fn expect_back(&mut self, peer: Identity, until: Instant) {
        if self.held.len() >= MOST_EXPECTED && !self.held.contains_key(&peer) {
            return;
        }
        self.held.entry(peer).or_default().until = Some(until);
    }

    /// Holds a new message for a peer that is not connected.
    pub(crate) fn hold(&mut self, peer: Identity, entry: Entry) {
        self.count_in(&entry);
        self.held.entry(peer).or_default().entries.push_back(entry);
    }

    /// Holds messages that were in a link, in front of newer ones.
    pub(crate) fn hold_again(&mut self, peer: Identity, entries: VecDeque<Entry>) {
        for entry in entries.into_iter().rev() {
            self.count_in(&entry);
            self.held.entry(peer).or_default().entries.push_front(entry);
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
    }

    fn count_out(&mut self, entry: &Entry) {
        self.messages -= 1;
        self.bytes -= entry.cost();
    }
}
