//! Addresses and the other plain values of a connection: where it leads, what it travels in, which end
//! of it is ours, what its peer has proved, and how it can be refused. Errors and events are made of them.

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
