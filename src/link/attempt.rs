//! The answers of a link to a sender.

/// Readiness of a sender to let the writer go first.
///
/// When a block is full that the writer, on this very thread, could write, its bytes are still in the
/// processor's cache. A sender that can wait for its thread's other tasks then makes way once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Courtesy {
    /// The sender can wait for the thread's other tasks.
    Yields,
    /// The sender has made way already, or cannot.
    HasYielded,
    /// The same, and what it publishes is given to each link at once.
    None,
}

/// The answer to a sender that may yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Attempt {
    /// The message is taken.
    Taken,
    /// The message is not taken: the sender tries again after the thread's other tasks.
    WriterFirst,
}

/// Why a link did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}
