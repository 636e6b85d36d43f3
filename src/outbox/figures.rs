//! Figures of a journal, for the statistics of its socket.

/// Figures of a journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct JournalFigures {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) commits: u64,
    pub(crate) failing: bool,
    pub(crate) restored: usize,
    pub(crate) damaged: usize,
    /// Messages that are in the store alone, and their bytes.
    pub(crate) tail: (usize, usize),
}

/// Figures of a dead-letter queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LetterFigures {
    /// Letters that are kept, and their bytes.
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
    /// Letters that had to go for want of room, or for their age.
    pub(crate) discarded: u64,
    /// Letters that were sent, or delivered, once more.
    pub(crate) redriven: u64,
}
