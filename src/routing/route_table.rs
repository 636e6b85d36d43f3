//! The connected peers, and the place of each in the list.

use std::collections::HashMap;
use std::sync::Arc;

use super::routes::Routes;
use crate::link::Link;

/// The links of the connected peers. One that goes is found without a look at the others; the last of
/// the list takes its place, so that the turns of all others stay as they were.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    list: Routes,
    /// By serial.
    places: HashMap<u64, usize>,
}

impl RouteTable {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.list.iter()
    }

    /// The list as it is now.
    pub(super) fn list(&self) -> &Routes {
        &self.list
    }

    pub(super) fn push(&mut self, link: Arc<Link>) {
        self.places.insert(link.serial(), self.list.len());
        self.list.push(link);
    }

    /// Takes a link out, if it is there.
    pub(super) fn remove(&mut self, serial: u64) {
        let Some(place) = self.places.remove(&serial) else {
            return;
        };
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places.insert(moved.serial(), place);
        }
        if self.places.capacity() > 64 && self.places.len() < self.places.capacity() / 8 {
            self.places.shrink_to(2 * self.places.len());
        }
    }

    /// Takes out those that take nothing more.
    pub(super) fn take_closed(&mut self) -> Vec<Arc<Link>> {
        let closed = self.iter().filter(|link| link.is_closed());
        let closed: Vec<_> = closed.map(Arc::clone).collect();
        for link in &closed {
            self.remove(link.serial());
        }
        closed
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::super::routes::tests::link;
    use super::*;

    #[test]
    fn each_is_found_wherever_departures_have_moved_it() {
        let mut members = RouteTable::default();
        (0..500).for_each(|serial| members.push(link(serial)));
        // Each third first, then the others from behind; one that is not there changes nothing.
        let thirds = (0..500).step_by(3);
        let others = (0..500).rev().filter(|serial| serial % 3 != 0);
        let mut left = 500;
        for serial in thirds.chain(others) {
            members.remove(serial);
            members.remove(serial);
            left -= 1;
            assert_eq!(members.len(), left);
            for (place, link) in members.iter().enumerate() {
                assert_eq!(members.places[&link.serial()], place);
            }
            assert!(members.iter().all(|link| link.serial() != serial));
        }
        assert!(members.is_empty());
    }

    #[test]
    fn those_that_are_closed_are_taken_out_and_no_others() {
        let mut members = RouteTable::default();
        (0..10).for_each(|serial| members.push(link(serial)));
        let closed = [0, 4, 8, 9];
        let links = members.list().clone();
        let gone = links.iter().filter(|link| closed.contains(&link.serial()));
        gone.for_each(|link| link.abort());
        assert_eq!(members.take_closed().len(), closed.len());
        let mut left: Vec<_> = members.iter().map(|link| link.serial()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 3, 5, 6, 7]);
    }
}
