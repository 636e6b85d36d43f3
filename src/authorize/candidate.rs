//! What an authorizer is shown.

use actix::Message;

use super::Admission;
use crate::address::{CertificateChain, PeerAddress, Role, TransportKind};
use crate::id::Identity;
use crate::transport::UpgradeRequest;

/// A peer that has said HELLO and wants to come in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Who it says it is. Nothing proves it.
    pub identity: Identity,
    /// Where it is.
    pub address: PeerAddress,
    /// Our end of the connection, which tells the endpoints of a socket apart.
    pub local: PeerAddress,
    /// What the connection travels in.
    pub transport: TransportKind,
    /// Which end of the connection we are.
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
