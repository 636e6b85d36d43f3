//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod engine;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod id;
pub mod supervise;
// Not all of it is in use yet.
#[allow(dead_code, unused_imports)]
mod transport;
pub mod wire;

pub use engine::Role;
pub use id::{Identity, MessageId, ParseIdError};
pub use transport::{
    BindOptions, ConnectOptions, DEFAULT_PORT, Endpoint, ParseEndpointError, PeerAddress, Scheme,
    ToEndpoint, TransportError, TransportKind,
};
