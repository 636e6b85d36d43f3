//! From an accepted connection to one that is ready for its first frame.

use std::net::TcpStream as StdTcpStream;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::error::TransportError;
use super::meta::{ConnectionMeta, Established, PeerAddress, TransportKind};
use super::options::BindOptions;
use super::stream::ByteStream;
use super::tcp;

/// A connection as the system handed it over. Dropping it closes the connection.
///
/// It belongs to no runtime yet, so that it can be established on another arbiter than the
/// listener's.
#[derive(Debug)]
pub(crate) struct Accepted {
    remote: PeerAddress,
    raw: RawStream,
    options: Arc<BindOptions>,
}

#[derive(Debug)]
pub(super) enum RawStream {
    /// Non-blocking already.
    Tcp(StdTcpStream),
}

impl Accepted {
    pub(super) fn new(remote: PeerAddress, raw: RawStream, options: Arc<BindOptions>) -> Self {
        Self {
            remote,
            raw,
            options,
        }
    }

    /// The other end.
    pub(crate) fn remote(&self) -> &PeerAddress {
        &self.remote
    }

    /// Sets the options of the endpoint and does the handshakes below the first frame. It waits
    /// for the peer as long as the peer likes: call it under the handshake timeout.
    ///
    /// # Errors
    ///
    /// [`TransportError::Io`] if the connection is gone or the system refuses an option.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) async fn establish(self) -> Result<Established, TransportError> {
        let Self {
            remote,
            raw,
            options,
        } = self;
        match raw {
            RawStream::Tcp(stream) => {
                let io = || TransportError::io("setting up the TCP stream");
                let stream = TcpStream::from_std(stream).map_err(io())?;
                tcp::tune(&stream, options.nodelay, options.keepalive).map_err(io())?;
                let local = PeerAddress::Socket(stream.local_addr().map_err(io())?);
                Ok(Established {
                    stream: ByteStream::Tcp(stream),
                    already_read: Bytes::new(),
                    meta: ConnectionMeta {
                        remote,
                        local,
                        transport: TransportKind::Tcp,
                    },
                })
            }
        }
    }
}
