//! Byte streams: endpoints, listening, accepting and dialling.
//!
//! A connection is a [`ByteStream`] whatever it travels in; what is above reads and writes the
//! frames of WIRE §2 on it. [`Acceptor`] hands out raw connections without waiting for the peer,
//! [`Accepted::establish`] does what takes a peer's cooperation, and [`connect`] and what it yields do both for the
//! connect end. Nothing here knows of messages, actors or identities.

mod accept;
mod certificates;
mod dial;
mod endpoint;
mod endpoint_error;
mod error;
mod linger;
mod listen;
mod memory;
mod meta;
#[cfg(feature = "actix-web")]
mod mounted;
mod options;
mod refusal;
mod resolve;
mod sniff;
mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod to_endpoint;
#[cfg(unix)]
mod unix;
mod upgrade_request;
mod websocket;

pub use certificates::{CertificateChain, CertificateName};
pub use endpoint::{DEFAULT_PORT, Endpoint, Scheme};
pub use endpoint_error::ParseEndpointError;
pub use error::TransportError;
pub use meta::{PeerAddress, TransportKind};
pub use options::{BindOptions, ConnectOptions};
pub use refusal::{RefusedBy, TlsRefusal};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsClient, TlsClientBuilder, TlsConfigError, TlsServer, TlsServerBuilder};
#[cfg(feature = "tls-dev")]
pub use tls::{TlsDev, TlsDevPem};
pub use to_endpoint::ToEndpoint;
pub use upgrade_request::UpgradeRequest;
pub use websocket::{UpgradeFault, WebSocketViolation};

pub(crate) use accept::Accepted;
pub(crate) use dial::connect;
#[cfg(test)]
pub(crate) use dial::dial;
pub(crate) use listen::{AcceptFault, Acceptor};
#[cfg(feature = "test-util")]
pub(crate) use memory::{MemoryListener, connect as connect_memory};
pub(crate) use meta::{ConnectionMeta, Established};
#[cfg(feature = "actix-web")]
pub(crate) use mounted::WebEnds;
#[cfg(test)]
pub(crate) use stream::Simulated;
pub(crate) use stream::{ByteStream, Dismissal};
#[cfg(feature = "actix-web")]
pub(crate) use websocket::judge_head;

/// What a read or write error of an established stream says of a TLS handshake, if anything: with
/// TLS 1.3 a connect end learns that its certificate was refused only when it reads.
pub(crate) fn late_refusal(error: &std::io::Error) -> Option<(RefusedBy, TlsRefusal)> {
    #[cfg(feature = "tls")]
    return tls::refusal_of(error);
    #[cfg(not(feature = "tls"))]
    {
        let _ = error;
        None
    }
}

#[cfg(test)]
mod local_tests;
