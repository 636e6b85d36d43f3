//! Ids that follow each other, as those of this crate's senders do.

use crate::id::MessageId;

/// Ids that follow each other, as they were found in one read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
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
        let follows = id == join(self.prefix, self.first.wrapping_add(self.count));
        if follows {
            self.count += 1;
        }
        follows
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub(super) const fn prefix(&self) -> u64 {
        self.prefix
    }

    #[inline]
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = MessageId> {
        let Self { prefix, first, .. } = *self;
        (0..self.count).map(move |offset| join(prefix, first.wrapping_add(offset)))
    }
}

/// How many of these ids, from the first on, are the numbers from `first` on.
#[inline]
pub(super) fn count_in_order(prefix: u64, first: u64, ids: &[MessageId]) -> usize {
    let follows = |(place, id): (u64, &MessageId)| *id == join(prefix, first.wrapping_add(place));
    (0..).zip(ids).take_while(|&it| follows(it)).count()
}

#[inline]
pub(super) fn split(id: MessageId) -> (u64, u64) {
    let id = u128::from_be_bytes(*id.as_bytes());
    ((id >> 64) as u64, id as u64)
}

#[inline]
pub(super) fn join(prefix: u64, number: u64) -> MessageId {
    MessageId::from_bytes((u128::from(prefix) << 64 | u128::from(number)).to_be_bytes())
}
