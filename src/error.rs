//! Errors: one for each operation of a socket. A refusal to send hands the payload back.
//!
//! Every variant says what triggers it, and each text says what can be done where something can:
//!
//! ```
//! use actix_aiomsg::{error::SendError, Socket};
//!
//! # fn send(socket: &Socket) -> Result<(), Box<dyn std::error::Error>> {
//! match socket.try_send("hello") {
//!     Ok(()) => {}
//!     Err(SendError::Full(payload)) => println!("{} bytes have to wait", payload.len()),
//!     Err(other) => return Err(other.into()),
//! }
//! # Ok(()) }
//! ```
//!
//! Errors of byte streams and endpoints are in [`transport`](crate::transport), those of TLS
//! configurations in `tls`.

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::address::{Endpoint, ParseEndpointError, UnusableEndpoint};
use crate::excerpt::Excerpt;
use crate::id::Identity;

pub use crate::id::ParseIdError;
#[cfg(feature = "inspection")]
#[cfg_attr(docsrs, doc(cfg(feature = "inspection")))]
pub use inspection::InspectionError;
pub use metadata::MetadataError;
pub use outbox::{OutboxError, StoreError};

#[cfg(feature = "inspection")]
mod inspection;
mod metadata;
mod outbox;

/// A socket was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no actix system, and no tokio `LocalSet`, on this thread to run the socket's
    /// actors. Start it inside `#[actix::main]`, `System::block_on` or a `LocalSet`.
    #[error(
        "no actix system runs on this thread: start the socket inside #[actix::main], System::block_on or a tokio LocalSet"
    )]
    NoSystem,
    /// A socket of this name is open in the same system.
    #[error("a socket named {0:?} is open in this system already")]
    NameTaken(String),
    /// Two settings contradict each other, or one is out of its range.
    #[error("the socket's configuration is not valid: {0}")]
    Configuration(String),
    /// The outbox cannot be opened. What is there is left as it is.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The inspection endpoint cannot be opened.
    #[cfg(feature = "inspection")]
    #[cfg_attr(docsrs, doc(cfg(feature = "inspection")))]
    #[error(transparent)]
    Inspection(#[from] InspectionError),
}

/// [`Socket::bind`](crate::Socket::bind) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoint is not one.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The endpoint can never be bound, here or in this build.
    #[error("cannot listen on {endpoint}: {reason}")]
    Unusable {
        /// The endpoint that was to be bound.
        endpoint: Endpoint,
        /// The rule that it breaks.
        reason: UnusableEndpoint,
    },
    /// The operating system refused, or the options do not go with the endpoint.
    #[error("{source}")]
    Io {
        /// The endpoint that was to be bound.
        endpoint: Endpoint,
        /// The system's error, with the endpoint and what can be done.
        source: io::Error,
    },
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// [`Socket::reconfigure`](crate::Socket::reconfigure) has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// Settings contradict each other, or one is out of its range.
    #[error("the socket's configuration would not be valid: {0}")]
    Configuration(String),
    /// The closure that was to change the limits said no, and why.
    #[error("the limits were not changed: {0}")]
    Declined(String),
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl ReconfigureError {
    pub(crate) fn configuration(text: &str) -> Self {
        Self::Configuration(text.to_owned())
    }
}

/// [`Socket::connect`](crate::Socket::connect) failed. That a peer is not there is no error: the
/// socket goes on trying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint is not one.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The endpoint, with these options, can never be connected to from here or from this build.
    #[error("cannot connect to {endpoint}: {reason}")]
    Unusable {
        /// The endpoint that was to be connected to.
        endpoint: Endpoint,
        /// The rule that it breaks.
        reason: UnusableEndpoint,
    },
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// [`Socket::unbind`](crate::Socket::unbind) has ended nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnbindError {
    /// The endpoint is not one.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The socket does not listen there. An endpoint is known as `bind` yielded it, with its port.
    #[error("the socket does not listen at {0}")]
    NotBound(Endpoint),
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// [`Socket::stop_connecting`](crate::Socket::stop_connecting) has ended nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopConnectingError {
    /// The endpoint is not one.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// The socket does not dial it. An endpoint is known as it was given to `connect`.
    #[error("the socket does not connect to {0}")]
    NotConnecting(Endpoint),
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// [`Socket::discover`](crate::Socket::discover) or [`Socket::stop_discovering`](crate::Socket::stop_discovering) has begun
/// or ended nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// A source of this name is followed already.
    #[error("the socket follows {0} already")]
    Followed(String),
    /// No source of this name is followed.
    #[error("the socket does not follow {0}")]
    NotFollowed(String),
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// [`Socket::disconnect`](crate::Socket::disconnect) has ended nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The peer is not connected.
    #[error("peer {0} is not connected")]
    NotConnected(Identity),
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// The socket is closed: by [`close`](crate::Socket::close), or because its actors gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the socket is closed")]
pub struct Closed;

