//! Why the router did not take a message.

use std::sync::Arc;

use crate::id::Identity;
use crate::link::Link;

/// Why a message was not taken. The entry is as it was.
#[derive(Debug)]
pub(crate) enum SendRefusal {
    /// The socket is closing or closed.
    Closed,
    /// No such peer, and others are connected.
    UnknownPeer(Identity),
    /// Every link is full: wait at the socket.
    LinksFull,
    /// Nobody is connected and the outbox is full: wait at the socket.
    OutboxFull,
    /// This peer is not connected and the outbox is full: wait for that.
    HeldFull(Identity),
    /// One link is full, and nothing else will do: wait at that link.
    LinkFull(Arc<Link>),
    /// The message has waited for as long as it may.
    TooLate,
}
