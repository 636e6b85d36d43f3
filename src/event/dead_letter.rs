//! Dead letters: accepted messages that will not arrive, and why.

use std::fmt;

use actix::Message;
use bytes::Bytes;

use crate::excerpt::Excerpt;
use crate::id::Identity;

/// An accepted message, sent or received, that will not arrive. `{:?}` shows the beginning of its payload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message as it travels, with the topic of its type. Of a [`tell`](crate::service::Service::tell) that was to be sent it begins with the envelope of a
    /// service (`\xa1ASK`, docs/ASK.md and docs/SERVICES.md), which has the service's name; the message is behind it.
    pub payload: Bytes,
    /// The peer that it was for or, if it was received, that it came from; `None` where the send mode
    /// was to choose.
    pub peer: Option<Identity>,
    /// The reason why it will not arrive.
    pub reason: DeadLetterReason,
    /// Text of the error: the decoder's, or the last one of a handler that failed.
    pub detail: Option<String>,
    /// True if this socket received the message, and false if it was to send it.
    pub received: bool,
    /// Number of earlier letters that this recipient missed because it was too slow to take them.
    pub lagged: u64,
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("payload", &Excerpt(&self.payload))
            .field("peer", &self.peer)
            .field("reason", &self.reason)
            .field("detail", &self.detail)
            .field("received", &self.received)
            .field("lagged", &self.lagged)
            .finish()
    }
}

impl Message for DeadLetter {
    type Result = ();
}

/// Reasons why an accepted message will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// The time-to-live of the message was over.
    #[error("it expired")]
    Expired,
    /// The message was resent as often as the resend limit allows.
    #[error("it was resent too often")]
    ResendLimit,
    /// A queue was full, and its overflow policy dropped the message.
    #[error("a queue was full")]
    Overflow,
    /// The peer that it was for went away and did not come back in time.
    #[error("its peer is gone")]
    PeerGone,
    /// The connection ended while the message, which was sent at most once, was being written.
    #[error("its connection ended while it was written")]
    HalfWritten,
    /// The peer ended each connection on which the message was alone, and none without it; `detail` has the
    /// likely reason.
    #[error("its peer cannot take it")]
    PeerCannotTake,
    /// The socket was closed first.
    #[error("the socket was closed")]
    Closed,
    /// The handler failed each time the message was delivered, or once if its sender wants no
    /// acknowledgement.
    #[error("its handler failed")]
    Poison,
    /// A handler rejected the message.
    #[error("a handler rejected it")]
    Rejected,
    /// The payload is not of the expected type; `detail` has the decoder's error.
    #[error("it cannot be decoded")]
    Undecodable,
    /// There are subscriptions, but none of them wants the message.
    #[error("no subscription wants it")]
    Unwanted,
    /// Nobody has ever subscribed, and acknowledgements or answers that the socket waits for, or messages to a
    /// service that it offers, were behind it.
    #[error("nobody receives")]
    Unclaimed,
}

impl DeadLetterReason {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::Expired,
        Self::ResendLimit,
        Self::Overflow,
        Self::PeerGone,
        Self::HalfWritten,
        Self::PeerCannotTake,
        Self::Closed,
        Self::Poison,
        Self::Rejected,
        Self::Undecodable,
        Self::Unwanted,
        Self::Unclaimed,
    ];

    /// Its name for machines, as in metrics and in exported letters: `peer_gone`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ResendLimit => "resend_limit",
            Self::Overflow => "overflow",
            Self::PeerGone => "peer_gone",
            Self::HalfWritten => "half_written",
            Self::PeerCannotTake => "peer_cannot_take",
            Self::Closed => "closed",
            Self::Poison => "poison",
            Self::Rejected => "rejected",
            Self::Undecodable => "undecodable",
            Self::Unwanted => "unwanted",
            Self::Unclaimed => "unclaimed",
        }
    }
}
