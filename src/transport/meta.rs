//! Facts about a connection before its first frame.

use bytes::Bytes;

use super::stream::ByteStream;
use super::upgrade_request::UpgradeRequest;
use crate::address::{CertificateChain, PeerAddress, TransportKind};

/// Facts about a connection before its first frame.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMeta {
    /// The other end.
    pub(crate) remote: PeerAddress,
    /// Our end.
    pub(crate) local: PeerAddress,
    /// The kind of transport.
    pub(crate) transport: TransportKind,
    /// The certificates that the peer proved to own, over TLS.
    pub(crate) certificates: Option<CertificateChain>,
    /// The upgrade request of a WebSocket peer, at the bind end.
    pub(crate) request: Option<UpgradeRequest>,
}

/// A connection that is ready for its first frame.
#[derive(Debug)]
pub(crate) struct Established {
    /// Reads and writes the byte stream of WIRE §2.
    pub(crate) stream: ByteStream,
    /// Bytes of that stream that were read while establishing; they come before what
    /// `stream` reads.
    pub(crate) already_read: Bytes,
    /// Facts about the connection.
    pub(crate) meta: ConnectionMeta,
}
