//! Events of the socket itself: its listeners, dialers, subscribers, and its end.

use actix::Message;

use super::address_failure::AddressFailure;
use super::peer::ConnectionStage;
use super::refusal::RefusalReason;
use crate::address::{Endpoint, PeerAddress, Role};
use crate::id::Identity;

/// What a socket does, apart from its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// A listener accepts connections.
    #[non_exhaustive]
    Listening {
        /// Where, with the port that was chosen.
        endpoint: Endpoint,
    },
    /// A dialer starts an attempt.
    #[non_exhaustive]
    Dialling {
        /// Whom it dials.
        endpoint: Endpoint,
        /// Attempts since the last success, this one included.
        attempt: u32,
    },
    /// An attempt failed, or its handshake did.
    #[non_exhaustive]
    DialFailed {
        /// Whom it dialled.
        endpoint: Endpoint,
        /// Attempts since the last success.
        attempt: u32,
        /// When it tries again.
        next_try: std::time::Duration,
        /// The most telling of the failures below: the last one that came beyond TCP, else the last.
        reason: RefusalReason,
        /// Every address that was tried, in order.
        tried: Vec<AddressFailure>,
    },
    /// A connection was ended before it carried anything.
    #[non_exhaustive]
    HandshakeRefused {
        /// The identity of the peer, if it came to say it.
        peer: Option<Identity>,
        /// Where it was.
        address: PeerAddress,
        /// Which end of the connection we were.
        role: Role,
        /// What was wrong.
        reason: RefusalReason,
    },
    /// A connection was closed at once because a limit was reached.
    #[non_exhaustive]
    Overloaded {
        /// Which limit.
        limit: Limit,
    },
    /// A listener was restarted too often. The others go on.
    #[non_exhaustive]
    ListenerFailed {
        /// Where it listened.
        endpoint: Endpoint,
        /// What it failed with.
        reason: String,
    },
    /// A dialer was restarted too often. The others go on.
    #[non_exhaustive]
    DialerFailed {
        /// Whom it dialled.
        endpoint: Endpoint,
        /// What it failed with.
        reason: String,
    },
    /// A connection panicked. It is not restarted; its dialer dials again.
    #[non_exhaustive]
    ConnectionFailed {
        /// The socket at the other end, if it was admitted.
        peer: Option<Identity>,
        /// Where it was.
        address: PeerAddress,
        /// Which end of the connection we were.
        role: Role,
        /// How far the connection had come.
        stage: ConnectionStage,
        /// What it panicked with.
        reason: String,
    },
    /// A listener has ended because [`unbind`](crate::Socket::unbind) was called.
    #[non_exhaustive]
    ListenerStopped {
        /// Where it listened.
        endpoint: Endpoint,
    },
    /// A dialer has ended because [`stop_connecting`](crate::Socket::stop_connecting) was called.
    #[non_exhaustive]
    DialerStopped {
        /// Whom it dialled.
        endpoint: Endpoint,
    },
    /// One of the socket's own actors has been restarted after a panic.
    #[non_exhaustive]
    Restarted {
        /// Which.
        actor: String,
        /// What it panicked with.
        reason: String,
    },
    /// An actor that subscribed is gone without having unsubscribed. What it had not handled goes
    /// to the others of its group, or to whoever else wants it.
    #[non_exhaustive]
    SubscriberGone {
        /// The type of the actor.
        actor: String,
        /// What it subscribed to.
        subscription: String,
    },
    /// The socket is closed.
    #[non_exhaustive]
    Closed {
        /// Why.
        reason: String,
    },
    /// So many events were skipped, because the recipient was too slow to take them.
    Lagged(u64),
}

impl Message for SocketEvent {
    type Result = ();
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Connections of the socket.
    Connections,
    /// Descriptors of the process.
    Descriptors,
    /// Handshakes in progress: the oldest one made place.
    Handshakes,
    /// Connections of one address within a time.
    AcceptRate,
}
