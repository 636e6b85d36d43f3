//! What links have refused, so that a message in turn looks at no link that is known to be full for it.
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

use super::{Entry, Link, Mark, Phase, Refused, State};
use crate::limits::DeliveryGuarantee;
use crate::sync::{AtomicUsize, Mutex, Ordering, fence};

/// Links of a piece at most, a power of two.
pub(crate) const PLACES: usize = if cfg!(aiomsg_loom) { 4 } else { 128 };

/// Larger than whatever was refused.
const NOTHING_REFUSED: usize = usize::MAX;

static NEXT_AGE: AtomicU64 = AtomicU64::new(1);

/// Which links of a piece may take a message. It takes its memory when one is refused.
#[derive(Debug)]
pub(crate) struct FullLinks {
    /// Larger than that of each earlier piece.
    age: u64,
    refusals: OnceLock<Arc<Refusals>>,
}

/// What the links of a piece have refused.
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

/// What a link keeps while it is full: where it has said so.
#[derive(Debug)]
pub(super) struct Refusal {
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

impl State {
    /// The link may have got room, or takes nothing more: senders in turn are to look at it again.
    #[inline]
    pub(super) fn note_room(&mut self) {
        if let Some(refusal) = self.refusal.take() {
            refusal.piece.note_room(refusal.place);
        }
    }

    #[cold]
    fn note_full(&mut self, vacancies: &FullLinks, place: usize, entry: &Entry) {
        let piece = vacancies.refusals();
        piece.note_full(place, entry);
        let newer = |known: &Refusal| known.piece.age <= piece.age;
        if self.refusal.as_ref().is_none_or(newer) {
            let piece = Arc::clone(piece);
            self.refusal = Some(Refusal { piece, place });
        }
    }
}

impl Link {
    /// [`push`](Self::push) at the bound, of a message whose turn is at this place of a piece.
    #[inline]
    pub(crate) fn push_in_turn(
        &self,
        entry: &mut Entry,
        vacancies: &FullLinks,
        place: usize,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if !state.has_room(entry, Mark::Bound) {
            state.note_full(vacancies, place, entry);
            return Err(Refused::Full);
        }
        self.accept(state, entry, Mark::Bound);
        Ok(())
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::{LinkLimits, Shed, Target, WriteBatch};
    use super::*;
    use crate::id::Identity;

    fn link() -> Link {
        let limits = LinkLimits {
            unacked_messages: 2,
            ..LinkLimits::of(100, 1000)
        };
        let peer = Identity::from_bytes([7; 16]);
        Link::without_socket(peer, 1, limits)
    }

    fn entry(bytes: usize) -> Entry {
        let payload = Bytes::from(vec![7; bytes]);
        Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload)
    }

    fn acknowledged(bytes: usize) -> Entry {
        Entry {
            guarantee: DeliveryGuarantee::AtLeastOnce,
            ..entry(bytes)
        }
    }

    fn places(piece: &FullLinks, from: usize, entry: &Entry) -> Vec<usize> {
        let next = |after: &usize| piece.next(after + 1, entry);
        std::iter::successors(piece.next(from, entry), next).collect()
    }

    /// The writer takes a block, and has written it.
    fn write(link: &Link) {
        let mut hand = WriteBatch::default();
        let _ = link.next_write(&mut hand, Waker::noop());
        hand.written = hand.len();
        let _ = link.next_write(&mut hand, Waker::noop());
    }

    #[test]
    fn the_next_place_is_the_one_that_a_look_at_all_would_find() {
        let sizes = Sizes::new();
        let mut expected = [NOTHING_REFUSED; PLACES];
        let mut dice = 7_usize;
        for _ in 0..5000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (place, bytes) = ((dice >> 33) % PLACES, (dice >> 45) % 40);
            expected[place] = if bytes == 0 {
                NOTHING_REFUSED
            } else {
                bytes / 4
            };
            sizes.set(place, expected[place]);
            let (from, wanted) = ((dice >> 20) % PLACES, (dice >> 51) % 12);
            let found = (from..PLACES).find(|place| expected[*place] > wanted);
            assert_eq!(sizes.next(from, wanted), found);
        }
        assert_eq!(sizes.next(PLACES, 0), None);
    }

    #[test]
    fn full_links_are_looked_at_once_and_then_only_the_one_that_gets_room() {
        let piece = FullLinks::new();
        let links: Vec<_> = (0..PLACES).map(|_| link()).collect();
        let send = || {
            let mut looks = 0;
            let mut from = 0;
            while let Some(place) = piece.next(from, &entry(95)) {
                looks += 1;
                if links[place]
                    .push_in_turn(&mut entry(95), &piece, place)
                    .is_ok()
                {
                    return (Some(place), looks);
                }
                from = place + 1;
            }
            (None, looks)
        };
        let accepted = (0..).take_while(|_| send().0.is_some()).count();
        assert_eq!(accepted, 10 * PLACES, "the bound of each is exact");
        assert_eq!(send(), (None, 0));
        write(&links[70]);
        for _ in 0..10 {
            assert_eq!(send(), (Some(70), 1));
        }
        assert_eq!(send(), (None, 1));
        assert_eq!(send(), (None, 0));
    }

    #[test]
    fn what_is_smaller_or_not_acknowledged_is_not_refused_unseen() {
        let piece = FullLinks::new();
        let link = link();
        link.push(&mut entry(900), Mark::Bound).unwrap();
        for bytes in [500, 200, 300] {
            let refused = link.push_in_turn(&mut entry(bytes), &piece, 0);
            assert_eq!(refused, Err(Refused::Full));
        }
        assert_eq!(piece.next(0, &entry(200)), Some(1));
        assert_eq!(piece.next(0, &acknowledged(200)), Some(1));
        assert_eq!(piece.next(0, &entry(199)), Some(0));
        write(&link);
        assert_eq!(piece.next(0, &entry(500)), Some(0));
        for _ in 0..2 {
            link.push_in_turn(&mut acknowledged(1), &piece, 0).unwrap();
        }
        assert!(link.push_in_turn(&mut acknowledged(1), &piece, 0).is_err());
        assert_eq!(piece.next(0, &acknowledged(1)), Some(1));
        assert_eq!(piece.next(0, &entry(500)), Some(0), "the ring is full");
    }

    #[test]
    fn whatever_may_make_room_is_told_to_the_newest_piece() {
        let makers: [fn(&Link); 6] = [
            write,
            |link| link.set_limits(LinkLimits::of(100, 2000), usize::MAX),
            |link| link.set_share(1000),
            |link| drop(link.push_shedding(&mut entry(1), Shed::Oldest)),
            |link| link.abort(),
            |link| drop(link.close(WriteBatch::default())),
        ];
        for make_room in makers {
            let (older, newer) = (FullLinks::new(), FullLinks::new());
            let link = link();
            link.push(&mut entry(1000), Mark::Bound).unwrap();
            for (piece, place) in [(&older, 0), (&newer, 1), (&older, 0)] {
                assert!(link.push_in_turn(&mut entry(1), piece, place).is_err());
            }
            let all: Vec<_> = (0..PLACES).collect();
            assert_eq!(places(&older, 0, &entry(1)), all[1..]);
            assert_eq!(places(&newer, 1, &entry(1)), all[2..]);
            make_room(&link);
            assert_eq!(places(&newer, 0, &entry(1)), all);
            assert_eq!(
                places(&older, 0, &entry(1)),
                all[1..],
                "its senders find the newer one"
            );
        }
    }
}
