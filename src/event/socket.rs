//! Events of the socket itself: its listeners, dialers, subscribers, and its end.

use actix::Message;

use super::address_failure::AddressFailure;
use super::peer::ConnectionStage;
use super::refusal::RefusalReason;
use crate::address::{Endpoint, PeerAddress, Role};
use crate::error::StoreError;
use crate::id::Identity;

/// Events of a socket itself, apart from its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// A listener accepts connections.
    #[non_exhaustive]
    Listening {
        /// The endpoint, with the port that was chosen.
        endpoint: Endpoint,
    },
    /// A dialer starts an attempt.
    #[non_exhaustive]
    Dialling {
        /// The endpoint that it dials.
        endpoint: Endpoint,
        /// Attempts since the last success, this one included.
        attempt: u32,
    },
    /// An attempt failed, or its handshake did.
    #[non_exhaustive]
    DialFailed {
        /// The endpoint that it dialled.
        endpoint: Endpoint,
        /// Attempts since the last success.
        attempt: u32,
        /// Time until the next attempt.
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
        /// Address of the peer.
        address: PeerAddress,
        /// Our end of the connection.
        role: Role,
        /// Reason of the refusal.
        reason: RefusalReason,
    },
    /// A connection was closed at once because a limit was reached.
    #[non_exhaustive]
    Overloaded {
        /// The limit that was reached.
        limit: Limit,
    },
    /// A listener was restarted too often. The others go on.
    #[non_exhaustive]
    ListenerFailed {
        /// The endpoint that it listened on.
        endpoint: Endpoint,
        /// Text of the last failure.
        reason: String,
    },
    /// A dialer was restarted too often. The others go on.
    #[non_exhaustive]
    DialerFailed {
        /// The endpoint that it dialled.
        endpoint: Endpoint,
        /// Text of the last failure.
        reason: String,
    },
    /// A connection panicked. It is not restarted; its dialer dials again.
    #[non_exhaustive]
    ConnectionFailed {
        /// The socket at the other end, if it was admitted.
        peer: Option<Identity>,
        /// Address of the peer.
        address: PeerAddress,
        /// Our end of the connection.
        role: Role,
        /// Stage that the connection had reached.
        stage: ConnectionStage,
        /// Text of the panic.
        reason: String,
    },
    /// A listener has ended because [`unbind`](crate::Socket::unbind) was called.
    #[non_exhaustive]
    ListenerStopped {
        /// The endpoint that it listened on.
        endpoint: Endpoint,
    },
    /// A dialer has ended because [`stop_connecting`](crate::Socket::stop_connecting) was called.
    #[non_exhaustive]
    DialerStopped {
        /// The endpoint that it dialled.
        endpoint: Endpoint,
    },
    /// A source of peers has found others than before; see [`Socket::discover`](crate::Socket::discover).
    #[non_exhaustive]
    Discovered {
        /// The name of the source.
        source: String,
        /// Peers that there are now.
        found: usize,
        /// Those among them that were not there before.
        new: usize,
        /// Peers that were there before, and are not now.
        gone: usize,
    },
    /// A source of peers could not tell who is there. Those that are known stay.
    #[non_exhaustive]
    DiscoveryFailed {
        /// The name of the source.
        source: String,
        /// Text of the failure.
        reason: String,
        /// Time until it is asked again.
        next_try: std::time::Duration,
    },
    /// The actor that follows a source of peers was restarted too often. Those that are known are dialled on.
    #[non_exhaustive]
    DiscoveryGivenUp {
        /// The name of the source.
        source: String,
        /// Text of the last failure.
        reason: String,
    },
    /// One of the socket's own actors has been restarted after a panic.
    #[non_exhaustive]
    Restarted {
        /// Name of the actor.
        actor: String,
        /// Text of the panic.
        reason: String,
    },
    /// An actor that subscribed is gone without having unsubscribed. What it had not handled goes
    /// to the others of its group, or to whoever else wants it.
    #[non_exhaustive]
    SubscriberGone {
        /// The type of the actor.
        actor: String,
        /// Description of the subscription.
        subscription: String,
    },
    /// The [dead-letter queue](crate::SocketBuilder::dead_letter_queue) had to let letters go, because it was full or they were too old.
    #[non_exhaustive]
    LettersDiscarded {
        /// Letters that went since the last such event.
        count: u64,
    },
    /// The store of the [outbox](mod@crate::outbox) fails: nothing is sent at least once, and with
    /// [`dedupe`](crate::SocketBuilder::dedupe) nothing of that kind received, until it works again. Announced once.
    #[non_exhaustive]
    OutboxFailing {
        /// The error of its last commit.
        error: StoreError,
    },
    /// The store of the outbox works again: it has stored as much as what had failed, up to 1 MiB.
    OutboxRecovered,
    /// An endpoint has ended our connections for longer than the heartbeat timeout, as if this socket were connected to it already:
    /// the file of its outbox may have been copied, and another socket run with the copy. An endpoint whose authorizer refuses us
    /// looks the same. Announced once, until something else happens. See
    /// [`Outbox::adopt`](crate::outbox::Outbox::adopt).
    #[non_exhaustive]
    OutboxCopied {
        /// The endpoint that is dialled.
        endpoint: Endpoint,
        /// Time since its first refusal.
        refused_for: std::time::Duration,
    },
    /// The socket is closed.
    #[non_exhaustive]
    Closed {
        /// Reason of the end.
        reason: String,
    },
    /// Number of events that were skipped because the recipient was too slow to take them.
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
