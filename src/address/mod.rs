//! Addresses and the other plain values of a connection: its endpoint, its transport, our end of it, the
//! proofs of its peer, and the reasons for a refusal. Errors and events are made of them.

mod certificates;
mod endpoint;
mod endpoint_error;
mod endpoint_parser;
mod peer;
mod role;
mod scheme;
mod tls_refusal;
mod to_endpoint;
mod unusable_endpoint;
mod upgrade_fault;
mod websocket_violation;

pub use certificates::{CertificateChain, CertificateName};
pub use endpoint::Endpoint;
pub use endpoint_error::ParseEndpointError;
pub use peer::{PeerAddress, TransportKind};
pub use role::Role;
pub use scheme::{DEFAULT_PORT, Scheme};
pub use tls_refusal::{RefusedBy, TlsRefusal};
pub use to_endpoint::ToEndpoint;
pub use unusable_endpoint::UnusableEndpoint;
pub use upgrade_fault::UpgradeFault;
pub use websocket_violation::WebSocketViolation;
