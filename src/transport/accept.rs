//! From an accepted connection to one that is ready for its first frame.

use std::cell::Cell;
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use super::error::TransportError;
use super::meta::{ConnectionMeta, Established};
use super::options::BindOptions;
use super::protocol_detect::{Opening, detect_protocol};
use super::stream::ByteStream;
#[cfg(feature = "actix-web")]
use super::web_bridge::{Mounted, Upgraded, WebEnds};
use super::{tcp, websocket};
use crate::address::{PeerAddress, TransportKind};

/// A connection as the system handed it over. Dropping it closes the connection.
///
/// It is established on the arbiter of its listener, or, once it is [detached](Self::detached), on
/// another.
#[derive(Debug)]
pub(crate) struct Accepted {
    remote: PeerAddress,
    raw: RawStream,
    options: Arc<BindOptions>,
}

#[derive(Debug)]
pub(super) enum RawStream {
    /// Of the runtime that has accepted it.
    Tcp(TcpStream),
    /// Of none. Non-blocking already.
    Detached(StdTcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    Memory(DuplexStream),
    /// Upgraded by a web server, with nothing more to do below the first frame.
    #[cfg(feature = "actix-web")]
    Mounted(Box<Mounted>),
}

impl Accepted {
    pub(super) fn new(remote: PeerAddress, raw: RawStream, options: Arc<BindOptions>) -> Self {
        Self {
            remote,
            raw,
            options,
        }
    }

    /// A WebSocket connection that a web server upgrades, and the ends of the pipes that the server
    /// moves its bytes through.
    #[cfg(feature = "actix-web")]
    pub(crate) fn mounted(remote: PeerAddress, upgraded: Upgraded) -> (Self, WebEnds) {
        let (mounted, ends) = Mounted::new(upgraded);
        let raw = RawStream::Mounted(Box::new(mounted));
        (Self::new(remote, raw, BindOptions::new().into()), ends)
    }

    /// The other end.
    pub(crate) fn remote(&self) -> &PeerAddress {
        &self.remote
    }

    /// For another arbiter than the one that has accepted it.
    ///
    /// # Errors
    ///
    /// What the system answers when the connection leaves the runtime of this one.
    pub(crate) fn detached(mut self) -> io::Result<Self> {
        if let RawStream::Tcp(stream) = self.raw {
            self.raw = RawStream::Detached(stream.into_std()?);
        }
        Ok(self)
    }

    /// As [`establish_noting`](Self::establish_noting), for whom it is all the same whether the peer said anything.
    #[cfg(test)]
    pub(crate) async fn establish(self) -> Result<Established, TransportError> {
        self.establish_noting(&Cell::new(false)).await
    }

    /// Sets the options of the endpoint, does the handshakes below the first frame, and waits for
    /// its first byte, which tells a raw peer from a WebSocket one (WIRE §8.1). It waits for the
    /// peer as long as the peer likes: call it under the handshake timeout. `heard` is set once it
    /// has sent anything. A peer that is refused has at most 1 s to read why before this returns.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; its variant names the step that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) async fn establish_noting(
        self,
        heard: &Cell<bool>,
    ) -> Result<Established, TransportError> {
        let Self {
            remote,
            raw,
            options,
        } = self;
        let (stream, meta) = open(raw, remote, &options)?;
        if meta.request.is_some() {
            // A web server has upgraded it already.
            heard.set(true);
            return Ok(Established {
                stream,
                already_read: Bytes::new(),
                meta,
            });
        }
        let (mut stream, mut meta) = secure(stream, meta, &options, heard).await?;
        let opening = detect_protocol(&mut stream).await?;
        heard.set(true);
        let (stream, already_read) = match opening {
            Opening::Raw(already_read) => (stream, already_read),
            Opening::Http(read) => {
                let origins = &options.allowed_origins;
                let (stream, request) = websocket::accept(stream, read, origins).await?;
                let stream = ByteStream::WebSocket(Box::new(stream));
                meta.transport = meta.transport.upgraded();
                meta.request = Some(request);
                (stream, Bytes::new())
            }
        };
        Ok(Established {
            stream,
            already_read,
            meta,
        })
    }
}

/// Hands the raw stream to the runtime that runs now, and sets its options.
fn open(
    raw: RawStream,
    remote: PeerAddress,
    options: &BindOptions,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let (stream, local, transport) = match raw {
        RawStream::Detached(stream) => {
            let io = TransportError::io("setting up the TCP stream");
            let stream = TcpStream::from_std(stream).map_err(io)?;
            return open(RawStream::Tcp(stream), remote, options);
        }
        RawStream::Tcp(stream) => {
            let io = || TransportError::io("setting up the TCP stream");
            tcp::tune(&stream, &options.tcp).map_err(io())?;
            let local = PeerAddress::Socket(stream.local_addr().map_err(io())?);
            (ByteStream::Tcp(stream), local, TransportKind::Tcp)
        }
        #[cfg(unix)]
        RawStream::Unix(stream) => {
            let io = TransportError::io("setting up the Unix-domain stream");
            let stream = tokio::net::UnixStream::from_std(stream).map_err(io)?;
            (
                ByteStream::Unix(stream),
                remote.without_process(),
                TransportKind::Unix,
            )
        }
        RawStream::Memory(stream) => (
            ByteStream::Memory(stream),
            remote.clone(),
            TransportKind::Memory,
        ),
        #[cfg(feature = "actix-web")]
        RawStream::Mounted(mounted) => return Ok(mounted.open(remote)),
    };
    let meta = ConnectionMeta {
        remote,
        local,
        transport,
        certificates: None,
        request: None,
    };
    Ok((stream, meta))
}

/// A probe that only connects ends a TLS handshake that it never began.
#[cfg(feature = "tls")]
async fn refuse_silence(stream: &ByteStream) -> Result<(), TransportError> {
    let ByteStream::Tcp(stream) = stream else {
        return Ok(());
    };
    match stream.peek(&mut [0]).await {
        Ok(0) => Err(TransportError::Silent),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(TransportError::Silent),
        // What failed otherwise is told by the handshake.
        _ => Ok(()),
    }
}

/// TLS, if the endpoint was bound with it.
#[cfg(feature = "tls")]
async fn secure(
    stream: ByteStream,
    mut meta: ConnectionMeta,
    options: &BindOptions,
    heard: &Cell<bool>,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let Some(tls) = &options.tls else {
        return Ok((stream, meta));
    };
    refuse_silence(&stream).await?;
    heard.set(true);
    let (stream, certificates) = super::tls::accept(stream, tls).await?;
    meta.transport = TransportKind::Tls;
    meta.certificates = certificates;
    Ok((stream, meta))
}

#[cfg(not(feature = "tls"))]
async fn secure(
    stream: ByteStream,
    meta: ConnectionMeta,
    _: &BindOptions,
    _: &Cell<bool>,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    Ok((stream, meta))
}
