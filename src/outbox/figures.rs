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
}
