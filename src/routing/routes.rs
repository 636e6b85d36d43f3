//! A list of links in pieces, so that copies of it share all pieces but those that change.

use std::ops::Range;
use std::sync::Arc;

use crate::link::{Entry, FullLinks, Link, PLACES as PIECE, Refused};

/// A list of links. Cloning it, and changing one link of a clone, costs as much as there are pieces,
/// and not as much as there are links.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    /// Each but the last is full.
    pieces: Vec<Arc<Piece>>,
    len: usize,
}

#[derive(Debug)]
struct Piece {
    links: Vec<Arc<Link>>,
    vacancies: FullLinks,
}

impl Routes {
    pub(crate) const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
        }
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The only link, if there is just one.
    #[inline]
    pub(super) fn only(&self) -> Option<&Arc<Link>> {
        match &self.pieces[..] {
            [piece] => match &piece.links[..] {
                [only] => Some(only),
                _ => None,
            },
            _ => None,
        }
    }

    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<&Arc<Link>> {
        self.pieces.get(place / PIECE)?.links.get(place % PIECE)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.pieces.iter().flat_map(|piece| piece.links.iter())
    }

    /// All links once, from this place on.
    pub(super) fn in_turn(&self, first: usize) -> impl Iterator<Item = &Arc<Link>> + Clone {
        let (at, offset) = (first / PIECE, first % PIECE);
        let (before, from) = self.pieces.split_at(at.min(self.pieces.len()));
        let (behind, head) = from
            .split_first()
            .map_or((&[][..], None), |(head, behind)| (behind, Some(head)));
        let (last, start) = head.map_or((&[][..], &[][..]), |head| head.links.split_at(offset));
        start
            .iter()
            .chain(
                behind
                    .iter()
                    .chain(before)
                    .flat_map(|piece| piece.links.iter()),
            )
            .chain(last)
    }

    /// The next link in turn from this place on that has room takes the message; yields its place. Those
    /// that have refused one like it, and have got no room since, are not looked at.
    #[inline]
    pub(super) fn push_in_turn(&self, first: usize, entry: &mut Entry) -> Result<usize, Refused> {
        let (at, offset) = (first / PIECE, first % PIECE);
        match self.pieces[at].push_in_turn(offset..PIECE, entry) {
            Ok(place) => Ok(at * PIECE + place),
            Err(refused) => self.push_behind(first, entry, refused),
        }
    }

    /// None of those in the rest of the first piece has taken it.
    #[cold]
    fn push_behind(
        &self,
        first: usize,
        entry: &mut Entry,
        mut refused: Refused,
    ) -> Result<usize, Refused> {
        let (at, offset) = (first / PIECE, first % PIECE);
        let others = (at + 1..self.pieces.len()).chain(0..at);
        let others = others.map(|piece| (piece, PIECE)).chain([(at, offset)]);
        for (piece, end) in others {
            match self.pieces[piece].push_in_turn(0..end, entry) {
                Ok(place) => return Ok(piece * PIECE + place),
                Err(Refused::Closed) => refused = Refused::Closed,
                Err(Refused::Full) => {}
            }
        }
        Err(refused)
    }

    pub(super) fn push(&mut self, link: Arc<Link>) {
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Arc::new(Piece::of(Vec::new())));
        }
        if let Some(piece) = self.pieces.last_mut() {
            Piece::change(piece).push(link);
            self.len += 1;
        }
    }

    /// Takes a link out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, place: usize) {
        let Some(last) = self.pop() else { return };
        if place < self.len {
            Piece::change(&mut self.pieces[place / PIECE])[place % PIECE] = last;
        }
    }

    fn pop(&mut self) -> Option<Arc<Link>> {
        let piece = self.pieces.last_mut()?;
        let last = Piece::change(piece).pop();
        if piece.links.is_empty() {
            self.pieces.pop();
        }
        self.len -= usize::from(last.is_some());
        last
    }
}

impl Piece {
    fn of(links: Vec<Arc<Link>>) -> Self {
        let vacancies = FullLinks::new();
        Self { links, vacancies }
    }

    /// The links, to be changed. What is known of them counts from anew, and copies of the list keep the
    /// piece that they have.
    fn change(piece: &mut Arc<Self>) -> &mut Vec<Arc<Link>> {
        if let Some(ours) = Arc::get_mut(piece) {
            ours.vacancies = FullLinks::new();
        }
        &mut Arc::make_mut(piece).links
    }

    #[inline]
    fn push_in_turn(&self, places: Range<usize>, entry: &mut Entry) -> Result<usize, Refused> {
        let links = &self.links[..places.end.min(self.links.len())];
        let mut refused = Refused::Full;
        let mut from = places.start;
        while let Some(place) = self.vacancies.next(from, entry)
            && let Some(link) = links.get(place)
        {
            match link.push_in_turn(entry, &self.vacancies, place) {
                Ok(()) => return Ok(place),
                Err(Refused::Closed) => refused = Refused::Closed,
                Err(Refused::Full) => {}
            }
            from = place + 1;
        }
        Err(refused)
    }
}

impl Clone for Piece {
    fn clone(&self) -> Self {
        Self::of(self.links.clone())
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
pub(super) mod tests {

    use super::*;
    use crate::id::Identity;
    use crate::link::LinkLimits;

    /// A link of a peer of its own.
    pub(in crate::routing) fn link(serial: u64) -> Arc<Link> {
        let limits = LinkLimits::of(8, 1024);
        let peer = Identity::from_bytes(u128::from(serial).to_be_bytes());
        Arc::new(Link::without_socket(peer, serial, limits))
    }

    fn serials(routes: &Routes) -> Vec<u64> {
        routes.iter().map(|link| link.serial()).collect()
    }

    #[test]
    fn it_is_the_list_that_a_vector_would_be() {
        let (mut routes, mut expected) = (Routes::new(), Vec::new());
        for serial in 0..3 * PIECE as u64 + 5 {
            routes.push(link(serial));
            expected.push(serial);
        }
        // At both ends, at the edges of pieces, and until nothing is left.
        for place in [0, PIECE - 1, PIECE, 2 * PIECE, 3 * PIECE, 7] {
            routes.swap_remove(place);
            expected.swap_remove(place);
            assert_eq!(serials(&routes), expected);
            assert_eq!(routes.len(), expected.len());
        }
        let first = PIECE + 3;
        let turn: Vec<_> = routes.in_turn(first).map(|link| link.serial()).collect();
        assert_eq!(turn, [&expected[first..], &expected[..first]].concat());
        while !expected.is_empty() {
            assert_eq!(routes.only().is_some(), expected.len() == 1);
            let place = expected.len() / 2;
            routes.swap_remove(place);
            expected.swap_remove(place);
            assert_eq!(serials(&routes), expected);
        }
        assert!(routes.is_empty() && routes.get(0).is_none());
        routes.swap_remove(0);
        assert!(routes.is_empty());
    }

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_has_not_changed() {
        let mut routes = Routes::new();
        (0..4 * PIECE as u64).for_each(|serial| routes.push(link(serial)));
        let (copy, before) = (routes.clone(), serials(&routes));
        routes.swap_remove(PIECE);
        routes.push(link(1_000));
        assert_eq!(serials(&copy), before);
        let shared = copy.pieces.iter().zip(&routes.pieces);
        let shared = shared.filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 2, "those of the departure and of the end are new");
    }
}
