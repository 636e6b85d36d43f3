//! Violations of the WebSocket protocol, and the close code that answers each.

/// A WebSocket peer broke a rule of WIRE §8. The connection closes with the code of the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketViolation {
    /// A text message came; only binary ones carry frames.
    #[error("a text message")]
    Text,
    /// A reserved bit is set, though no extension was negotiated.
    #[error("a reserved bit")]
    ReservedBit,
    /// The opcode is none of RFC 6455's.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// A client's frame is not masked, or a server's is.
    #[error("a frame masked at the wrong end")]
    Mask,
    /// A control frame is fragmented.
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    #[error("a control frame over 125 bytes")]
    LongControl,
    /// A continuation came with no message to continue.
    #[error("a continuation without a start")]
    LoneContinuation,
    /// A new message began inside a fragmented one.
    #[error("a new message inside a fragmented one")]
    Interleaved,
    /// A 64-bit length has its top bit set.
    #[error("a length with its top bit set")]
    Length,
    /// A close frame has one byte, or a code that may not travel.
    #[error("a malformed close frame")]
    Close,
    /// The reason in a close frame is not UTF-8.
    #[error("a close reason that is not UTF-8")]
    CloseReason,
}

impl WebSocketViolation {
    /// The close code that answers it: 1002, a text message 1003, a close reason 1007.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::CloseReason => 1007,
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::Mask
            | Self::FragmentedControl
            | Self::LongControl
            | Self::LoneContinuation
            | Self::Interleaved
            | Self::Length
            | Self::Close => 1002,
        }
    }
}
