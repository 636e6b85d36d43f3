//! The tail of what waits by the send mode: it is in the store alone, so that memory does not grow with it.

use std::collections::BTreeSet;
use std::mem::take;

/// Bytes of messages by the send mode that are in memory, as they [weigh](weight): the rest waits in the store alone.
pub(super) const HEAD_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that a message takes in memory beside its cost in the store.
const ENTRY_BYTES: usize = 448;

/// Bytes that a message with this cost takes in memory.
pub(super) fn weight(cost: usize) -> usize {
    cost + ENTRY_BYTES
}

/// Where a message of the store is beside that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residence {
    /// In memory, for a peer by its identity.
    Apart,
    /// In memory, among the first of those by the send mode.
    Head,
    /// Nowhere, or it is looked up in memory when its turn comes.
    Tail,
}

/// Places whose messages are to come into memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) from: u64,
    /// Behind the last of those that were committed when it was asked for.
    pub(super) to: u64,
    /// Bytes that it may weigh.
    pub(super) weight: usize,
}

/// Which messages by the send mode are in memory, and which are not. All that are not stand behind all that are.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Bytes that the head may weigh.
    limit: usize,
    /// Bytes that it weighs.
    head: usize,
    /// The place of the first of the tail, and that behind its last; the same if there is none.
    from: u64,
    to: u64,
    messages: usize,
    bytes: usize,
    /// Messages of it that have come to their end before their turn.
    gone: BTreeSet<u64>,
    /// Places of which nothing could be read when their turn came.
    lost: BTreeSet<u64>,
    paging: Paging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Paging {
    #[default]
    Idle,
    Asked,
    Reading,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// True if there is no tail, and all that was one has been handed on.
    pub(super) fn is_done(&self) -> bool {
        self.is_empty() && self.paging != Paging::Reading
    }

    /// Messages of the tail, and what they cost.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// A message by the send mode gets this place, behind all others.
    pub(super) fn admit(&mut self, place: u64, cost: usize) -> Residence {
        let is_full = self.head > 0 && self.head + weight(cost) > self.limit;
        // The last of a page may be on its way still: nothing overtakes it.
        if self.is_done() && !is_full {
            self.head += weight(cost);
            return Residence::Head;
        }
        if self.is_empty() {
            self.from = place;
        }
        self.to = place + 1;
        self.messages += 1;
        self.bytes += cost;
        Residence::Tail
    }

    /// The residence of a message by the send mode that was [admitted](Self::admit).
    pub(super) fn residence_of(&self, place: u64) -> Residence {
        match (self.from..self.to).contains(&place) {
            true => Residence::Tail,
            false => Residence::Head,
        }
    }

    /// A message has come to its end.
    pub(super) fn remove(&mut self, residence: Residence, place: u64, cost: usize) {
        if residence == Residence::Apart {
            return;
        }
        // It may have come into memory since it was admitted.
        match self.residence_of(place) {
            Residence::Tail => {
                self.count_out(cost);
                self.gone.insert(place);
                self.trim();
            }
            // Of one whose record is gone from the store nothing was counted.
            Residence::Head | Residence::Apart => {
                self.head = self.head.saturating_sub(weight(cost));
            }
        }
    }

    /// What has come to its end at the beginning of the tail is no part of it, unless it is being read.
    fn trim(&mut self) {
        if self.paging == Paging::Reading {
            return;
        }
        if self.messages == 0 {
            self.from = self.to;
            self.gone.clear();
        }
        while self.gone.remove(&self.from) {
            self.from += 1;
        }
    }

    fn count_out(&mut self, cost: usize) {
        self.messages -= 1;
        self.bytes -= cost;
    }

    /// Asks for a page if half of the head is free, or if it `has_none` in memory that waits. True if that is new.
    pub(super) fn ask(&mut self, has_none: bool) -> bool {
        let is_due = has_none || self.head < self.limit / 2;
        let asks = is_due && !self.is_empty() && self.paging == Paging::Idle;
        if asks {
            self.paging = Paging::Asked;
        }
        asks
    }

    /// The page that was asked for, if one was.
    pub(super) fn begin_page(&mut self) -> Option<Page> {
        (self.paging == Paging::Asked).then(|| {
            self.paging = Paging::Reading;
            Page {
                from: self.from,
                to: self.to,
                weight: self.limit / 2,
            }
        })
    }

    /// A message of a page comes into memory; false if it has come to its end.
    pub(super) fn page_in(&mut self, place: u64, cost: usize) -> bool {
        if self.gone.remove(&place) {
            return false;
        }
        self.lost.remove(&place);
        self.count_out(cost);
        self.head += weight(cost);
        self.from = place + 1;
        true
    }

    /// The turn of a place has come, of which nothing can be read. It may be one of the tail: whatever is known of that counts until the
    /// end of the tail.
    pub(super) fn lose(&mut self, place: u64) {
        if !self.gone.remove(&place) {
            self.lost.insert(place);
        }
    }

    /// True if a message is one of the tail that could not be read when its turn came.
    pub(super) fn has_lost(&self, residence: Residence, place: u64) -> bool {
        residence == Residence::Tail && self.lost.contains(&place)
    }

    /// All of a page up to the place `next` is in memory. Yields, at the end of the tail, the messages that were in none of its pages,
    /// and what they cost: they cannot be read any more.
    pub(super) fn end_page(&mut self, next: u64) -> (usize, usize) {
        self.from = self.from.max(next);
        self.gone = self.gone.split_off(&next);
        self.paging = Paging::Idle;
        self.trim();
        match self.is_empty() {
            true => (take(&mut self.messages), take(&mut self.bytes)),
            false => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_head_has_no_room_for_waits_behind_it_and_comes_in_order() {
        let mut tail = Tail::new(10 * weight(100));
        let all: Vec<_> = (0..30).map(|place| tail.admit(place, 100)).collect();
        assert!(
            all[..10]
                .iter()
                .all(|residence| *residence == Residence::Head)
        );
        assert!(
            all[10..]
                .iter()
                .all(|residence| *residence == Residence::Tail)
        );
        assert_eq!(tail.load(), (20, 2000));
        assert!(!tail.ask(false), "the head is full");
        for place in 0..6 {
            tail.remove(Residence::Head, place, 100);
        }
        // What is new stays behind what waits, although there is room.
        assert_eq!(tail.admit(30, 100), Residence::Tail);
        assert!(tail.ask(false) && !tail.ask(true), "once");
        let page = tail.begin_page().unwrap();
        assert_eq!((page.from, page.to), (10, 31));
        assert!(tail.begin_page().is_none());
        tail.remove(Residence::Tail, 11, 100);
        assert!(tail.page_in(10, 100) && !tail.page_in(11, 100) && tail.page_in(12, 100));
        tail.end_page(13);
        assert_eq!(tail.load(), (18, 1800));
        assert!(!tail.ask(false), "more than half of it is there");
        assert!(tail.ask(true));
        let page = tail.begin_page().unwrap();
        for place in page.from..page.to {
            assert!(tail.page_in(place, 100));
        }
        tail.end_page(page.to);
        assert!(tail.is_empty());
        assert_eq!(tail.load(), (0, 0));
        for place in [6, 7, 8, 9, 10].into_iter().chain(12..31) {
            tail.remove(Residence::Head, place, 100);
        }
        assert_eq!(tail.admit(31, 100), Residence::Head);
    }

    #[test]
    fn nothing_overtakes_the_last_of_a_page_that_is_being_handed_on() {
        let mut tail = Tail::new(2 * weight(100));
        let all = [0, 1, 2].map(|place| tail.admit(place, 100));
        assert_eq!(all[2], Residence::Tail);
        tail.remove(Residence::Head, 0, 100);
        tail.remove(Residence::Head, 1, 100);
        assert!(tail.ask(false));
        let page = tail.begin_page().unwrap();
        assert!(tail.page_in(2, 100));
        assert!(tail.is_empty() && !tail.is_done());
        assert_eq!(tail.admit(3, 100), Residence::Tail);
        tail.end_page(page.to);
        assert_eq!(tail.load(), (1, 100));
        assert!(tail.ask(true));
        assert_eq!(
            tail.begin_page().map(|page| (page.from, page.to)),
            Some((3, 4))
        );
    }

    #[test]
    fn what_was_in_no_page_does_not_count_any_more_at_the_end_of_the_tail() {
        let mut tail = Tail::new(weight(100));
        for place in 0..4 {
            tail.admit(place, 100);
        }
        assert!(tail.ask(true));
        tail.begin_page().unwrap();
        assert!(tail.page_in(1, 100));
        tail.lose(2);
        assert_eq!(tail.end_page(3), (0, 0));
        assert_eq!(tail.load(), (2, 200));
        assert!(tail.ask(true));
        tail.begin_page().unwrap();
        assert!(tail.page_in(3, 100));
        assert_eq!(tail.end_page(4), (1, 100));
        assert_eq!(tail.load(), (0, 0));
        assert!(tail.is_done());
        assert!(tail.has_lost(Residence::Tail, 2) && !tail.has_lost(Residence::Apart, 2));
    }

    #[test]
    fn what_cannot_be_read_and_is_known_all_the_same_comes_into_memory() {
        let mut tail = Tail::new(weight(100));
        let all = [0, 1, 2].map(|place| tail.admit(place, 100));
        assert_eq!(all[1..], [Residence::Tail; 2]);
        assert!(tail.ask(true));
        tail.begin_page().unwrap();
        tail.lose(1);
        assert!(tail.page_in(1, 100) && !tail.has_lost(Residence::Tail, 1));
        assert!(tail.page_in(2, 100));
        assert_eq!(tail.end_page(3), (0, 0));
        for place in 0..3 {
            tail.remove(Residence::Head, place, 100);
        }
        assert_eq!(tail.admit(3, 100), Residence::Head);
    }

    #[test]
    fn a_tail_whose_messages_have_all_come_to_their_end_is_none() {
        let mut tail = Tail::new(weight(100));
        for place in 0..4 {
            tail.admit(place, 100);
        }
        tail.remove(Residence::Tail, 1, 100);
        assert_eq!((tail.from, tail.gone.len()), (2, 0));
        tail.remove(Residence::Tail, 3, 100);
        tail.remove(Residence::Tail, 2, 100);
        tail.remove(Residence::Head, 0, 100);
        assert!(tail.is_done() && tail.gone.is_empty());
        assert_eq!(tail.admit(4, 100), Residence::Head);
    }

    #[test]
    fn an_empty_head_takes_one_message_of_any_size() {
        let mut tail = Tail::new(100);
        assert_eq!(tail.admit(0, 5000), Residence::Head);
        assert_eq!(tail.admit(1, 5000), Residence::Tail);
    }
}
