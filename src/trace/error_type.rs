//! The values of `error.type`: few, and always the same for the same error.

use crate::error::{AskError, SendError};

/// The handler panicked.
pub(super) const PANIC: &str = "panic";
/// The future of a send or an ask was dropped, or a handler let go of its message.
pub(super) const CANCELLED: &str = "cancelled";

pub(super) fn of_send(error: &SendError) -> &'static str {
    match error {
        SendError::Closed(_) => "closed",
        SendError::UnknownPeer { .. } => "unknown_peer",
        SendError::Full(_) => "full",
        SendError::TooLarge { .. } => "too_large",
        SendError::PublishAtLeastOnce(_) => "publish_at_least_once",
        SendError::NotStored { .. } => "not_stored",
        SendError::NoService(_) => "no_service",
        SendError::Metadata { .. } => "metadata",
        SendError::Encode(_) => "encode",
    }
}

pub(super) fn of_ask(error: &AskError) -> &'static str {
    match error {
        AskError::NoPeer => "no_peer",
        AskError::PeerGone => "peer_gone",
        AskError::Timeout => "timeout",
        AskError::Remote(_) => "remote",
        AskError::Busy => "busy",
        AskError::NoService => "no_service",
        AskError::Decode(_) => "decode",
        AskError::Encode(_) => "encode",
        AskError::Send(error) => of_send(error),
        AskError::Closed => "closed",
    }
}
