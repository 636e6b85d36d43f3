//! Memory of the messages that one peer has sent at least once lately (WIRE §6.2), by which repetitions are found.
//!
//! A peer resends a message, under the same id, when it did not see the acknowledgement. The answer to a
//! repetition depends on how far the first copy has come.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::id::MessageId;
use crate::wire::Verdict;

/// Result of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// The message is new, or was forgotten: deliver it.
    New,
    /// An earlier copy is being handled: that one will be acknowledged.
    InHand,
    /// An earlier copy is finished, and its acknowledgement was lost: acknowledge it again, with what became
    /// of it.
    Finished(Verdict),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SightingStage {
    /// An earlier start of the socket had it in hand when it ended, and it has not come again yet.
    Abandoned,
    /// `again` if an earlier start had it in hand as well.
    InHand {
        again: bool,
    },
    Finished(Verdict),
}

/// The ids of one peer's messages: those in hand, however long that takes, and those that were
/// finished within the window. Times are what has passed since the socket started.
#[derive(Debug)]
pub(crate) struct DedupeWindow {
    window: Duration,
    stages: HashMap<MessageId, SightingStage>,
    /// In the order in which they were finished, each with the time at which it is forgotten.
    finished: VecDeque<(Duration, MessageId)>,
    /// The same for those that an earlier start had in hand.
    abandoned: VecDeque<(Duration, MessageId)>,
    /// Ids that were forgotten, where somebody asks for them.
    forgotten: Option<Vec<MessageId>>,
}

