//! What is known of messages whose ids follow each other. While all goes its usual way that is three numbers, and
//! otherwise a byte for each.

use std::collections::VecDeque;

use super::id_run::{IdRun, count_in_order, join};
use crate::id::MessageId;
use crate::wire::{NotHandled, Verdict};

/// What is known of a message that has come: that it is in hand, or what became of it.
pub(super) type Known = Option<Verdict>;

/// Numbers that may be left out between two of one run.
const MAX_GAP: u64 = 8;

/// What is known of a message, where each has a byte.
const ABSENT: u8 = 0;
const IN_HAND: u8 = 1;
/// The reason why it was not handled is added; 0 if it was.
const FINISHED: u8 = 2;

/// Messages whose ids follow each other with few gaps; those that are finished were finished in this order.
///
/// A run is plain while none is left out, none was refused, and none was finished before an earlier one: then
/// those up to `finished_to` are finished, and the others in hand. Of any other run, `stages` has a byte for each.
#[derive(Debug, Default)]
pub(super) struct ArrivalRun {
    prefix: u64,
    base: u64,
    /// Places, those of gaps included.
    len: usize,
    finished: usize,
    /// The place behind the last that was finished.
    finished_to: usize,
    /// Empty while the run is plain.
    stages: VecDeque<u8>,
    /// From this place on, the run is as a plain one.
    plain_from: usize,
}

impl ArrivalRun {
    pub(super) fn beginning_with(prefix: u64, number: u64) -> Self {
        Self {
            prefix,
            base: number,
            len: 1,
            ..Self::default()
        }
    }

    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.stages.is_empty()
    }

    /// The number at a place.
    #[inline]
    fn number_at(&self, place: usize) -> u64 {
        self.base.wrapping_add(place as u64)
    }

    #[inline]
    pub(super) fn continues_with(&self, run: &IdRun) -> bool {
        run.prefix() == self.prefix && run.first() == self.number_at(self.len)
    }

    #[inline]
    pub(super) fn append(&mut self, run: &IdRun) {
        self.len += run.len();
        if !self.is_plain() {
            self.stages.resize(self.len, IN_HAND);
        }
    }

    #[inline]
    fn place_of(&self, prefix: u64, number: u64) -> Option<usize> {
        let place = number.wrapping_sub(self.base);
        let is_here = prefix == self.prefix && place < self.len as u64;
        is_here.then_some(place as usize)
    }

    /// What is known of a message, if anything is.
    pub(super) fn get(&self, prefix: u64, number: u64) -> Option<Known> {
        known_of(self.stage_at(self.place_of(prefix, number)?))
    }

    fn stage_at(&self, place: usize) -> u8 {
        match self.stages.get(place) {
            Some(&stage) => stage,
            None if place < self.finished_to => FINISHED,
            None => IN_HAND,
        }
    }

    /// True if the run went past this id.
    pub(super) const fn is_beyond(&self, prefix: u64, number: u64) -> bool {
        prefix == self.prefix && number < self.base
    }

    /// Places, those of gaps included.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Messages that are finished.
    #[inline]
    pub(super) const fn finished(&self) -> usize {
        self.finished
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.stages.capacity()
    }

    /// Takes a message in hand that is not known. False if its id is not of this run.
    pub(super) fn insert(&mut self, prefix: u64, number: u64) -> bool {
        if let Some(place) = self.place_of(prefix, number) {
            self.set(place, IN_HAND);
            return true;
        }
        let gap = number.wrapping_sub(self.number_at(self.len));
        if prefix != self.prefix || gap > MAX_GAP || self.len == 0 {
            return false;
        }
        for _ in 0..gap {
            self.len += 1;
            self.set(self.len - 1, ABSENT);
        }
        self.len += 1;
        if !self.is_plain() {
            self.stages.push_back(IN_HAND);
        }
        true
    }

    /// Messages are handled. Yields how many of them, from the first on, are noted now: those that are next in a plain
    /// run.
    #[inline]
    pub(super) fn finish_next(&mut self, ids: &[MessageId]) -> usize {
        if !self.is_plain() {
            return 0;
        }
        let in_hand = &ids[..ids.len().min(self.len - self.finished_to)];
        let count = count_in_order(self.prefix, self.number_at(self.finished_to), in_hand);
        self.finished_to += count;
        self.finished += count;
        count
    }

    /// A message is finished. False if it is not in hand, or one behind it was finished before it.
    pub(super) fn finish_in_order(&mut self, prefix: u64, number: u64, verdict: Verdict) -> bool {
        let Some(place) = self.place_of(prefix, number) else {
            return false;
        };
        if self.stage_at(place) != IN_HAND || place < self.finished_to {
            return false;
        }
        let reason = verdict.map_or_else(NotHandled::to_byte, |()| 0);
        if place > self.finished_to || verdict.is_err() {
            self.set(place, FINISHED + reason);
        } else if let Some(stage) = self.stages.get_mut(place) {
            *stage = FINISHED;
        }
        self.finished += 1;
        self.finished_to = place + 1;
        true
    }

    /// Takes out a message that is in hand. False if it is not.
    pub(super) fn take_in_hand(&mut self, prefix: u64, number: u64) -> bool {
        match self.place_of(prefix, number) {
            Some(place) if self.stage_at(place) == IN_HAND => {
                self.set(place, ABSENT);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes a stage. The run is no longer plain up to there.
    fn set(&mut self, place: usize, stage: u8) {
        if self.is_plain() {
            self.stages.resize(self.finished_to, FINISHED);
        }
        self.stages.resize(self.len, IN_HAND);
        self.stages[place] = stage;
        self.plain_from = self.plain_from.max(place + 1);
    }

    /// Forgets what was finished first, until so many finished messages are left. Yields the messages before it
    /// that are still in hand.
    #[inline]
    pub(super) fn forget_above(&mut self, keep: usize) -> Vec<MessageId> {
        if self.is_plain() {
            let forgotten = self.finished.saturating_sub(keep);
            self.skip(forgotten);
            self.finished -= forgotten;
            return Vec::new();
        }
        self.forget_stages_above(keep)
    }

    #[cold]
    fn forget_stages_above(&mut self, keep: usize) -> Vec<MessageId> {
        let mut in_hand = Vec::new();
        while self.finished > keep
            && let Some((id, known)) = self.pop()
        {
            if known == Some(None) {
                in_hand.push(id);
            }
        }
        if self.plain_from == 0 {
            self.stages.clear();
        }
        in_hand
    }

    /// Takes out the first place, with what is known of its message, if anything is.
    pub(super) fn pop(&mut self) -> Option<(MessageId, Option<Known>)> {
        if self.len == 0 {
            return None;
        }
        let (id, stage) = (join(self.prefix, self.base), self.stage_at(0));
        self.stages.pop_front();
        self.skip(1);
        self.finished -= usize::from(stage >= FINISHED);
        Some((id, known_of(stage)))
    }

    /// So many places at the beginning are gone.
    #[inline]
    fn skip(&mut self, places: usize) {
        self.base = self.number_at(places);
        self.len -= places;
        self.finished_to = self.finished_to.saturating_sub(places);
        self.plain_from = self.plain_from.saturating_sub(places);
    }
}

fn known_of(stage: u8) -> Option<Known> {
    match stage {
        ABSENT => None,
        IN_HAND => Some(None),
        FINISHED => Some(Some(Ok(()))),
        refused => Some(Some(Err(NotHandled::from_byte(refused - FINISHED)))),
    }
}
