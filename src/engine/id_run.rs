//! Messages whose ids follow each other, as those of this crate's senders do: a byte for each, and no hashing.

use std::collections::VecDeque;

use crate::id::MessageId;
use crate::wire::{NotHandled, Verdict};

/// What is known of a message that has come: that it is in hand, or what became of it.
pub(super) type Known = Option<Verdict>;

/// Numbers that may be left out between two of one run.
const MAX_GAP: u64 = 8;

/// What is known of a message of the run.
const ABSENT: u8 = 0;
const IN_HAND: u8 = 1;
/// The reason why it was not handled is added; 0 if it was.
const FINISHED: u8 = 2;

/// Messages whose ids follow each other, as they were found in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdRun {
    prefix: u64,
    first: u64,
    count: u64,
}

impl IdRun {
    #[inline]
    pub(crate) fn new(id: MessageId) -> Self {
        let (prefix, first) = split(id);
        let count = 1;
        Self {
            prefix,
            first,
            count,
        }
    }

    /// Takes the next id, if it follows the others.
    #[inline]
    pub(crate) fn extend(&mut self, id: MessageId) -> bool {
        let (prefix, number) = split(id);
        let follows = prefix == self.prefix && number == self.first.wrapping_add(self.count);
        self.count += u64::from(follows);
        follows
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.count as usize
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = MessageId> {
        let Self { prefix, first, .. } = *self;
        (0..self.count).map(move |offset| join(prefix, first.wrapping_add(offset)))
    }
}

/// Messages whose ids follow each other with few gaps; those that are finished were finished in this order.
#[derive(Debug, Default)]
pub(super) struct Run {
    prefix: u64,
    base: u64,
    stages: VecDeque<u8>,
    finished: usize,
    /// Behind the last of them that was finished.
    finished_to: u64,
}

impl Run {
    pub(super) fn beginning_with(prefix: u64, number: u64) -> Self {
        Self {
            prefix,
            base: number,
            stages: VecDeque::from([IN_HAND]),
            finished: 0,
            finished_to: number,
        }
    }

    #[inline]
    fn end(&self) -> u64 {
        self.base.wrapping_add(self.stages.len() as u64)
    }

    #[inline]
    pub(super) fn continues_with(&self, run: &IdRun) -> bool {
        run.prefix == self.prefix && run.first == self.end()
    }

    #[inline]
    pub(super) fn append(&mut self, run: &IdRun) {
        let length = self.stages.len() + run.len();
        self.stages.resize(length, IN_HAND);
    }

    #[inline]
    fn index_of(&self, prefix: u64, number: u64) -> Option<usize> {
        let index = number.wrapping_sub(self.base);
        let is_here = prefix == self.prefix && index < self.stages.len() as u64;
        is_here.then_some(index as usize)
    }

    /// What is known of a message, if anything is.
    pub(super) fn get(&self, prefix: u64, number: u64) -> Option<Known> {
        known_of(self.stages[self.index_of(prefix, number)?])
    }

    /// True if the run went past this id.
    pub(super) const fn is_beyond(&self, prefix: u64, number: u64) -> bool {
        prefix == self.prefix && number < self.base
    }

    /// Places, those of gaps included.
    pub(super) fn len(&self) -> usize {
        self.stages.len()
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
        if let Some(index) = self.index_of(prefix, number) {
            self.stages[index] = IN_HAND;
            return true;
        }
        let gap = number.wrapping_sub(self.end());
        if prefix != self.prefix || gap > MAX_GAP || self.stages.is_empty() {
            return false;
        }
        self.stages.extend((0..gap).map(|_| ABSENT));
        self.stages.push_back(IN_HAND);
        true
    }

    /// A message is finished. False if it is not in hand, or one behind it was finished before it.
    #[inline]
    pub(super) fn finish_in_order(&mut self, prefix: u64, number: u64, verdict: Verdict) -> bool {
        let Some(index) = self.index_of(prefix, number) else {
            return false;
        };
        if self.stages[index] != IN_HAND || number < self.finished_to {
            return false;
        }
        self.stages[index] = FINISHED
            + match verdict {
                Ok(()) => 0,
                Err(reason) => reason.to_byte(),
            };
        self.finished += 1;
        self.finished_to = number.wrapping_add(1);
        true
    }

    /// Takes out a message that is in hand. False if it is not.
    pub(super) fn take_in_hand(&mut self, prefix: u64, number: u64) -> bool {
        match self.index_of(prefix, number) {
            Some(index) if self.stages[index] == IN_HAND => {
                self.stages[index] = ABSENT;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes out the first place, with what is known of its message, if anything is.
    pub(super) fn pop(&mut self) -> Option<(MessageId, Option<Known>)> {
        let stage = self.stages.pop_front()?;
        let id = join(self.prefix, self.base);
        self.base = self.base.wrapping_add(1);
        self.finished -= usize::from(stage >= FINISHED);
        Some((id, known_of(stage)))
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

#[inline]
pub(super) fn split(id: MessageId) -> (u64, u64) {
    let id = u128::from_be_bytes(*id.as_bytes());
    ((id >> 64) as u64, id as u64)
}

pub(super) fn join(prefix: u64, number: u64) -> MessageId {
    MessageId::from_bytes((u128::from(prefix) << 64 | u128::from(number)).to_be_bytes())
}
