//! What one connection has brought at least once, so that a repetition on it is known as one (WIRE §6.2).
//!
//! A sender repeats a message under the id that it has while it has seen no acknowledgement, also when nothing was
//! lost and the handler is merely slow. What is not finished is remembered however long that takes; of what is
//! finished, the last ones are.
//!
//! The ids of this crate's senders are eight bytes of their link and a running number. While they come and are
//! handled in their order, an arrival and an end cost a few instructions and no memory. Everything else goes by a
//! byte for each message, or by a hash table.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::arrival_run::{ArrivalRun, Known};
use super::dedupe_window::Sighting;
use super::id_hashing::IdHashing;
use super::id_run::{IdRun, split};
use crate::id::MessageId;
use crate::wire::Verdict;

/// Finished messages that are remembered, if there is room for as many.
pub(crate) const REMEMBERED: usize = 1024;

/// From this length on, it is worth a look at all that is remembered where the next run may meet it.
const LONG_RUN: usize = 64;

/// Bytes that a place in the hash table costs.
const HASHED_BYTES: usize = 24;

/// A message that has come before: its place among those of one read that want an acknowledgement.
pub(crate) type Repetition = (usize, MessageId, Sighting);

/// The messages of one connection that want an acknowledgement.
#[derive(Debug)]
pub(crate) struct Arrivals {
    run: ArrivalRun,
    /// Whether the others may be ids that the run comes to.
    overlaps: bool,
    others: HashMap<MessageId, Known, IdHashing>,
    /// Those of the others that are finished, in the order in which they were.
    finished: VecDeque<MessageId>,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self {
            run: ArrivalRun::default(),
            overlaps: false,
            others: HashMap::default(),
            finished: VecDeque::new(),
        }
    }

    /// Messages have come, in this order. Notes those that came before in `again`; the others are in hand
    /// from now on.
    pub(crate) fn handle_arrivals(&mut self, runs: &[IdRun], again: &mut Vec<Repetition>) {
        let mut place = 0;
        for run in runs {
            if !self.overlaps && self.run.continues_with(run) {
                self.run.append(run);
                place += run.len();
                continue;
            }
            for id in run.ids() {
                match self.handle_arrival(id) {
                    Sighting::New => {}
                    sighting => again.push((place, id, sighting)),
                }
                place += 1;
            }
        }
    }

    fn handle_arrival(&mut self, id: MessageId) -> Sighting {
        let (prefix, number) = split(id);
        let known = self.run.get(prefix, number);
        match known.or_else(|| self.others.get(&id).copied()) {
            Some(None) => return Sighting::InHand,
            Some(Some(verdict)) => return Sighting::Finished(verdict),
            None => {}
        }
        if !self.run.insert(prefix, number) {
            if self.run.is_beyond(prefix, number) {
                self.others.insert(id, None);
            } else {
                self.begin_run(prefix, number);
            }
        }
        Sighting::New
    }

    /// The ids go on elsewhere. Where that happens again and again, nobody looks whether they were there before.
    fn begin_run(&mut self, prefix: u64, number: u64) {
        let was_long = self.run.len() >= LONG_RUN;
        self.dissolve_run();
        let is_known = |id: &MessageId| split(*id).0 == prefix;
        self.overlaps = !self.others.is_empty() && (!was_long || self.others.keys().any(is_known));
        self.run = ArrivalRun::beginning_with(prefix, number);
    }

    /// Messages are finished. The last `keep` are remembered, and at most three times as many.
    #[inline]
    pub(crate) fn handle_finished(&mut self, ids: &[MessageId], verdict: Verdict, keep: usize) {
        let next = match verdict {
            Ok(()) => self.run.finish_next(ids),
            Err(_) => 0,
        };
        if next < ids.len() {
            self.finish_one_by_one(&ids[next..], verdict, keep);
        }
        if self.run.finished() > keep {
            for id in self.run.forget_above(keep) {
                self.others.insert(id, None);
            }
        }
    }

    #[cold]
    fn finish_one_by_one(&mut self, ids: &[MessageId], verdict: Verdict, keep: usize) {
        for &id in ids {
            let (prefix, number) = split(id);
            if !self.run.finish_in_order(prefix, number, verdict) {
                self.finish_out_of_order(id, verdict, keep);
            }
        }
    }

    fn finish_out_of_order(&mut self, id: MessageId, verdict: Verdict, keep: usize) {
        let (prefix, number) = split(id);
        if self.run.take_in_hand(prefix, number) {
            self.others.insert(id, Some(verdict));
        } else {
            match self.others.get_mut(&id) {
                Some(open @ None) => *open = Some(verdict),
                // It was finished before, or is none of this connection.
                Some(Some(_)) | None => return,
            }
        }
        self.remember(id, keep);
    }

    /// One of the others is finished. Those that a run leaves may be behind others that were finished after them;
    /// with twice as many as are to be remembered, no late one goes for their sake.
    fn remember(&mut self, id: MessageId, keep: usize) {
        self.finished.push_back(id);
        while self.finished.len() > 2 * keep {
            if let Some(oldest) = self.finished.pop_front() {
                self.others.remove(&oldest);
            }
        }
    }

    /// A message was dropped before anybody could handle it: if it comes again, it is new. False if it was not in hand.
    pub(crate) fn handle_loss(&mut self, id: MessageId) -> bool {
        let (prefix, number) = split(id);
        if self.run.take_in_hand(prefix, number) {
            return true;
        }
        match self.others.entry(id) {
            Entry::Occupied(known) if known.get().is_none() => {
                known.remove();
                true
            }
            Entry::Occupied(_) | Entry::Vacant(_) => false,
        }
    }

    /// What is known of the run is kept with the others.
    fn dissolve_run(&mut self) {
        while let Some((id, known)) = self.run.pop() {
            let Some(verdict) = known else { continue };
            self.others.insert(id, verdict);
            if verdict.is_some() {
                self.remember(id, REMEMBERED);
            }
        }
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let hashed = self.others.capacity() * HASHED_BYTES;
        let order = self.finished.capacity() * size_of::<MessageId>();
        size_of::<Self>() + self.run.bytes() + hashed + order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::id_run::join;
    use super::*;
    use crate::wire::NotHandled;

    fn runs(ids: &[MessageId]) -> Vec<IdRun> {
        let mut runs: Vec<IdRun> = Vec::new();
        for &id in ids {
            if !runs.last_mut().is_some_and(|run| run.extend(id)) {
                runs.push(IdRun::new(id));
            }
        }
        runs
    }

    fn numbers(range: std::ops::Range<u64>) -> Vec<MessageId> {
        range.map(|number| join(7, number)).collect()
    }

    fn arrive(arrivals: &mut Arrivals, ids: &[MessageId]) -> Vec<Repetition> {
        let mut again = Vec::new();
        arrivals.handle_arrivals(&runs(ids), &mut again);
        again
    }

    #[test]
    fn a_message_is_new_once_then_in_hand_then_finished_with_what_became_of_it() {
        for ids in [numbers(5..8), vec![join(3, 9), join(1, 1), join(2, 9)]] {
            let mut arrivals = Arrivals::new();
            assert_eq!(arrive(&mut arrivals, &ids), []);
            let again = arrive(&mut arrivals, &ids[1..2]);
            assert_eq!(again, [(0, ids[1], Sighting::InHand)]);
            arrivals.handle_finished(&ids[..1], Ok(()), 9);
            arrivals.handle_finished(&ids[1..2], Err(NotHandled::Poison), 9);
            let poison = Sighting::Finished(Err(NotHandled::Poison));
            let again = arrive(&mut arrivals, &[join(4, 4), ids[1], ids[2], ids[0]]);
            assert_eq!(
                again,
                [
                    (1, ids[1], poison),
                    (2, ids[2], Sighting::InHand),
                    (3, ids[0], Sighting::Finished(Ok(()))),
                ]
            );
        }
    }

    #[test]
    fn one_that_is_finished_long_after_its_successors_is_remembered_from_then_on() {
        let mut arrivals = Arrivals::new();
        let ids = numbers(0..3000);
        assert_eq!(arrive(&mut arrivals, &ids), []);
        arrivals.handle_finished(&ids[1..], Ok(()), REMEMBERED);
        let again = arrive(&mut arrivals, &ids[..1]);
        assert_eq!(again, [(0, ids[0], Sighting::InHand)]);
        arrivals.handle_finished(&ids[..1], Ok(()), REMEMBERED);
        let finished = Sighting::Finished(Ok(()));
        assert_eq!(arrive(&mut arrivals, &ids[..1]), [(0, ids[0], finished)]);
        let last = arrive(&mut arrivals, &ids[3000 - REMEMBERED..]);
        assert_eq!(last.len(), REMEMBERED);
    }

    #[test]
    fn what_was_dropped_unhandled_is_new_again() {
        let mut arrivals = Arrivals::new();
        for ids in [numbers(0..2), vec![join(3, 9), join(1, 1)]] {
            arrive(&mut arrivals, &ids);
            arrivals.handle_loss(ids[0]);
            assert_eq!(arrive(&mut arrivals, &ids[..1]), []);
            arrivals.handle_finished(&ids[..1], Ok(()), 9);
            arrivals.handle_loss(ids[0]);
            assert_eq!(arrive(&mut arrivals, &ids[..1]).len(), 1);
        }
    }

    #[test]
    fn a_sender_that_counts_costs_no_memory_for_its_messages_and_a_byte_for_each_after_a_disorder()
    {
        let mut arrivals = Arrivals::new();
        let mut pass = |rounds: std::ops::Range<u64>| {
            for round in rounds {
                let ids = numbers(500 * round..500 * (round + 1));
                assert_eq!(arrive(&mut arrivals, &ids), []);
                let (first, others) = ids.split_at(1);
                if round == 2000 {
                    arrivals.handle_finished(first, Err(NotHandled::Poison), REMEMBERED);
                } else {
                    arrivals.handle_finished(first, Ok(()), REMEMBERED);
                }
                arrivals.handle_finished(others, Ok(()), REMEMBERED);
            }
            arrivals.bytes()
        };
        assert_eq!(pass(0..2000), size_of::<Arrivals>());
        let after = pass(2000..2010);
        assert!(after <= 4 * REMEMBERED, "{after}");
    }

    #[test]
    fn a_run_is_plain_again_once_the_last_disorder_is_forgotten() {
        let mut run = ArrivalRun::beginning_with(7, 0);
        let finish = |run: &mut ArrivalRun, number, verdict| {
            assert!(number == 0 || run.insert(7, number));
            assert!(run.finish_in_order(7, number, verdict));
            assert_eq!(run.forget_above(3), []);
        };
        for number in 0..10 {
            finish(&mut run, number, Ok(()));
        }
        assert!(run.is_plain());
        finish(&mut run, 10, Err(NotHandled::Rejected));
        for number in 11..13 {
            finish(&mut run, number, Ok(()));
            assert!(!run.is_plain());
        }
        assert_eq!(run.get(7, 10), Some(Some(Err(NotHandled::Rejected))));
        finish(&mut run, 13, Ok(()));
        assert!(run.is_plain());
        let known: Vec<_> = (10..15).map(|number| run.get(7, number)).collect();
        let handled = Some(Some(Ok(())));
        assert_eq!(known, [None, handled, handled, handled, None]);
    }

    #[test]
    fn whatever_ids_come_what_is_remembered_is_bounded() {
        let strange: [fn(u64) -> MessageId; 4] = [
            |n| join(n, n),
            |n| join(7, n * 9),
            |n| join(7, u64::MAX - n),
            |n| join(n % 2, n * 3),
        ];
        for id in strange {
            let mut arrivals = Arrivals::new();
            for n in 0..20_000 {
                arrive(&mut arrivals, &[id(n)]);
                arrivals.handle_finished(&[id(n)], Ok(()), REMEMBERED);
            }
            assert!(arrivals.bytes() <= 256 * 1024, "{}", arrivals.bytes());
        }
    }

    #[derive(Debug, Clone)]
    enum Fact {
        Arrival(Vec<(u8, u8)>),
        Finish(u8, u8),
        Loss(u8, u8),
    }

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let id = || (0..3_u8, 0..40_u8);
        let row = (0..3_u8, 0..36_u8, 1..5_u8);
        let row =
            row.prop_map(|(prefix, first, n)| (first..first + n).map(|i| (prefix, i)).collect());
        let fact = prop_oneof![
            3 => row.prop_map(Fact::Arrival),
            1 => prop::collection::vec(id(), 1..5).prop_map(Fact::Arrival),
            5 => id().prop_map(|(p, n)| Fact::Finish(p, n)),
            1 => id().prop_map(|(p, n)| Fact::Loss(p, n)),
        ];
        prop::collection::vec(fact, 0..200)
    }

    proptest! {
        /// The model remembers everything. What is in hand, and the last that were finished, must agree with it;
        /// of what was finished earlier nothing is promised but that it is not taken for something else.
        #[test]
        fn it_agrees_with_a_list(facts in facts(), keep in 1..20_usize) {
            let mut arrivals = Arrivals::new();
            let mut in_hand: Vec<MessageId> = Vec::new();
            let mut finished: Vec<MessageId> = Vec::new();
            for fact in facts {
                match fact {
                    Fact::Arrival(ids) => {
                        let ids: Vec<_> = ids.into_iter().map(|(p, n)| join(p.into(), n.into())).collect();
                        let again = arrive(&mut arrivals, &ids);
                        for (place, id) in ids.into_iter().enumerate() {
                            let said = again.iter().find(|(at, ..)| *at == place);
                            let said = said.map_or(Sighting::New, |(_, _, sighting)| *sighting);
                            if in_hand.contains(&id) {
                                prop_assert_eq!(said, Sighting::InHand);
                                continue;
                            }
                            let age = finished.iter().rev().position(|&other| other == id);
                            if age.is_some_and(|age| age < keep) {
                                prop_assert_eq!(said, Sighting::Finished(Ok(())));
                            } else if said == Sighting::New {
                                finished.retain(|&other| other != id);
                                in_hand.push(id);
                            } else {
                                prop_assert!(age.is_some());
                                prop_assert_eq!(said, Sighting::Finished(Ok(())));
                            }
                        }
                    }
                    Fact::Finish(prefix, number) => {
                        let id = join(prefix.into(), number.into());
                        arrivals.handle_finished(&[id], Ok(()), keep);
                        if in_hand.contains(&id) {
                            in_hand.retain(|&other| other != id);
                            finished.push(id);
                        }
                    }
                    Fact::Loss(prefix, number) => {
                        let id = join(prefix.into(), number.into());
                        arrivals.handle_loss(id);
                        in_hand.retain(|&other| other != id);
                    }
                }
            }
        }
    }
}
