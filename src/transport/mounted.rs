//! Connections that a web server of the application accepted, upgraded and hands over.
//!
//! The web server's thread moves bytes between the HTTP connection and two pipes, and the
//! connection reads and writes their other ends, from whatever thread it runs in. There is a pipe
//! for each direction, so that each end notices at once when the other one is dropped.

use bytes::BytesMut;
use tokio::io::{DuplexStream, Join, duplex, join};

use super::accept::{Accepted, RawStream};
use super::certificates::CertificateChain;
use super::meta::{ConnectionMeta, PeerAddress, TransportKind};
use super::options::BindOptions;
use super::stream::ByteStream;
use super::upgrade_request::UpgradeRequest;
use super::websocket;

/// How much each direction holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// The connection's ends of the two pipes.
pub(super) type Pipes = Join<DuplexStream, DuplexStream>;

/// The web server's ends of the two pipes.
#[derive(Debug)]
pub(crate) struct WebEnds {
    /// Takes what the peer sends; dropping it is the peer's end of stream.
    pub(crate) incoming: DuplexStream,
    /// Yields what the peer is to get; it ends when our writing side has ended.
    pub(crate) outgoing: DuplexStream,
}

/// A connection whose upgrade was judged and is being answered.
#[derive(Debug)]
pub(super) struct Mounted {
    pipes: Pipes,
    local: PeerAddress,
    transport: TransportKind,
    certificates: Option<CertificateChain>,
    request: UpgradeRequest,
}

impl Accepted {
    /// A WebSocket connection that a web server upgrades, and what that server moves bytes
    /// through.
    pub(crate) fn mounted(
        remote: PeerAddress,
        local: PeerAddress,
        transport: TransportKind,
        certificates: Option<CertificateChain>,
        request: UpgradeRequest,
    ) -> (Self, WebEnds) {
        let (reader, incoming) = duplex(PIPE_BYTES);
        let (writer, outgoing) = duplex(PIPE_BYTES);
        let mounted = Mounted {
            pipes: join(reader, writer),
            local,
            transport,
            certificates,
            request,
        };
        let raw = RawStream::Mounted(Box::new(mounted));
        let accepted = Self::new(remote, raw, BindOptions::new().into());
        (accepted, WebEnds { incoming, outgoing })
    }
}

impl Mounted {
    /// Everything up to the first frame was the web server's to do.
    pub(super) fn open(self, remote: PeerAddress) -> (ByteStream, ConnectionMeta) {
        let pipes = ByteStream::Mounted(Box::new(self.pipes));
        let meta = ConnectionMeta {
            remote,
            local: self.local,
            transport: self.transport,
            certificates: self.certificates,
            request: Some(self.request),
        };
        (websocket::serve(pipes, BytesMut::new()), meta)
    }
}
