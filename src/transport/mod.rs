//! Byte streams: endpoints, listening, accepting and dialling.
//!
//! A connection is a [`ByteStream`] whatever it travels in; what is above reads and writes the
//! frames of WIRE §2 on it. [`Acceptor`] hands out raw connections without waiting for the peer,
//! [`Accepted::establish`] does what takes a peer's cooperation, and [`dial`] does both for the
//! connect end. Nothing here knows of messages, actors or identities.

mod accept;
mod dial;
mod endpoint;
mod endpoint_error;
mod error;
mod listen;
mod meta;
mod options;
mod resolve;
mod stream;
mod tcp;
mod to_endpoint;

pub use endpoint::{DEFAULT_PORT, Endpoint, Scheme};
pub use endpoint_error::ParseEndpointError;
pub use error::TransportError;
pub use meta::{PeerAddress, TransportKind};
pub use options::{BindOptions, ConnectOptions};
pub use to_endpoint::ToEndpoint;

pub(crate) use accept::Accepted;
pub(crate) use dial::dial;
pub(crate) use listen::{AcceptFault, Acceptor, is_descriptor_exhaustion};
pub(crate) use meta::{ConnectionMeta, Established};
pub(crate) use stream::ByteStream;
