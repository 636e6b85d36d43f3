//! The peer that an authorizer decides about.

use actix::Message;

use super::Admission;
use crate::address::{CertificateChain, PeerAddress, Role, TransportKind};
use crate::id::Identity;
use crate::transport::UpgradeRequest;

/// A peer that has said HELLO and wants to come in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Identity that the peer claims. Nothing proves it.
    pub identity: Identity,
    /// Address of the peer.
    pub address: PeerAddress,
    /// Our end of the connection, which tells the endpoints of a socket apart.
    pub local: PeerAddress,
    /// Transport of the connection.
    pub transport: TransportKind,
    /// Our end of the connection.
    pub role: Role,
    /// Over TLS, the certificate that it has proved to own and that our TLS configuration has
    /// verified.
    pub certificates: Option<CertificateChain>,
    /// The HTTP request of a WebSocket peer, where we are the bind end.
    pub request: Option<UpgradeRequest>,
}

impl Message for Candidate {
    type Result = Admission;
}

impl Candidate {
    /// A candidate without certificate and request: to test an authorizer without a connection.
    #[must_use]
    pub const fn new(
        identity: Identity,
        address: PeerAddress,
        local: PeerAddress,
        transport: TransportKind,
        role: Role,
    ) -> Self {
        Self {
            identity,
            address,
            local,
            transport,
            role,
            certificates: None,
            request: None,
        }
    }
}
