//! Connections that a web server of the application accepted, upgraded and hands over.
//!
//! The web server's thread moves bytes between the HTTP connection and two pipes, and the
//! connection reads and writes their other ends, from whatever thread it runs in. There is a pipe
//! for each direction, so that each end notices at once when the other one is dropped.

use bytes::BytesMut;
use tokio::io::{DuplexStream, duplex, join};

use super::meta::ConnectionMeta;
use super::stream::{ByteStream, Pipes};
use super::upgrade_request::UpgradeRequest;
use super::websocket;
use crate::address::{CertificateChain, PeerAddress, TransportKind};

/// Bytes that each direction holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// The web server's ends of the two pipes.
#[derive(Debug)]
pub(crate) struct WebEnds {
    /// Takes what the peer sends; dropping it is the peer's end of stream.
    pub(crate) incoming: DuplexStream,
    /// Yields what the peer is to get; it ends when our writing side has ended.
    pub(crate) outgoing: DuplexStream,
}

/// Facts that the web server knows of a connection that it upgrades.
#[derive(Debug)]
pub(crate) struct Upgraded {
    /// Our end.
    pub(crate) local: PeerAddress,
    /// The kind of transport.
    pub(crate) transport: TransportKind,
    /// The certificate that the peer proved to own.
    pub(crate) certificates: Option<CertificateChain>,
    /// The request, already judged.
    pub(crate) request: UpgradeRequest,
}

/// A connection whose upgrade was judged and is being answered.
#[derive(Debug)]
pub(super) struct Mounted {
    pipes: Pipes,
    upgraded: Upgraded,
}

impl Mounted {
    /// The connection, and the ends of its pipes that are the web server's.
    pub(super) fn new(upgraded: Upgraded) -> (Self, WebEnds) {
        let (reader, incoming) = duplex(PIPE_BYTES);
        let (writer, outgoing) = duplex(PIPE_BYTES);
        let pipes = join(reader, writer);
        (Self { pipes, upgraded }, WebEnds { incoming, outgoing })
    }

    /// Everything up to the first frame was the web server's to do.
    pub(super) fn open(self, remote: PeerAddress) -> (ByteStream, ConnectionMeta) {
        let pipes = ByteStream::Mounted(Box::new(self.pipes));
        let meta = ConnectionMeta {
            remote,
            local: self.upgraded.local,
            transport: self.upgraded.transport,
            certificates: self.upgraded.certificates,
            request: Some(self.upgraded.request),
        };
        let stream = websocket::serve(pipes, BytesMut::new());
        (ByteStream::WebSocket(Box::new(stream)), meta)
    }
}
