//! What spans tell of messages.

use crate::id::{Identity, MessageId};
use crate::payload::{AskId, TraceContext};

/// A message, or an ask, that is about to be handled.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "otel"),
    expect(dead_code, reason = "nobody looks at it without spans")
)]
pub(crate) struct Incoming {
    /// The span that sent it.
    pub(crate) creation: Option<TraceContext>,
    pub(crate) peer: Identity,
    /// Of its payload.
    pub(crate) bytes: usize,
    /// Of a message at least once.
    pub(crate) id: Option<MessageId>,
    /// Of an ask.
    pub(crate) ask: Option<AskId>,
}

/// A message that is sent.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "otel"),
    expect(dead_code, reason = "nobody looks at it without spans")
)]
pub(crate) struct Outgoing {
    pub(crate) publishes: bool,
    pub(crate) peer: Option<Identity>,
    pub(crate) bytes: usize,
    pub(crate) id: Option<MessageId>,
    /// The trace that the program gave the message.
    pub(crate) given: Option<TraceContext>,
}
