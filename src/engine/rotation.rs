//! Whose turn it is (WIRE §7.1): round-robin over members that come, go, and run out of room.

/// Members in the order of their joining, and a cursor.
///
/// The cursor counts turns and is never reset, so that it can live in an atomic of the socket
/// while the members are an immutable list that is published anew: [`pick`] is all that the two
/// need.
#[derive(Debug)]
pub(crate) struct Rotation<C> {
    members: Vec<C>,
    cursor: usize,
}

impl<C: Copy + Eq> Rotation<C> {
    /// A rotation without members.
    pub(crate) const fn new() -> Self {
        Self {
            members: Vec::new(),
            cursor: 0,
        }
    }

    /// `member` takes part from now on, last in turn. Joining twice is joining once.
    pub(crate) fn join(&mut self, member: C) {
        if self.members.contains(&member) {
            return;
        }
        // Behind the member whose turn is furthest off, wherever the cursor stands.
        let position = self.position();
        self.members.insert(position, member);
        self.cursor = position + 1;
    }

    /// `member` takes part no longer; the turn of the others does not change.
    pub(crate) fn leave(&mut self, member: C) {
        let position = self.position();
        let Some(index) = self.members.iter().position(|m| *m == member) else {
            return;
        };
        self.members.remove(index);
        self.cursor = position - usize::from(index < position);
    }

    /// The next in turn that has room; those without are passed over. `None` if none has.
    pub(crate) fn next(&mut self, has_room: impl Fn(C) -> bool) -> Option<C> {
        let index = pick(self.cursor, self.members.len(), |index| {
            has_room(self.members[index])
        })?;
        self.cursor = index + 1;
        Some(self.members[index])
    }

    fn position(&self) -> usize {
        match self.members.len() {
            0 => 0,
            len => self.cursor % len,
        }
    }
}

/// The first of `len` members, from `cursor` on and around once, that has room.
#[inline]
pub(crate) fn pick(cursor: usize, len: usize, has_room: impl Fn(usize) -> bool) -> Option<usize> {
    let start = cursor.checked_rem(len)?;
    (start..len).chain(0..start).find(|&index| has_room(index))
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    fn turns(rotation: &mut Rotation<char>, count: usize) -> String {
        (0..count).filter_map(|_| rotation.next(|_| true)).collect()
    }

    fn of(members: &str) -> Rotation<char> {
        let mut rotation = Rotation::new();
        members.chars().for_each(|member| rotation.join(member));
        rotation
    }

    #[test]
    fn turns_go_around_in_the_order_of_joining() {
        assert_eq!(turns(&mut of("abc"), 7), "abcabca");
        assert_eq!(turns(&mut of(""), 3), "");
    }

    #[test]
    fn one_that_joins_comes_last_and_one_that_leaves_moves_nobody() {
        let mut rotation = of("abc");
        assert_eq!(turns(&mut rotation, 1), "a");
        rotation.join('d');
        rotation.join('b');
        assert_eq!(turns(&mut rotation, 5), "bcadb");
        rotation.leave('a');
        assert_eq!(turns(&mut rotation, 4), "cdbc");
        rotation.leave('d');
        assert_eq!(turns(&mut rotation, 3), "bcb");
    }

    #[test]
    fn members_without_room_are_passed_over() {
        let mut rotation = of("abc");
        assert_eq!(rotation.next(|member| member != 'a'), Some('b'));
        assert_eq!(rotation.next(|_| true), Some('c'));
        assert_eq!(rotation.next(|_| false), None);
        assert_eq!(rotation.next(|_| true), Some('a'));
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Join(u8),
        Leave(u8),
        Next { full: u8 },
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            1 => (0..6_u8).prop_map(Event::Join),
            1 => (0..6_u8).prop_map(Event::Leave),
            6 => (0..8_u8).prop_map(|full| Event::Next { full }),
        ];
        prop::collection::vec(event, 0..80)
    }

    proptest! {
        /// The model is a queue: the front one with room goes, with all before it, to the back.
        #[test]
        fn the_rotation_agrees_with_a_queue(events in events()) {
            let mut rotation = Rotation::new();
            let mut queue = VecDeque::new();
            for event in events {
                match event {
                    Event::Join(member) => {
                        rotation.join(member);
                        if !queue.contains(&member) { queue.push_back(member); }
                    }
                    Event::Leave(member) => {
                        rotation.leave(member);
                        queue.retain(|m| *m != member);
                    }
                    Event::Next { full } => {
                        let chosen = queue.iter().position(|m| *m != full);
                        let expected = chosen.map(|index| queue[index]);
                        if let Some(index) = chosen { queue.rotate_left(index + 1); }
                        prop_assert_eq!(rotation.next(|m| m != full), expected);
                    }
                }
            }
        }

        #[test]
        fn shares_are_fair_within_one(members in 1..9_u8, start in 0..20_usize, count in 0..200_usize) {
            let mut rotation = Rotation::new();
            (0..members).for_each(|member| rotation.join(member));
            (0..start).for_each(|_| { rotation.next(|_| true); });
            let mut shares: HashMap<u8, usize> = (0..members).map(|m| (m, 0)).collect();
            for _ in 0..count {
                *shares.entry(rotation.next(|_| true).unwrap()).or_default() += 1;
            }
            let (least, most) = (shares.values().min(), shares.values().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1);
        }
    }
}
