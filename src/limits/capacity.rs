//! The bound of a queue.

/// The bound of a queue: the first of the two that is reached counts. An empty queue takes one
/// message of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Messages that it holds.
    pub messages: usize,
    /// Bytes that it holds.
    pub bytes: usize,
}

impl Capacity {
    /// So many messages, and so many bytes.
    pub const fn new(messages: usize, bytes: usize) -> Self {
        Self { messages, bytes }
    }

    /// True for the content of a queue that is not above this bound, in messages and in bytes.
    #[inline]
    pub(crate) const fn is_within(self, bound: Self) -> bool {
        self.bytes <= bound.bytes && self.messages <= bound.messages
    }

    /// Whether this much is half of a bound or less.
    #[inline]
    pub(crate) const fn is_at_most_half_of(self, bound: Self) -> bool {
        self.bytes <= bound.bytes / 2 && self.messages <= bound.messages / 2
    }
}
