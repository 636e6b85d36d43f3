//! Which instance of a service holds a key: rendezvous hashing over the names of the instances.
//!
//! The score of a key at an instance is `mix(hash(key) ^ hash(name))`. `hash` is the first eight bytes of the SHA-256,
//! big-endian, and `mix` the finalizer of splitmix64. The highest score holds the key, of equal ones the lesser name.
//! All of it is the same in every build and every process, so that consumers who see the same names agree.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// The longest time for which the keys of an instance that is gone stay: ten years, to which every clock can count.
pub(crate) const LONGEST_REHOME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The hash of a key, as it travels with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(pub(crate) u64);

impl KeyHash {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(hash(key))
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    u64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Consequence of a peer's offering an instance of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameClaim<P> {
    /// The name is the peer's.
    Holds,
    /// The name is another peer's; it becomes this one's when that one leaves.
    SecondHolder { first: P },
}

/// Whoever holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyHolder<P> {
    Peer(P),
    /// Its holder is not connected and has time to come back.
    Absent,
    /// There are no instances.
    Nobody,
}

/// The names of the instances of one service, each with the peer that has it. `P` names a peer.
///
/// A name leaves when its peer withdraws it or drains, and so long after its peer was disconnected as `rehome` says. Only
/// then do its keys move. It costs one entry for each name, and one for each peer that waits for it.
#[derive(Debug)]
pub(crate) struct KeyHolders<P> {
    rehome: Duration,
    names: Vec<Name<P>>,
}

#[derive(Debug)]
struct Name<P> {
    name: Arc<str>,
    hash: u64,
    holder: Holder<P>,
    /// Others that offer the same name, in the order in which they came.
    waiting: Vec<P>,
}

#[derive(Debug, Clone, Copy)]
enum Holder<P> {
    Present(P),
    Absent { since: Instant },
}

impl<P: Copy + Eq> KeyHolders<P> {
    pub(crate) const fn new(rehome: Duration) -> Self {
        Self {
            rehome,
            names: Vec::new(),
        }
    }

    pub(crate) const fn rehome(&self) -> Duration {
        self.rehome
    }

    /// Changes the time after which names leave whose peers are disconnected, of those that are already, too. It is
    /// [`LONGEST_REHOME`] at most.
    pub(crate) fn set_rehome(&mut self, rehome: Duration) {
        self.rehome = rehome.min(LONGEST_REHOME);
    }

    /// A peer offers an instance of this name, perhaps again.
    pub(crate) fn handle_offered(&mut self, name: &Arc<str>, peer: P) -> NameClaim<P> {
        let Some(known) = self.names.iter_mut().find(|known| known.name == *name) else {
            self.names.push(Name {
                name: Arc::clone(name),
                hash: hash(name.as_bytes()),
                holder: Holder::Present(peer),
                waiting: Vec::new(),
            });
            return NameClaim::Holds;
        };
        match known.holder {
            Holder::Present(first) if first != peer => {
                if !known.waiting.contains(&peer) {
                    known.waiting.push(peer);
                }
                NameClaim::SecondHolder { first }
            }
            Holder::Present(_) | Holder::Absent { .. } => {
                known.holder = Holder::Present(peer);
                NameClaim::Holds
            }
        }
    }

    /// A peer no longer offers the name, or drains. Whoever waited for the name has it then, and is yielded.
    pub(crate) fn handle_withdrawn(&mut self, name: &str, peer: P) -> Option<P> {
        let (index, successor) = self.leave(name, peer)?;
        if successor.is_none() {
            self.names.remove(index);
        }
        successor
    }

    /// The connection of a peer has ended. Whoever waited for the name has it then, and is yielded.
    pub(crate) fn handle_disconnected(&mut self, name: &str, peer: P, now: Instant) -> Option<P> {
        let (index, successor) = self.leave(name, peer)?;
        if successor.is_none() {
            self.names[index].holder = Holder::Absent { since: now };
        }
        successor
    }

    /// The holder of a name leaves it: the index of the name, and who is next. `None` if the peer did not hold it.
    fn leave(&mut self, name: &str, peer: P) -> Option<(usize, Option<P>)> {
        let index = self.names.iter().position(|known| *known.name == *name)?;
        let known = &mut self.names[index];
        known.waiting.retain(|waiting| *waiting != peer);
        match known.holder {
            Holder::Present(holder) if holder == peer => {}
            Holder::Present(_) | Holder::Absent { .. } => return None,
        }
        let successor = (!known.waiting.is_empty()).then(|| known.waiting.remove(0));
        if let Some(successor) = successor {
            known.holder = Holder::Present(successor);
        }
        Some((index, successor))
    }

    /// When the next name leaves.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let leaves = |name: &Name<P>| match name.holder {
            Holder::Present(_) => None,
            Holder::Absent { since } => Some(since + self.rehome),
        };
        self.names.iter().filter_map(leaves).min()
    }

    /// Time has passed. Yields the names that have left, whose keys have moved.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Vec<Arc<str>> {
        let rehome = self.rehome;
        let leaves = |name: &mut Name<P>| match name.holder {
            Holder::Present(_) => false,
            Holder::Absent { since } => now.saturating_duration_since(since) >= rehome,
        };
        let left = self.names.extract_if(.., leaves);
        left.map(|name| name.name).collect()
    }

    /// Whoever holds a key.
    pub(crate) fn holder_of(&self, key: KeyHash) -> KeyHolder<P> {
        let score = |name: &Name<P>| mix(key.0 ^ name.hash);
        let best = self
            .names
            .iter()
            .map(|name| (score(name), name))
            .max_by(|(a, x), (b, y)| a.cmp(b).then_with(|| y.name.cmp(&x.name)));
        match best {
            None => KeyHolder::Nobody,
            Some((_, name)) => match name.holder {
                Holder::Present(peer) => KeyHolder::Peer(peer),
                Holder::Absent { .. } => KeyHolder::Absent,
            },
        }
    }
}

#[cfg(test)]
#[path = "keyed_tests.rs"]
mod tests;
