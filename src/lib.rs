//! Brokerless smart sockets for actix: message sockets that reconnect, balance and supervise
//! themselves, as actors, on the aiomsg wire protocol.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod id;
pub mod supervise;
// Not all of it is in use yet.
#[allow(dead_code, unused_imports)]
mod transport;
pub mod wire;

pub use id::{Identity, MessageId, ParseIdError};
pub use transport::{
    BindOptions, CertificateChain, ConnectOptions, DEFAULT_PORT, Endpoint, ParseEndpointError,
    PeerAddress, RefusedBy, Scheme, TlsRefusal, ToEndpoint, TransportError, TransportKind,
    UpgradeFault, UpgradeRequest, WebSocketViolation,
};
#[cfg(feature = "tls")]
pub use transport::{
    Tls, TlsClient, TlsClientBuilder, TlsConfigError, TlsServer, TlsServerBuilder,
};
#[cfg(feature = "tls-dev")]
pub use transport::{TlsDev, TlsDevPem};

/// The TLS library, for configurations of your own.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
