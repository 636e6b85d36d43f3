//! Refusals of links, so that a message by round-robin tries no link that is known to be full for it.
//!
//! For each link of a piece of a list, and for each guarantee, there is the size of the smallest message that
//! it has refused since it got room last; a tree above these sizes says where the next link is that may take a
//! message. Both change under the lock of the link: while a size is there, the link has had no room for it.
//! They are looked at without any lock, so that they are to be seen before those who wait are told of
//! room: a fence stands between the two, and [another](crate::sync::WaitQueue) on the side of those who wait.
//!
//! A piece is replaced when a link in it is. A link tells the newest piece that it has refused something
//! in; whoever still sends by an older one read the list before the newer one was there.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use super::entry::Entry;
use crate::limits::DeliveryGuarantee;
use crate::sync::{AtomicUsize, Mutex, Ordering, fence};

/// Links of a piece at most, a power of two.
pub(crate) const PLACES: usize = if cfg!(aiomsg_loom) { 4 } else { 128 };

/// Larger than whatever was refused.
const NOTHING_REFUSED: usize = usize::MAX;

static NEXT_AGE: AtomicU64 = AtomicU64::new(1);

/// The links of a piece that may take a message. Memory is allocated when one is refused.
#[derive(Debug)]
pub(crate) struct FullLinks {
    /// Larger than that of each earlier piece.
    age: u64,
    refusals: OnceLock<Arc<Refusals>>,
}

/// Refusals by the links of a piece.
#[derive(Debug)]
struct Refusals {
    age: u64,
    at_most_once: Sizes,
    at_least_once: Sizes,
    changing: Mutex<()>,
}

/// A size for each place; a node has the larger one of the two below it.
#[derive(Debug)]
struct Sizes {
    /// The root is at 1, the places are from `PLACES` on.
    nodes: [AtomicUsize; 2 * PLACES],
}

/// Place of a full link's refusal.
#[derive(Debug)]
pub(super) struct RefusalPlace {
    piece: Arc<Refusals>,
    place: usize,
}

impl FullLinks {
    /// Of a new piece: each link may take anything.
    pub(crate) fn new() -> Self {
        Self {
            age: NEXT_AGE.fetch_add(1, Ordering::Relaxed),
            refusals: OnceLock::new(),
        }
    }

    /// The first place, from this one on, whose link may take such a message. There may be no link.
    #[inline]
    pub(crate) fn next(&self, from: usize, entry: &Entry) -> Option<usize> {
        match self.refusals.get() {
            None => Some(from),
            Some(refusals) => refusals.of(entry.guarantee).next(from, entry.payload.len()),
        }
    }

    #[cold]
    fn refusals(&self) -> &Arc<Refusals> {
        self.refusals.get_or_init(|| {
            Arc::new(Refusals {
                age: self.age,
                at_most_once: Sizes::new(),
                at_least_once: Sizes::new(),
                changing: Mutex::new(()),
            })
        })
    }
}

impl Refusals {
    #[inline]
    const fn of(&self, guarantee: DeliveryGuarantee) -> &Sizes {
        match guarantee {
            DeliveryGuarantee::AtMostOnce => &self.at_most_once,
            DeliveryGuarantee::AtLeastOnce => &self.at_least_once,
        }
    }

    /// The link at this place has no room for such a message.
    fn note_full(&self, place: usize, entry: &Entry) {
        let _changing = self.changing.lock();
        let bytes = entry.payload.len();
        self.at_least_once.lower(place, bytes);
        // What is full may be the ring, which is no matter to those that are not acknowledged.
        if entry.guarantee == DeliveryGuarantee::AtMostOnce {
            self.at_most_once.lower(place, bytes);
        }
    }

    fn note_room(&self, place: usize) {
        let changing = self.changing.lock();
        self.at_most_once.set(place, NOTHING_REFUSED);
        self.at_least_once.set(place, NOTHING_REFUSED);
        drop(changing);
        fence(Ordering::SeqCst);
    }
}

impl Sizes {
    fn new() -> Self {
        Self {
            nodes: std::array::from_fn(|_| AtomicUsize::new(NOTHING_REFUSED)),
        }
    }

    fn get(&self, node: usize) -> usize {
        self.nodes[node].load(Ordering::Acquire)
    }

    fn next(&self, from: usize, bytes: usize) -> Option<usize> {
        // Of many pieces most have nothing at all, if any has.
        if from >= PLACES || self.get(1) <= bytes {
            return None;
        }
        let mut node = PLACES + from;
        while self.get(node) <= bytes {
            // On to what is right of all that is below this node.
            node >>= node.trailing_ones();
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < PLACES {
            node *= 2;
            node += usize::from(self.get(node) <= bytes);
        }
        Some(node - PLACES)
    }

    fn lower(&self, place: usize, bytes: usize) {
        if bytes < self.get(PLACES + place) {
            self.set(place, bytes);
        }
    }

    /// The caller is alone in this.
    fn set(&self, place: usize, bytes: usize) {
        let mut node = PLACES + place;
        let mut most = bytes;
        while node > 0 && self.get(node) != most {
            self.nodes[node].store(most, Ordering::Release);
            most = most.max(self.get(node ^ 1));
            node /= 2;
        }
    }
}

impl RefusalPlace {
    /// The link at this place of a piece has no room for such a message. `known` is what it has said so far:
    /// the newest piece is the one that is told of room.
    #[cold]
    pub(super) fn note(known: &mut Option<Self>, links: &FullLinks, place: usize, entry: &Entry) {
        let piece = links.refusals();
        piece.note_full(place, entry);
        let newer = |known: &Self| known.piece.age <= piece.age;
        if known.as_ref().is_none_or(newer) {
            let piece = Arc::clone(piece);
            *known = Some(Self { piece, place });
        }
    }

    /// The link may have room again.
    pub(super) fn note_room(self) {
        self.piece.note_room(self.place);
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "full_links_tests.rs"]
mod tests;