impl DedupeWindow {
    /// Remembers finished messages for `window`.
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window,
            stages: HashMap::new(),
            finished: VecDeque::new(),
            abandoned: VecDeque::new(),
            forgotten: None,
        }
    }

    /// Notes from now on which messages are forgotten, for [`take_forgotten`](Self::take_forgotten).
    pub(crate) fn keep_forgotten(&mut self) {
        self.forgotten.get_or_insert_default();
    }

    /// The messages that were forgotten since the last call.
    pub(crate) fn take_forgotten(&mut self) -> Vec<MessageId> {
        self.forgotten
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Remembers a message of an earlier start, which came or was finished `age` ago: what became of it, or that it was in hand.
    /// They are restored in the order of their ages, the oldest first, before any message has come.
    pub(crate) fn restore(&mut self, age: Duration, id: MessageId, verdict: Option<Verdict>) {
        let Some(until) = self.window.checked_sub(age) else {
            self.note_forgotten(id);
            return;
        };
        let (stage, queue) = match verdict {
            Some(verdict) => (SightingStage::Finished(verdict), &mut self.finished),
            None => (SightingStage::Abandoned, &mut self.abandoned),
        };
        self.stages.insert(id, stage);
        queue.push_back((until, id));
    }

    /// True if an earlier start had a message in hand that is in hand now.
    pub(crate) fn is_again(&self, id: MessageId) -> bool {
        self.stages.get(&id) == Some(&SightingStage::InHand { again: true })
    }

    /// Messages that it knows.
    pub(crate) fn len(&self) -> usize {
        self.stages.len()
    }

    /// A message has come. If it is new, it is in hand from now on.
    pub(crate) fn handle_arrival(&mut self, now: Duration, id: MessageId) -> Sighting {
        self.forget_old(now);
        match self.stages.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(SightingStage::InHand { again: false });
                Sighting::New
            }
            Entry::Occupied(mut entry) => match entry.get() {
                SightingStage::Abandoned => {
                    entry.insert(SightingStage::InHand { again: true });
                    Sighting::New
                }
                SightingStage::InHand { .. } => Sighting::InHand,
                &SightingStage::Finished(verdict) => Sighting::Finished(verdict),
            },
        }
    }

    /// A message is finished. At most `count` finished ones are remembered.
    pub(crate) fn handle_finish(
        &mut self,
        now: Duration,
        id: MessageId,
        verdict: Verdict,
        count: usize,
    ) {
        let before = self.stages.insert(id, SightingStage::Finished(verdict));
        if !matches!(before, Some(SightingStage::Finished(_))) {
            self.finished
                .push_back((now.saturating_add(self.window), id));
        }
        self.forget_old(now);
        self.forget_above(count);
    }

    /// A message was dropped before anybody could handle it: if it comes again, it is new.
    pub(crate) fn handle_loss(&mut self, id: MessageId) {
        if let Some(SightingStage::InHand { .. }) = self.stages.get(&id) {
            self.stages.remove(&id);
            self.note_forgotten(id);
        }
    }

    /// Time has passed, and the count may have become smaller. Gives memory back.
    pub(crate) fn handle_sweep(&mut self, now: Duration, count: usize) {
        self.forget_old(now);
        self.forget_above(count);
        if self.stages.capacity() > 64 && self.stages.len() < self.stages.capacity() / 4 {
            self.stages.shrink_to_fit();
            self.finished.shrink_to_fit();
            self.abandoned.shrink_to_fit();
        }
    }

    /// True if there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some(&(until, id)) = self.finished.front()
            && now > until
        {
            self.finished.pop_front();
            self.forget_finished(id);
        }
        while let Some(&(until, id)) = self.abandoned.front()
            && now > until
        {
            self.abandoned.pop_front();
            self.forget_abandoned(id);
        }
    }

    fn forget_above(&mut self, count: usize) {
        while self.finished.len() > count {
            let Some((_, id)) = self.finished.pop_front() else {
                return;
            };
            self.forget_finished(id);
        }
        while self.abandoned.len() > count {
            let Some((_, id)) = self.abandoned.pop_front() else {
                return;
            };
            self.forget_abandoned(id);
        }
    }

    fn forget_finished(&mut self, id: MessageId) {
        self.stages.remove(&id);
        self.note_forgotten(id);
    }

    /// It may have come again, and is in hand or finished then.
    fn forget_abandoned(&mut self, id: MessageId) {
        if self.stages.get(&id) == Some(&SightingStage::Abandoned) {
            self.stages.remove(&id);
            self.note_forgotten(id);
        }
    }

    fn note_forgotten(&mut self, id: MessageId) {
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::NotHandled;

    const WINDOW: Duration = Duration::from_secs(10);

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_message_is_new_once_then_in_hand_then_finished() {
        let mut recent = DedupeWindow::new(WINDOW);
        assert_eq!(recent.handle_arrival(secs(0), id(1)), Sighting::New);
        assert_eq!(recent.handle_arrival(secs(0), id(1)), Sighting::InHand);
        recent.handle_finish(secs(0), id(1), Ok(()), 4);
        assert_eq!(
            recent.handle_arrival(secs(0), id(1)),
            Sighting::Finished(Ok(()))
        );
        assert_eq!(recent.handle_arrival(secs(0), id(2)), Sighting::New);
    }

    #[test]
    fn what_was_finished_is_forgotten_after_the_window_and_what_is_in_hand_never() {
        let mut recent = DedupeWindow::new(WINDOW);
        recent.handle_arrival(secs(0), id(1));
        recent.handle_arrival(secs(0), id(2));
        recent.handle_finish(secs(5), id(1), Ok(()), 4);
        assert_eq!(
            recent.handle_arrival(secs(15), id(1)),
            Sighting::Finished(Ok(()))
        );
        assert_eq!(recent.handle_arrival(secs(16), id(1)), Sighting::New);
        assert_eq!(recent.handle_arrival(secs(9999), id(2)), Sighting::InHand);
    }

    #[test]
    fn the_count_forgets_what_was_finished_first_and_nothing_in_hand() {
        let mut recent = DedupeWindow::new(WINDOW);
        for n in 1..=9 {
            recent.handle_arrival(secs(0), id(n));
        }
        for n in 1..=4 {
            recent.handle_finish(secs(0), id(n), Ok(()), 3);
        }
        assert_eq!(recent.handle_arrival(secs(0), id(1)), Sighting::New);
        assert_eq!(
            recent.handle_arrival(secs(0), id(2)),
            Sighting::Finished(Ok(()))
        );
        assert_eq!(recent.handle_arrival(secs(0), id(9)), Sighting::InHand);
        recent.handle_sweep(secs(0), 1);
        assert_eq!(recent.handle_arrival(secs(0), id(3)), Sighting::New);
        assert_eq!(
            recent.handle_arrival(secs(0), id(4)),
            Sighting::Finished(Ok(()))
        );
    }

    #[test]
    fn what_was_dropped_unhandled_is_new_again_and_what_was_finished_is_not() {
        let mut recent = DedupeWindow::new(WINDOW);
        recent.handle_arrival(secs(0), id(1));
        recent.handle_loss(id(1));
        assert!(recent.is_empty());
        assert_eq!(recent.handle_arrival(secs(0), id(1)), Sighting::New);
        recent.handle_finish(secs(0), id(1), Ok(()), 4);
        recent.handle_loss(id(1));
        assert_eq!(
            recent.handle_arrival(secs(0), id(1)),
            Sighting::Finished(Ok(()))
        );
    }

    #[test]
    fn what_an_earlier_start_had_in_hand_is_new_and_known_as_delivered_before() {
        let mut recent = DedupeWindow::new(WINDOW);
        recent.keep_forgotten();
        recent.restore(secs(8), id(1), None);
        recent.restore(secs(8), id(2), Some(Ok(())));
        recent.restore(secs(4), id(3), None);
        assert_eq!(recent.handle_arrival(secs(1), id(1)), Sighting::New);
        assert_eq!(recent.handle_arrival(secs(1), id(1)), Sighting::InHand);
        assert_eq!(
            recent.handle_arrival(secs(2), id(2)),
            Sighting::Finished(Ok(()))
        );
        assert!(recent.is_again(id(1)) && !recent.is_again(id(2)) && !recent.is_again(id(3)));
        // What was finished is forgotten by its age, which goes on over a restart, and what is in hand is not.
        recent.handle_sweep(secs(3), 4);
        assert_eq!(recent.take_forgotten(), [id(2)]);
        assert!(recent.is_again(id(1)));
        recent.handle_finish(secs(3), id(1), Ok(()), 4);
        recent.handle_sweep(secs(7), 4);
        assert_eq!(recent.take_forgotten(), [id(3)]);
        assert_eq!(
            recent.handle_arrival(secs(13), id(1)),
            Sighting::Finished(Ok(()))
        );
        recent.handle_arrival(secs(13), id(4));
        assert!(!recent.is_again(id(4)));
        recent.handle_loss(id(4));
        recent.handle_sweep(secs(14), 4);
        assert_eq!(recent.take_forgotten(), [id(4), id(1)]);
        assert!(recent.is_empty());
    }

    #[test]
    fn the_count_bounds_what_earlier_starts_had_in_hand() {
        let mut recent = DedupeWindow::new(WINDOW);
        for n in 1..=5 {
            recent.restore(secs(1), id(n), None);
        }
        recent.handle_sweep(secs(0), 2);
        assert_eq!(recent.len(), 2);
        recent.handle_arrival(secs(0), id(5));
        assert!(recent.is_again(id(5)) && !recent.is_again(id(1)));
    }

    #[derive(Debug, Clone, Copy)]
    enum Fact {
        Arrival(u8),
        Finish(u8),
        Loss(u8),
        Pass(u64),
        Sweep(usize),
    }

    fn facts() -> impl Strategy<Value = Vec<Fact>> {
        let fact = prop_oneof![
            4 => (0..12_u8).prop_map(Fact::Arrival),
            4 => (0..12_u8).prop_map(Fact::Finish),
            1 => (0..12_u8).prop_map(Fact::Loss),
            1 => (0..7_u64).prop_map(Fact::Pass),
            1 => (0..5_usize).prop_map(Fact::Sweep),
        ];
        prop::collection::vec(fact, 0..200)
    }

    /// One message of the model: its id, and when it was finished, if it was.
    type Known = (u8, Option<Duration>);

    /// Lets the model forget: first by age, then all finished ones but the last `count`.
    fn forget(known: &mut Vec<Known>, now: Duration, count: usize) {
        known.retain(|(_, finished)| finished.is_none_or(|when| now - when <= WINDOW));
        let mut surplus = known
            .iter()
            .filter(|(_, finished)| finished.is_some())
            .count()
            .saturating_sub(count);
        known.retain(|(_, finished)| {
            let goes = finished.is_some() && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// The verdict on each message of the model.
    fn verdict_of(n: u8) -> Verdict {
        match n % 3 {
            0 => Err(NotHandled::Poison),
            _ => Ok(()),
        }
    }

    proptest! {
        /// The model is a list that is searched from its front, in which what is finished stands
        /// in the order of finishing.
        #[test]
        fn the_window_agrees_with_a_list(facts in facts()) {
            const COUNT: usize = 4;
            let mut recent = DedupeWindow::new(WINDOW);
            let mut known: Vec<Known> = Vec::new();
            let mut now = Duration::ZERO;
            for fact in facts {
                match fact {
                    Fact::Pass(seconds) => now += secs(seconds),
                    Fact::Arrival(n) => {
                        forget(&mut known, now, usize::MAX);
                        let expected = match known.iter().find(|(other, _)| *other == n) {
                            Some((_, None)) => Sighting::InHand,
                            Some((_, Some(_))) => Sighting::Finished(verdict_of(n)),
                            None => {
                                known.push((n, None));
                                Sighting::New
                            }
                        };
                        prop_assert_eq!(recent.handle_arrival(now, id(n)), expected);
                    }
                    Fact::Finish(n) => {
                        recent.handle_finish(now, id(n), verdict_of(n), COUNT);
                        let again = known.iter().any(|(other, when)| *other == n && when.is_some());
                        if !again {
                            known.retain(|(other, _)| *other != n);
                            known.push((n, Some(now)));
                        }
                        forget(&mut known, now, COUNT);
                    }
                    Fact::Loss(n) => {
                        recent.handle_loss(id(n));
                        known.retain(|(other, when)| *other != n || when.is_some());
                    }
                    Fact::Sweep(count) => {
                        recent.handle_sweep(now, count);
                        forget(&mut known, now, count);
                    }
                }
                prop_assert_eq!(recent.stages.len(), known.len());
                prop_assert_eq!(recent.is_empty(), known.is_empty());
                let finished = known.iter().filter(|(_, when)| when.is_some()).count();
                prop_assert_eq!(recent.finished.len(), finished);
            }
        }
    }
}
