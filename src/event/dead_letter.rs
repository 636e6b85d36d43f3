//! Dead letters: accepted messages that will not arrive, and why.

use actix::Message;
use bytes::Bytes;

use crate::id::Identity;

/// An accepted message, sent or received, that will not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message.
    pub payload: Bytes,
    /// Whom it was for, or, for a received message, whom it was from; `None` where the send mode
    /// was to choose.
    pub peer: Option<Identity>,
    /// Why it will not arrive.
    pub reason: DeadLetterReason,
    /// What the reason leaves open: the error of the decoder, or the last one of a handler that failed.
    pub detail: Option<String>,
    /// How many earlier letters this recipient missed because it was too slow to take them.
    pub lagged: u64,
}

impl Message for DeadLetter {
    type Result = ();
}

/// Why a message will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// Its time-to-live was over.
    #[error("it expired")]
    Expired,
    /// It was resent as often as the resend limit allows.
    #[error("it was resent too often")]
    ResendLimit,
    /// A queue was full, and its overflow policy dropped the message.
    #[error("a queue was full")]
    Overflow,
    /// The peer that it was for went away and did not come back in time.
    #[error("its peer is gone")]
    PeerGone,
    /// The socket was closed first.
    #[error("the socket was closed")]
    Closed,
    /// Its handler failed each time it was delivered, or once if its sender wants no
    /// acknowledgement.
    #[error("its handler failed")]
    Poison,
    /// A handler rejected it.
    #[error("a handler rejected it")]
    Rejected,
    /// It is not of the type that it should be; `detail` has the decoder's error.
    #[error("it cannot be decoded")]
    Undecodable,
    /// There are subscriptions, and none of them wants it.
    #[error("no subscription wants it")]
    Unwanted,
}
