//! A journal as it begins, by what its store has.

use std::time::Duration;

use super::letter_index::DeadLetterBounds;
use super::tail::Tail;
use crate::limits::Capacity;

/// A journal as it begins.
#[derive(Debug)]
pub(super) struct JournalStart {
    pub(super) capacity: Capacity,
    pub(super) next_place: u64,
    pub(super) restored: usize,
    pub(super) restored_bytes: usize,
    pub(super) damaged: usize,
    pub(super) letters: Option<DeadLetterBounds>,
    pub(super) absent: Duration,
    /// What of the store is not in memory.
    pub(super) tail: Tail,
}
