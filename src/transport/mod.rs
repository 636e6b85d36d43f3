//! Endpoints and byte streams: where sockets bind and connect to, with which options, and how that fails.
//!
//! ```
//! use actix_aiomsg::{ConnectOptions, Endpoint, transport::Scheme};
//!
//! let endpoint: Endpoint = "ws://[::1]:8080/feed".parse()?;
//! assert_eq!(endpoint.scheme(), Scheme::Ws);
//! let options = ConnectOptions::new().connect_timeout(std::time::Duration::from_secs(3));
//! # Ok::<(), actix_aiomsg::transport::ParseEndpointError>(())
//! ```
//!
//! `docs/TRANSPORTS.md` compares the transports. Nothing here knows of messages, actors or identities.

// A connection is a `ByteStream` whatever it travels in; the layers above read and write the frames of WIRE §2 on
// it. `Acceptor` hands out raw connections without waiting for the peer, `Accepted::establish` does what takes
// a peer's cooperation, and `Dial` and what it yields do both for the connect end.

mod accept;
mod dial;
mod error;
mod graceful_close;
mod listen;
mod memory;
mod meta;
mod options;
mod origin;
mod protocol_detect;
mod request_headers;
mod resolve;
mod shared;
#[cfg(unix)]
mod socket_file;
mod stream;
mod tcp;
mod tcp_listeners;
mod tcp_race;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
mod tls_certificate_fault;
#[cfg(feature = "tls")]
pub(crate) mod tls_config_error;
mod tls_refusal;
#[cfg(unix)]
mod unix;
mod upgrade_request;
#[cfg(feature = "actix-web")]
mod web_bridge;
mod websocket;

pub use crate::address::{
    CertificateChain, CertificateName, DEFAULT_PORT, Endpoint, ParseEndpointError, PeerAddress,
    RefusedBy, Role, Scheme, TlsRefusal, ToEndpoint, TransportKind, UnusableEndpoint, UpgradeFault,
    WebSocketViolation,
};
pub use options::{BindOptions, ConnectOptions};
pub use upgrade_request::UpgradeRequest;

pub(crate) use accept::Accepted;
#[cfg(test)]
pub(crate) use dial::dial;
pub(crate) use dial::{Connected, Dial, Try};
pub(crate) use error::TransportError;
pub(crate) use listen::{AcceptFault, Acceptor};
#[cfg(feature = "test-util")]
pub(crate) use memory::{MemoryListener, connect as connect_memory};
pub(crate) use meta::{ConnectionMeta, Established};
#[cfg(any(feature = "actix-web", feature = "config"))]
pub(crate) use origin::check as check_origin;
pub(crate) use shared::HeartbeatWriter;
#[cfg(all(unix, feature = "inspection"))]
pub(crate) use socket_file::{SocketFile, is_abandoned};
#[cfg(all(test, not(aiomsg_loom)))]
pub(crate) use stream::Simulated;
pub(crate) use stream::{ByteStream, Dismissal};
pub(crate) use tcp_listeners::SocketListeners;
#[cfg(all(feature = "actix-web", feature = "tls"))]
pub(crate) use tls::verified_chain;
pub(crate) use tls_refusal::refusal_of;
#[cfg(feature = "actix-web")]
pub(crate) use web_bridge::{Upgraded, WebEnds};
#[cfg(feature = "actix-web")]
pub(crate) use websocket::{judge_head, page};

#[cfg(test)]
mod local_tests;