/// [`Socket::drain`](crate::Socket::drain) was not through in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} received messages are not handled, or not everything is sent")]
#[non_exhaustive]
pub struct NotDrained {
    /// Messages that are received and not handled.
    pub waiting: usize,
}

/// A value cannot be encoded as a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be encoded: {reason}")]
pub struct EncodeError {
    reason: String,
}

impl EncodeError {
    /// An error of a format of your own.
    pub fn new(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { reason }
    }
}

/// A payload is not a value of the type that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload cannot be decoded: {reason}")]
pub struct DecodeError {
    reason: String,
}

impl DecodeError {
    /// An error of a format of your own.
    pub fn new(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { reason }
    }
}

/// An ask has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody was connected to be asked, for as long as the ask could wait.
    #[error("there is no peer to ask")]
    NoPeer,
    /// The connection of the peer that was asked ended before it answered. It may have handled the ask.
    #[error("the peer that was asked is gone")]
    PeerGone,
    /// No answer came in time. The peer may have handled the ask, or may yet.
    #[error("no answer came in time")]
    Timeout,
    /// The peer answered with an error: its handler's, that it panicked, or that it cannot read
    /// the request.
    #[error("the peer answered with an error: {0}")]
    Remote(String),
    /// Every provider of the service that could be asked has more to do than it can finish in time. The ask was
    /// not handled.
    #[error("every provider of the service is busy")]
    Busy,
    /// Nobody offered the service, for as long as the ask could wait.
    #[error("nobody offers the service")]
    NoService,
    /// The answer is not of the type that it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The request cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The request was not accepted for sending.
    #[error(transparent)]
    Send(SendError),
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
}

/// A handler's refusal to answer an ask; the asker gets its text as
/// [`Remote`](AskError::Remote). Any error becomes one by `?`. A `Box<dyn Error>`, a `String` and other texts are no errors of their own:
/// they become one by `.map_err(AskFailure::new)?`.
///
/// ```
/// # use actix_aiomsg::prelude::*;
/// # fn stock(text: &str) -> Result<u32, Box<dyn std::error::Error>> { Ok(text.parse()?) }
/// fn answer(question: &str) -> Result<u32, AskFailure> {
///     let count: u32 = question.parse()?;
///     Ok(count + stock(question).map_err(AskFailure::new)?)
/// }
/// assert_eq!(answer("21"), Ok(42));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskFailure {
    text: String,
}

impl AskFailure {
    /// A failure with this text.
    pub fn new(text: impl ToString) -> Self {
        let text = text.to_string();
        Self { text }
    }

