//! Events of peers: a connection begins, and why it ends.

use std::fmt;

use actix::Message;

use crate::address::{CertificateChain, PeerAddress, Role, TransportKind, WebSocketViolation};
use crate::id::Identity;

/// A peer came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// The handshake is done: the peer can be sent to by its identity.
    #[non_exhaustive]
    Up {
        /// The socket at the other end.
        peer: Identity,
        /// Where it is.
        address: PeerAddress,
        /// What the connection travels in.
        transport: TransportKind,
        /// Which end of the connection we are.
        role: Role,
        /// The verified certificate that it has proved to own, over TLS.
        certificates: Option<CertificateChain>,
    },
    /// The connection of a peer has ended.
    #[non_exhaustive]
    Down {
        /// The socket at the other end.
        peer: Identity,
        /// Where it was.
        address: PeerAddress,
        /// What the connection travelled in.
        transport: TransportKind,
        /// Which end of the connection we were.
        role: Role,
        /// Why it ended.
        reason: DownReason,
        /// Who began to end it.
        by: Party,
    },
    /// So many events were skipped, because the recipient was too slow to take them.
    Lagged(u64),
}

impl Message for PeerEvent {
    type Result = ();
}

/// Who began something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// This socket.
    Us,
    /// The peer.
    Peer,
    /// The network, or the operating system.
    Network,
}

/// Why a connection ended.
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
    /// The peer neither read what we sent nor said anything, or left our answers unread, for the
    /// write timeout; or handlers at both ends waited for each other's.
    #[error("the peer did not take what was sent to it")]
    Stalled,
    /// The peer came back by a new connection, and this one had fallen silent; see
    /// [`DuplicateIdentity::Probe`](crate::DuplicateIdentity::Probe).
    #[error("the peer came back by another connection")]
    Replaced,
    /// What was to be sent to the peer was more than its queue takes, and the overflow policy is
    /// [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    #[error("the queue to the peer was full")]
    Overflow,
    /// A length prefix was above the frame limit (WIRE §2.3).
    #[error("the peer announced a frame of {announced} bytes, above the limit of {limit}")]
    Oversize {
        /// What it announced.
        announced: u32,
        /// What is allowed.
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
    /// It was not connected when somebody began to watch it.
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
        /// How far the connection had come.
        stage: ConnectionStage,
        /// The text of the panic.
        message: String,
    },
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionStage {
    /// Its peer has not been admitted.
    Handshake,
    /// It carries messages.
    Session,
    /// The peer is told why it ends.
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
    /// Whether the peer broke a rule of the protocol, where others vanish, fall silent or are slow.
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
