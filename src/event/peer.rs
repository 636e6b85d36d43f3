//! Events of peers: a connection begins, and why it ends.

use std::fmt;

use actix::Message;

use crate::address::{CertificateChain, PeerAddress, Role, TransportKind, WebSocketViolation};
use crate::id::Identity;

/// A peer is connected, or is not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// The handshake is done: the peer can be sent to by its identity.
    #[non_exhaustive]
    Up {
        /// The socket at the other end.
        peer: Identity,
        /// Address of the peer.
        address: PeerAddress,
        /// Transport of the connection.
        transport: TransportKind,
        /// Our end of the connection.
        role: Role,
        /// The certificate that the peer has proved to own, over TLS.
        certificates: Option<CertificateChain>,
    },
    /// The connection of a peer has ended.
    #[non_exhaustive]
    Down {
        /// The socket at the other end.
        peer: Identity,
        /// Address of the peer.
        address: PeerAddress,
        /// Transport of the connection.
        transport: TransportKind,
        /// Our end of the connection.
        role: Role,
        /// Reason of the end.
        reason: DownReason,
        /// Side that began the end.
        by: Party,
    },
    /// Published messages wait for this subscriber. Announced once in ten seconds in which they have
    /// waited for half a second, and when it is given up.
    #[non_exhaustive]
    Slow {
        /// The subscriber.
        peer: Identity,
        /// How long messages have waited for it, of the last ten seconds or twenty.
        waited: std::time::Duration,
        /// Whether nobody waits for it any more: it took nothing for the patience of the publisher, or less
        /// than [`min_subscriber_rate`](crate::limits::Limits::min_subscriber_rate). Messages for it are dropped until it
        /// goes on.
        gave_up: bool,
    },
    /// Number of events that were skipped because the recipient was too slow to take them.
    Lagged(u64),
}

impl Message for PeerEvent {
    type Result = ();
}

/// The side that began something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// This socket.
    Us,
    /// The peer.
    Peer,
    /// The network, or the operating system.
    Network,
}

/// Reasons for the end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The peer ended its stream between two frames (WIRE §2.2).
    #[error("the peer closed the connection")]
    Closed,
    /// The peer ended its stream inside a frame (WIRE §2.2).
    #[error("the peer closed the connection inside a frame")]
    Truncated,
    /// Nothing came from the peer for the heartbeat timeout (WIRE §5.2).
    #[error("nothing was heard of the peer for the heartbeat timeout")]
    Silent,
    /// The peer left our answers unread for the write timeout; or our handlers finished nothing for the
    /// standstill timeout, and the acknowledgements and answers that the peer owes us are behind their messages; or
    /// handlers at both ends waited for each other's.
    #[error("nothing moved on the connection for too long")]
    Stalled,
    /// The peer came back by a new connection, and this one had fallen silent; see
    /// [`DuplicateIdentity::Probe`](crate::DuplicateIdentity::Probe).
    #[error("the peer came back by another connection")]
    Replaced,
    /// The queue to the peer was full, and the overflow policy is
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    #[error("the queue to the peer was full")]
    Overflow,
    /// A length prefix was above the frame limit (WIRE §2.3).
    #[error("the peer announced a frame of {announced} bytes, above the limit of {limit}")]
    Oversize {
        /// Bytes that the peer announced.
        announced: u32,
        /// The frame limit, in bytes.
        limit: u32,
    },
    /// The peer broke the WebSocket protocol (WIRE §8); it was told so by the violation's close code.
    #[error("the peer broke the WebSocket protocol: {0}")]
    WebSocket(WebSocketViolation),
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// The socket was closed.
    #[error("the socket was closed")]
    SocketClosed,
    /// The peer was not connected when somebody began to watch it.
    #[error("the peer was not connected")]
    NotConnected,
    /// This socket ended the connection, and goes on itself: by
    /// [`disconnect`](crate::Socket::disconnect) or [`stop_connecting`](crate::Socket::stop_connecting).
    #[error("the socket ended the connection")]
    Disconnected,
    /// The connection's own code panicked.
    #[error("the connection panicked in its {stage}: {message}")]
    #[non_exhaustive]
    Crashed {
        /// Stage that the connection had reached.
        stage: ConnectionStage,
        /// The text of the panic.
        message: String,
    },
}

/// Stages of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionStage {
    /// The peer has not been admitted.
    Handshake,
    /// The connection carries messages.
    Session,
    /// The peer is being told why the connection ends.
    Farewell,
}

impl fmt::Display for ConnectionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Handshake => "handshake",
            Self::Session => "session",
            Self::Farewell => "farewell",
        })
    }
}

impl DownReason {
    /// True if the peer broke a rule of the protocol. A peer that vanishes, falls silent or is slow breaks none.
    #[must_use]
    pub const fn is_violation(&self) -> bool {
        match self {
            Self::Oversize { .. } | Self::WebSocket(_) => true,
            Self::Closed
            | Self::Truncated
            | Self::Silent
            | Self::Stalled
            | Self::Replaced
            | Self::Overflow
            | Self::Transport(_)
            | Self::SocketClosed
            | Self::NotConnected
            | Self::Disconnected
            | Self::Crashed { .. } => false,
        }
    }
}
