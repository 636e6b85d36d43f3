//! The asks that a relay has passed on, and the way back of their answers.
//!
//! An answer is known by the id of its ask and the peer that was asked. Ids are chosen by askers: two of them may
//! choose the same one, and whoever was not asked may know it.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::id::Identity;

type Id = [u8; 16];

/// The asks that wait for their answers. Each has one entry, from when it is passed on until its answer comes, its asker
/// gives up, its time is over, or one of both peers goes.
#[derive(Debug)]
pub(crate) struct ReturnTable {
    capacity: usize,
    /// By the id of an ask and the peer that was asked.
    open: HashMap<(Id, Identity), OpenAsk>,
    /// The peers that were asked, by the id of an ask and its asker.
    asked: HashMap<(Id, Identity), Identity>,
    deadlines: BTreeSet<(Instant, Id, [u8; 16])>,
}

#[derive(Debug, Clone, Copy)]
struct OpenAsk {
    asker: Identity,
    /// The connection by which the other peer was asked.
    connection: u64,
    deadline: Instant,
}

/// Reasons why an ask gets no entry, and is not to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNoted {
    /// As many asks are open as the table takes.
    Full,
    /// An ask of the same id is open, by the same asker or at the same peer.
    Twice,
}

/// An ask that is about to be passed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewAsk {
    pub(crate) id: Id,
    pub(crate) asker: Identity,
    /// The peer that is to be asked, and the connection by which it is.
    pub(crate) asked: (Identity, u64),
    /// Until when its answer is waited for.
    pub(crate) deadline: Instant,
}

impl ReturnTable {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            open: HashMap::new(),
            asked: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// An ask is about to be passed on.
    pub(crate) fn handle_ask(&mut self, ask: NewAsk) -> Result<(), NotNoted> {
        let (peer, connection) = ask.asked;
        let twice = self.open.contains_key(&(ask.id, peer))
            || self.asked.contains_key(&(ask.id, ask.asker));
        if twice {
            return Err(NotNoted::Twice);
        }
        if self.open.len() >= self.capacity {
            return Err(NotNoted::Full);
        }
        let open = OpenAsk {
            asker: ask.asker,
            connection,
            deadline: ask.deadline,
        };
        self.open.insert((ask.id, peer), open);
        self.asked.insert((ask.id, ask.asker), peer);
        let entry = (ask.deadline, ask.id, *peer.as_bytes());
        self.deadlines.insert(entry);
        Ok(())
    }

    /// A peer has answered. The asker, if this very peer was asked and nobody has answered yet.
    pub(crate) fn handle_answer(&mut self, id: Id, from: Identity) -> Option<Identity> {
        self.remove(id, from).map(|open| open.asker)
    }

    /// An asker has given up. The peer that was asked, if it has not answered.
    pub(crate) fn handle_cancel(&mut self, id: Id, asker: Identity) -> Option<Identity> {
        let peer = *self.asked.get(&(id, asker))?;
        self.remove(id, peer).map(|_| peer)
    }

    /// Ends the asks whose time is over, and yields their number.
    pub(crate) fn handle_time(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some(&(deadline, id, peer)) = self.deadlines.first()
            && deadline <= now
        {
            self.remove(id, Identity::from_bytes(peer));
            ended += 1;
        }
        ended
    }

    /// A peer that was asked has lost a connection: ends the asks that went by another one than `now`, by which it is
    /// connected, if it is. Yields their ids and askers.
    pub(crate) fn handle_asked_gone(
        &mut self,
        peer: Identity,
        now: Option<u64>,
    ) -> Vec<(Id, Identity)> {
        let of_peer = |((_, asked), open): &(&(Id, Identity), &OpenAsk)| {
            *asked == peer && Some(open.connection) != now
        };
        let gone = self.open.iter().filter(of_peer);
        let gone: Vec<_> = gone.map(|((id, _), open)| (*id, open.asker)).collect();
        for (id, _) in &gone {
            self.remove(*id, peer);
        }
        gone
    }

    /// An asker has gone: ends its asks, and yields their ids and the peers that were asked.
    pub(crate) fn handle_asker_gone(&mut self, asker: Identity) -> Vec<(Id, Identity)> {
        let gone = self.asked.iter().filter(|((_, of), _)| *of == asker);
        let gone: Vec<_> = gone.map(|((id, _), peer)| (*id, *peer)).collect();
        for (id, peer) in &gone {
            self.remove(*id, *peer);
        }
        gone
    }

