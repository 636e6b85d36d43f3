//! Events: what happens to peers, to the socket itself, and to messages that will not arrive.
//!
//! An actor subscribes by giving its recipient to the socket:
//!
//! ```
//! use actix::prelude::*;
//! use actix_aiomsg::{PeerEvent, Socket};
//!
//! struct Doorman;
//!
//! impl Actor for Doorman {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<PeerEvent> for Doorman {
//!     type Result = ();
//!     fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
//!         match event {
//!             PeerEvent::Up { peer, address, .. } => println!("{peer} came from {address}"),
//!             PeerEvent::Down { peer, reason, .. } => println!("{peer} is gone: {reason:?}"),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # fn watch(socket: &Socket) {
//! let doorman = Doorman.start();
//! socket.peer_events(doorman.recipient());
//! # }
//! ```

mod address_failure;
mod refusal;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use actix::{Message, Recipient};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::address::{
    CertificateChain, Endpoint, PeerAddress, Role, TransportKind, WebSocketViolation,
};
use crate::id::Identity;
use crate::sync::Mutex;

pub use address_failure::AddressFailure;
pub use refusal::RefusalReason;

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

/// Events that a recipient has not taken yet, at most.
const CREDIT: usize = 1024;

/// An event of which several may have to be skipped.
pub(crate) trait Announced: Message<Result = ()> + Clone + Send + 'static {
    /// An event of its own that says how many were skipped; `None` if the next one has to say so.
    fn lagged(skipped: u64) -> Option<Self>;

    /// Notes how many were skipped before this one.
    fn note_skipped(&mut self, _: u64) {}
}

impl Announced for PeerEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Announced for SocketEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

impl Announced for DeadLetter {
    fn lagged(_: u64) -> Option<Self> {
        None
    }

    fn note_skipped(&mut self, skipped: u64) {
        self.lagged = skipped;
    }
}

/// Everyone who asked for one kind of event.
#[derive(Debug)]
pub(crate) struct Announcer<M: Announced> {
    outlets: Mutex<Vec<Arc<Outlet<M>>>>,
}

#[derive(Debug)]
struct Outlet<M> {
    queue: Mutex<Queue<M>>,
    filled: Notify,
}

#[derive(Debug)]
struct Queue<M> {
    events: VecDeque<M>,
    skipped: u64,
    ended: bool,
}

impl<M: Announced> Announcer<M> {
    pub(crate) fn new() -> Self {
        Self {
            outlets: Mutex::new(Vec::new()),
        }
    }

    /// Whether anybody asked.
    pub(crate) fn has_listeners(&self) -> bool {
        !self.outlets.lock().is_empty()
    }

    /// Tells everyone who asked. Never waits; who is too slow is told how much it missed.
    pub(crate) fn announce(&self, event: &M) {
        let mut outlets = self.outlets.lock();
        outlets.retain(|outlet| outlet.offer(event));
    }

    /// Adds a recipient and yields the task that feeds it, one event at a time, for as long as
    /// the recipient lives.
    pub(crate) fn add(&self, recipient: Recipient<M>) -> impl Future<Output = ()> + 'static
    where
        M: Unpin,
    {
        let outlet = Arc::new(Outlet {
            queue: Mutex::new(Queue {
                events: VecDeque::new(),
                skipped: 0,
                ended: false,
            }),
            filled: Notify::new(),
        });
        self.outlets.lock().push(Arc::clone(&outlet));
        async move {
            while let Some(event) = outlet.next().await {
                if recipient.send(event).await.is_err() && !recipient.connected() {
                    outlet.queue.lock().ended = true;
                    return;
                }
            }
        }
    }

    /// Nothing more will be announced; what is queued is still delivered.
    pub(crate) fn end(&self) {
        for outlet in self.outlets.lock().drain(..) {
            outlet.queue.lock().ended = true;
            outlet.filled.notify_one();
        }
    }
}

impl<M: Announced> Outlet<M> {
    /// False when the recipient is gone.
    fn offer(&self, event: &M) -> bool {
        let mut queue = self.queue.lock();
        if queue.ended {
            return false;
        }
        if queue.events.len() >= CREDIT {
            queue.skipped += 1;
            return true;
        }
        let mut event = event.clone();
        let skipped = std::mem::take(&mut queue.skipped);
        if skipped > 0 {
            match M::lagged(skipped) {
                Some(notice) => queue.events.push_back(notice),
                None => event.note_skipped(skipped),
            }
        }
        queue.events.push_back(event);
        drop(queue);
        self.filled.notify_one();
        true
    }

    async fn next(&self) -> Option<M> {
        loop {
            {
                let mut queue = self.queue.lock();
                if let Some(event) = queue.events.pop_front() {
                    return Some(event);
                }
                // Nothing has come since: the gap is told all the same.
                if queue.skipped > 0
                    && let Some(notice) = M::lagged(queue.skipped)
                {
                    queue.skipped = 0;
                    return Some(notice);
                }
                if queue.ended {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}
