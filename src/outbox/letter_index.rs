//! Which letters a dead-letter queue has, and which of them have to go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::letter::Letter;
use crate::limits::Capacity;

const MIB: usize = 1024 * 1024;

/// Bounds of a dead-letter queue: see [`SocketBuilder::dead_letter_queue`](crate::SocketBuilder::dead_letter_queue).
///
/// Where there is no room for a new letter, the oldest ones make it. How many did is in [`Stats`](crate::stats::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bounds do nothing until a socket is started with them"]
pub struct DeadLetterBounds {
    pub(crate) capacity: Capacity,
    pub(crate) max_age: Option<Duration>,
}

impl Default for DeadLetterBounds {
    fn default() -> Self {
        Self::new()
    }
}

impl DeadLetterBounds {
    /// 10,000 letters and 64 MiB, for as long as there is room.
    pub const fn new() -> Self {
        Self {
            capacity: Capacity::new(10_000, 64 * MIB),
            max_age: None,
        }
    }

    /// Letters, and bytes of their payloads and details and 64 for each, that are kept. Default: 10,000 letters, 64 MiB. A letter
    /// that is larger than that is not kept.
    pub const fn capacity(mut self, letters: usize, bytes: usize) -> Self {
        self.capacity = Capacity::new(letters, bytes);
        self
    }

    /// For how long a letter is kept, by the wall clock. Default: as long as there is room.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }
}

/// The letters of a queue, by their ids.
#[derive(Debug)]
pub(super) struct LetterIndex {
    bounds: DeadLetterBounds,
    letters: BTreeMap<u64, Kept>,
    bytes: usize,
    /// The id of the next letter.
    next: u64,
    /// Letters that are with the handlers of the socket once more.
    redelivered: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    cost: usize,
    /// Milliseconds of the wall clock.
    buried: u64,
}

impl LetterIndex {
    pub(super) fn new(bounds: DeadLetterBounds) -> Self {
        Self {
            bounds,
            letters: BTreeMap::new(),
            bytes: 0,
            next: 1,
            redelivered: BTreeSet::new(),
        }
    }

    /// Letters, and their bytes.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.letters.len(), self.bytes)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next
    }

    /// A letter is in the store.
    pub(super) fn insert(&mut self, id: u64, cost: usize, buried: u64) {
        self.remove(id);
        self.letters.insert(id, Kept { cost, buried });
        self.bytes += cost;
        self.skip_to(id.saturating_add(1));
    }

    /// The next letters have ids from here on, unless that is none that a queue can have come to.
    pub(super) fn skip_to(&mut self, id: u64) {
        if id < u64::MAX / 2 {
            self.next = self.next.max(id);
        }
    }

    /// A letter has left the store.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(kept) = self.letters.remove(&id) {
            self.bytes -= kept.cost;
        }
        self.redelivered.remove(&id);
    }

    /// Drops of `new` letters, the oldest first, what would not fit into an empty queue. How many that is.
    pub(super) fn fit(&self, new: &mut Vec<Letter>) -> usize {
        let before = new.len();
        let capacity = self.bounds.capacity;
        new.retain(|letter| letter.cost() <= capacity.bytes);
        let (mut count, mut bytes) = (0, 0);
        let newest = new.iter().rev().take_while(|letter| {
            count += 1;
            bytes += letter.cost();
            count <= capacity.messages && bytes <= capacity.bytes
        });
        let fitting = newest.count();
        new.drain(..new.len() - fitting);
        before - new.len()
    }

    /// The letters that have to go for `new` ones, which fit into an empty queue, and those that are too old.
    pub(super) fn to_discard(&self, new: &[Letter], wall: u64) -> Vec<u64> {
        let capacity = self.bounds.capacity;
        let mut count = self.letters.len() + new.len();
        let mut bytes = self.bytes + new.iter().map(Letter::cost).sum::<usize>();
        let oldest = self.letters.iter().take_while(|(_, kept)| {
            let goes = count > capacity.messages
                || bytes > capacity.bytes
                || self.end_of(kept).is_some_and(|end| end <= wall);
            count -= 1;
            bytes -= kept.cost;
            goes
        });
        oldest.map(|(id, _)| *id).collect()
    }

    /// Milliseconds until the oldest letter is too old.
    pub(super) fn next_end(&self, wall: u64) -> Option<Duration> {
        let (_, oldest) = self.letters.first_key_value()?;
        let end = self.end_of(oldest)?;
        Some(Duration::from_millis(end.saturating_sub(wall)))
    }

    fn end_of(&self, kept: &Kept) -> Option<u64> {
        let age = u64::try_from(self.bounds.max_age?.as_millis()).unwrap_or(u64::MAX);
        Some(kept.buried.saturating_add(age))
    }

    /// A letter is with the handlers of the socket. False if it was before, or is not there.
    pub(super) fn begin_redelivery(&mut self, id: u64) -> bool {
        self.letters.contains_key(&id) && self.redelivered.insert(id)
    }

    /// The handlers have let a letter go, and nobody has handled it.
    pub(super) fn end_redelivery(&mut self, id: u64) {
        self.redelivered.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::DeadLetterReason;

    fn letter(bytes: usize) -> Letter {
        Letter {
            payload: Bytes::from(vec![0; bytes]),
            peer: None,
            reason: DeadLetterReason::Expired,
            detail: None,
            received: false,
            at_least_once: true,
            to_service: false,
            message: None,
            envelope: Bytes::new(),
            buried: 0,
        }
    }

    fn index(letters: usize, bytes: usize) -> LetterIndex {
        let bounds = DeadLetterBounds::new().capacity(letters, bytes);
        LetterIndex::new(bounds.max_age(Duration::from_millis(100)))
    }

    #[test]
    fn the_oldest_make_room_and_what_is_too_old_goes() {
        let mut index = index(3, 1000);
        for id in 1..=3 {
            index.insert(id, 100, id * 10);
        }
        assert_eq!(index.next_id(), 4);
        assert_eq!(index.to_discard(&[], 50), [0; 0]);
        assert_eq!(index.to_discard(&[letter(0)], 50), [1]);
        // 300 bytes and 864 are above a thousand by two letters.
        assert_eq!(index.to_discard(&[letter(800)], 50), [1, 2]);
        assert_eq!(index.next_end(50), Some(Duration::from_millis(60)));
        assert_eq!(index.to_discard(&[], 120), [1, 2]);
        index.remove(1);
        index.remove(1);
        assert_eq!(index.load(), (2, 200));
    }

    #[test]
    fn of_too_many_new_letters_the_newest_fit() {
        let index = index(3, 300);
        let mut new = vec![letter(1), letter(2), letter(1000), letter(3), letter(4)];
        assert_eq!(index.fit(&mut new), 2);
        let kept: Vec<usize> = new.iter().map(|letter| letter.payload.len()).collect();
        assert_eq!(kept, [2, 3, 4]);
        let mut large = vec![letter(100), letter(150)];
        assert_eq!(index.fit(&mut large), 1);
        assert_eq!(large[0].payload.len(), 150);
    }

    #[test]
    fn a_letter_is_redelivered_once_at_a_time() {
        let mut index = index(3, 1000);
        index.insert(1, 10, 0);
        assert!(index.begin_redelivery(1));
        assert!(!index.begin_redelivery(1));
        assert!(!index.begin_redelivery(2));
        index.end_redelivery(1);
        assert!(index.begin_redelivery(1));
        index.remove(1);
        index.insert(1, 10, 0);
        assert!(index.begin_redelivery(1));
    }
}