    fn remove(&mut self, id: Id, peer: Identity) -> Option<OpenAsk> {
        let open = self.open.remove(&(id, peer))?;
        self.asked.remove(&(id, open.asker));
        self.deadlines
            .remove(&(open.deadline, id, *peer.as_bytes()));
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const fn peer(number: u8) -> Identity {
        Identity::from_bytes([number; 16])
    }

    fn ask(id: u8, asker: u8, asked: u8, deadline: Instant) -> NewAsk {
        NewAsk {
            id: [id; 16],
            asker: peer(asker),
            asked: (peer(asked), u64::from(asked)),
            deadline,
        }
    }

    #[test]
    fn an_answer_counts_once_and_only_from_the_peer_that_was_asked() {
        let now = Instant::now();
        let mut table = ReturnTable::new(8);
        table.handle_ask(ask(1, 10, 20, now)).unwrap();
        assert_eq!(table.handle_answer([1; 16], peer(21)), None);
        assert_eq!(table.handle_answer([2; 16], peer(20)), None);
        assert_eq!(table.handle_answer([1; 16], peer(20)), Some(peer(10)));
        assert_eq!(table.handle_answer([1; 16], peer(20)), None);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn nobody_takes_over_an_open_ask_by_its_id() {
        let now = Instant::now();
        let mut table = ReturnTable::new(8);
        table.handle_ask(ask(1, 10, 20, now)).unwrap();
        assert_eq!(
            table.handle_ask(ask(1, 11, 20, now)),
            Err(NotNoted::Twice),
            "another asker at the same peer"
        );
        assert_eq!(
            table.handle_ask(ask(1, 10, 21, now)),
            Err(NotNoted::Twice),
            "the same asker at another peer"
        );
        assert_eq!(table.handle_cancel([1; 16], peer(11)), None);
        // Ids of others are no hindrance at other peers.
        table.handle_ask(ask(1, 11, 21, now)).unwrap();
        assert_eq!(table.handle_answer([1; 16], peer(20)), Some(peer(10)));
        assert_eq!(table.handle_answer([1; 16], peer(21)), Some(peer(11)));
    }

    #[test]
    fn a_full_table_takes_an_ask_again_when_the_time_of_another_is_over() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut table = ReturnTable::new(2);
        table.handle_ask(ask(1, 10, 20, now + second)).unwrap();
        table.handle_ask(ask(2, 10, 20, now + 2 * second)).unwrap();
        let third = ask(3, 10, 20, now + 3 * second);
        assert_eq!(table.handle_ask(third), Err(NotNoted::Full));
        assert_eq!(table.handle_time(now), 0);
        assert_eq!(table.handle_time(now + second), 1);
        table.handle_ask(third).unwrap();
        assert_eq!(table.handle_answer([1; 16], peer(20)), None);
    }

    #[test]
    fn the_asks_of_a_peer_end_with_the_connection_by_which_it_was_asked() {
        let now = Instant::now();
        let mut table = ReturnTable::new(8);
        table.handle_ask(ask(1, 10, 20, now)).unwrap();
        table.handle_ask(ask(2, 11, 21, now)).unwrap();
        assert_eq!(table.handle_asked_gone(peer(20), Some(20)), []);
        let gone = table.handle_asked_gone(peer(20), Some(99));
        assert_eq!(gone, [([1; 16], peer(10))]);
        assert_eq!(
            table.handle_asker_gone(peer(11)),
            [([2; 16], peer(21))],
            "and with their asker"
        );
        assert_eq!(table.len(), 0);
    }

    proptest! {
        /// Beside a plain list of what is open.
        #[test]
        fn whatever_happens_an_answer_goes_to_whom_a_list_says(
            steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..4, 0_u8..4), 0..200)
        ) {
            let begin = Instant::now();
            let mut table = ReturnTable::new(6);
            let mut list: Vec<(u8, u8, u8, Instant)> = Vec::new();
            for (step, (kind, id, asker, asked)) in steps.into_iter().enumerate() {
                let now = begin + Duration::from_millis(step as u64);
                match kind {
                    0 | 1 => {
                        let deadline = now + Duration::from_millis(u64::from(asker) * 20);
                        let twice = list.iter().any(|open| {
                            open.0 == id && (open.1 == asker || open.2 == asked)
                        });
                        let expected = match twice {
                            true => Err(NotNoted::Twice),
                            false if list.len() == 6 => Err(NotNoted::Full),
                            false => {
                                list.push((id, asker, asked, deadline));
                                Ok(())
                            }
                        };
                        prop_assert_eq!(table.handle_ask(ask(id, asker, asked, deadline)), expected);
                    }
                    2 => {
                        let at = list.iter().position(|open| open.0 == id && open.2 == asked);
                        let expected = at.map(|at| peer(list.remove(at).1));
                        prop_assert_eq!(table.handle_answer([id; 16], peer(asked)), expected);
                    }
                    3 => {
                        let at = list.iter().position(|open| open.0 == id && open.1 == asker);
                        let expected = at.map(|at| peer(list.remove(at).2));
                        prop_assert_eq!(table.handle_cancel([id; 16], peer(asker)), expected);
                    }
                    4 => {
                        let before = list.len();
                        list.retain(|open| open.3 > now);
                        prop_assert_eq!(table.handle_time(now), before - list.len());
                    }
                    _ => {
                        let before = list.len();
                        list.retain(|open| open.2 != asked);
                        let gone = table.handle_asked_gone(peer(asked), None);
                        prop_assert_eq!(gone.len(), before - list.len());
                    }
                }
                prop_assert_eq!(table.len(), list.len());
                prop_assert_eq!(table.asked.len(), list.len());
                prop_assert_eq!(table.deadlines.len(), list.len());
            }
        }
    }
}
