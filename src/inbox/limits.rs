//! The bounds of an inbox.

/// The bounds of an inbox. An empty one admits a message of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InboxLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}