    /// Text that the asker gets.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<E: std::error::Error> From<E> for AskFailure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// A service is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// A name is empty, or longer than 255 bytes.
    #[error("the name of a service or an instance has 1 to 255 bytes")]
    Name,
    /// The socket offers 256 services already.
    #[error("a socket offers at most 256 services")]
    TooMany,
    /// The socket is closed.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A message was not accepted. The payload comes back; `{:?}` shows its beginning.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed(Bytes),
    /// No peer of this identity is connected or was within the grace period, and others are.
    #[error("no peer {peer} is connected")]
    UnknownPeer {
        /// The peer that it was for.
        peer: Identity,
        /// The message.
        payload: Bytes,
    },
    /// Every queue that could take the message is full, and the overflow policy does not wait.
    #[error("every queue that could take the message is full")]
    Full(Bytes),
    /// The message is larger than the frame limit.
    #[error("a message of {} bytes is above the limit of {limit}", payload.len())]
    TooLarge {
        /// The message.
        payload: Bytes,
        /// Payload bytes that would be taken.
        limit: usize,
    },
    /// The socket publishes, and a publish is never acknowledged (WIRE §6.4).
    #[error("a published message is never acknowledged: send it at most once, or to one peer")]
    PublishAtLeastOnce(Bytes),
    /// The outbox could not store the message, because its disk is full, for instance. It was not sent.
    #[error("the message could not be stored: {error}")]
    NotStored {
        /// The message.
        payload: Bytes,
        /// The error of the store.
        error: StoreError,
    },
    /// Nobody offers the service that the message is for, and it was not to wait.
    #[error("nobody offers the service")]
    NoService(Bytes),
    /// Its metadata cannot travel.
    #[error("{error}")]
    Metadata {
        /// The message.
        payload: Bytes,
        /// What is wrong with it.
        error: MetadataError,
    },
    /// The value cannot be encoded; there is no payload to hand back.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = |name, payload| f.debug_tuple(name).field(&Excerpt(payload)).finish();
        match self {
            Self::Closed(payload) => tuple("Closed", payload),
            Self::Full(payload) => tuple("Full", payload),
            Self::NoService(payload) => tuple("NoService", payload),
            Self::PublishAtLeastOnce(payload) => tuple("PublishAtLeastOnce", payload),
            Self::UnknownPeer { peer, payload } => (f.debug_struct("UnknownPeer"))
                .field("peer", peer)
                .field("payload", &Excerpt(payload))
                .finish(),
            Self::TooLarge { payload, limit } => (f.debug_struct("TooLarge"))
                .field("payload", &Excerpt(payload))
                .field("limit", limit)
                .finish(),
            Self::NotStored { payload, error } => (f.debug_struct("NotStored"))
                .field("payload", &Excerpt(payload))
                .field("error", error)
                .finish(),
            Self::Metadata { payload, error } => (f.debug_struct("Metadata"))
                .field("payload", &Excerpt(payload))
                .field("error", error)
                .finish(),
            Self::Encode(error) => f.debug_tuple("Encode").field(error).finish(),
        }
    }
}

impl SendError {
    /// The message that was not accepted; empty if there is none yet.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Closed(payload)
            | Self::UnknownPeer { payload, .. }
            | Self::Full(payload)
            | Self::TooLarge { payload, .. }
            | Self::NotStored { payload, .. }
            | Self::Metadata { payload, .. }
            | Self::NoService(payload)
            | Self::PublishAtLeastOnce(payload) => payload,
            Self::Encode(_) => Bytes::new(),
        }
    }

    /// True if trying again later may succeed.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// True if the socket is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// A message was not accepted, or not acknowledged; the error of
/// [`acknowledged`](crate::Sending::acknowledged).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The message was not accepted for sending. The payload comes back.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The message was accepted, and then not acknowledged, or refused by its peer.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// A message was not acknowledged, or its peer refused it.
///
/// Peers of this crate say when they have not handled a message, and why. Other implementations acknowledge
/// whatever they have received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Its time-to-live, or its resend limit, was over.
    #[error("the message expired before it was acknowledged")]
    Expired,
    /// The peer that it was for did not come back.
    #[error("the peer is gone")]
    PeerGone,
    /// A queue was full, and its overflow policy dropped the message.
    #[error("the message was dropped because a queue was full")]
    Overflow,
    /// The socket was closed first.
    #[error("the socket was closed before the message was acknowledged")]
    Closed,
    /// The peer ended each connection on which the message was alone, and none without it: it may be above the
    /// peer's frame limit, or end its process.
    #[error("the peer ends its connection when the message is sent")]
    PeerCannotTake,
    /// The peer's handler failed each time that the message was delivered.
    #[error("the peer's handler failed")]
    Poison,
    /// A handler of the peer rejected it.
    #[error("a handler of the peer rejected the message")]
    Rejected,
    /// The payload is not of the type that the peer's handler handles.
    #[error("the peer cannot decode the message")]
    Undecodable,
    /// The peer has subscriptions, but none of them wants it.
    #[error("no subscription of the peer wants the message")]
    Unwanted,
    /// Nobody has subscribed at the peer, which had no room for it any more.
    #[error("nobody receives at the peer")]
    Unclaimed,
    /// The peer refused it, for a reason that this version does not know.
    #[error("the peer refused the message")]
    Refused,
}
