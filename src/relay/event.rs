//! News of a relay.

use actix::Message;

use super::capture::CaptureEnd;
use crate::id::Identity;
use crate::notice_queue::Notice;

/// Reasons why a relay does not pass something on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RelayDrop {
    /// An answer that nobody waits for: it is to an ask of another peer, it comes too late, or it is the second one.
    #[error("nobody waits for this answer")]
    Unasked,
    /// A message from the back that answers nothing. It is rejected, which makes it a dead letter.
    #[error("only answers return from the back of a relay")]
    NotAnAnswer,
    /// An answer to a peer that is gone.
    #[error("the peer that asked is gone")]
    AskerGone,
    /// An answer to a peer that does not take its answers.
    #[error("the peer that asked does not take its answers")]
    AskerFull,
    /// An ask above the number of [open asks](super::Relay::max_open_asks). It is refused as busy.
    #[error("too many asks are open")]
    AsksFull,
    /// An ask with the id of one that is open. It is refused as busy.
    #[error("an ask of the same id is open")]
    AskedTwice,
    /// An ask of a service, or a tell to one. It is refused.
    #[error("services are not passed on")]
    Service,
    /// It is above the frame limit of the socket that is to send it. A message is rejected, an ask is answered by a failure.
    #[error("the message is too large for the socket that is to send it")]
    TooLarge,
    /// The peer at the back has refused the message for good. It is rejected.
    #[error("the peer at the back refused the message")]
    Refused,
    /// The back did not take a message that is sent at most once.
    #[error("the socket at the back did not take the message")]
    NotTaken,
}

/// Something that happened in a relay.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub enum RelayEvent {
    /// Something was not passed on.
    #[non_exhaustive]
    Dropped {
        /// The peer that it came from.
        peer: Identity,
        /// The reason.
        reason: RelayDrop,
    },
    /// The recording has ended before the relay. Messages are passed on all the same.
    CaptureEnded(CaptureEnd),
    /// The recipient was too slow for so many events.
    Lagged(u64),
}

impl Notice for RelayEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}
