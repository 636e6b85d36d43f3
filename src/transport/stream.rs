//! One type for every kind of connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use super::graceful_close::close_gracefully;
use super::shared::{HeartbeatWriter, SharedStream};
use super::websocket::{POLICY, WebSocketStream};

/// The byte stream of WIRE §2, whatever it travels in.
///
/// Reading and writing have to be polled by one task: below TLS and WebSocket, reading may have to
/// write and writing may have to read. What was written may wait inside until it is flushed.
///
/// A closed enum rather than a trait object, so that the common case costs one predictable branch;
/// what is large is boxed, because an idle connection keeps its stream.
#[derive(Debug)]
pub(crate) enum ByteStream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// Plain TCP that another thread can write heartbeats to.
    SharedTcp(SharedStream<tokio::net::tcp::OwnedReadHalf>),
    /// A Unix-domain socket that another thread can write heartbeats to.
    #[cfg(unix)]
    SharedUnix(SharedStream<tokio::net::unix::OwnedReadHalf>),
    /// A pipe inside this process.
    Memory(DuplexStream),
    /// Pipes to a web server that upgraded the connection.
    #[cfg(feature = "actix-web")]
    Mounted(Box<Pipes>),
    /// WebSocket over one of the others.
    WebSocket(Box<WebSocketStream<ByteStream>>),
    /// TLS over one of the above.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::TlsStream<ByteStream>>),
    /// One end of a connection over a network that a test simulates.
    #[cfg(test)]
    Simulated(Box<dyn Simulated>),
}

/// The ends of two pipes, one for each direction, that are ours.
#[cfg(feature = "actix-web")]
pub(super) type Pipes = tokio::io::Join<DuplexStream, DuplexStream>;

/// Why a peer is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// The peer may not come in.
    NotWanted,
    /// The peer broke a rule of the protocol.
    Violation,
    /// The peer announced a frame above the limit.
    TooLarge,
}

impl Dismissal {
    /// Those of RFC 6455 §7.4.1.
    const fn close_code(self) -> u16 {
        match self {
            Self::NotWanted => POLICY,
            Self::Violation => 1002,
            Self::TooLarge => 1009,
        }
    }
}

impl ByteStream {
    /// Closes the connection of a peer that is sent away. A WebSocket peer is told why by its
    /// close code and has at most 1 s to read it; there is no way to tell the others.
    pub(crate) async fn dismiss(mut self, dismissal: Dismissal) {
        if let Self::WebSocket(stream) = &mut self {
            stream.close_with(dismissal.close_code());
            close_gracefully(self).await;
        }
    }

    /// The stream, and who can write a heartbeat to it from another thread: nobody over TLS, or where there is no
    /// socket below.
    pub(crate) fn share(self) -> (Self, Option<HeartbeatWriter>) {
        match self {
            Self::Tcp(stream) => {
                let (stream, writer) = SharedStream::of_tcp(stream);
                (Self::SharedTcp(stream), Some(writer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (stream, writer) = SharedStream::of_unix(stream);
                (Self::SharedUnix(stream), Some(writer))
            }
            Self::WebSocket(stream) => {
                let (mut stream, writer) = stream.map_inner(Self::share);
                let writer = writer.map(|writer| writer.over_websocket(stream.heartbeats()));
                (Self::WebSocket(Box::new(stream)), writer)
            }
            other => (other, None),
        }
    }

    /// The stream, to be closed elsewhere; what stays behind is at its end.
    pub(crate) fn take(&mut self) -> Self {
        let (closed, _) = tokio::io::duplex(1);
        std::mem::replace(self, Self::Memory(closed))
    }

    /// So many bytes are about to be written, with nothing else before the last of them. WebSocket makes one
    /// message of them, where it would make many.
    pub(crate) fn announce(&mut self, bytes: usize) {
        if let Self::WebSocket(stream) = self {
            stream.announce(bytes);
        }
    }

    /// Writes what the system takes at once, where that can be done without waking the task that polls
    /// the stream: on plain ones. Nothing may be waiting to be written.
    ///
    /// # Errors
    ///
    /// Those of the system. Where nothing can be written at once, `WouldBlock`.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
            Self::SharedTcp(stream) => stream.whole().try_write(bytes),
            #[cfg(unix)]
            Self::SharedUnix(stream) => stream.whole().try_write(bytes),
            Self::Memory(_) | Self::WebSocket(_) => Err(io::ErrorKind::WouldBlock.into()),
            #[cfg(feature = "actix-web")]
            Self::Mounted(_) => Err(io::ErrorKind::WouldBlock.into()),
            #[cfg(feature = "tls")]
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
            #[cfg(test)]
            Self::Simulated(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Ready if there may be something to read. If there is not, the task is woken when there is. A stream with
    /// layers of its own may always have something.
    #[inline(always)]
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // What failed is found out by reading.
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            #[cfg(unix)]
            Self::Unix(stream) => stream.poll_read_ready(cx).map(drop),
            Self::SharedTcp(stream) => stream.whole().poll_read_ready(cx).map(drop),
            #[cfg(unix)]
            Self::SharedUnix(stream) => stream.whole().poll_read_ready(cx).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// True if the peer has told us that we are not wanted.
    pub(crate) fn was_refused(&self) -> bool {
        matches!(self, Self::WebSocket(stream) if stream.was_refused())
    }
}

/// A stream that a test makes up.
#[cfg(test)]
pub(crate) trait Simulated: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

/// Calls the same method on whatever is inside, given a reference to the enum.
macro_rules! delegate {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            ByteStream::Tcp($inner) => $call,
            #[cfg(unix)]
            ByteStream::Unix($inner) => $call,
            ByteStream::SharedTcp($inner) => $call,
            #[cfg(unix)]
            ByteStream::SharedUnix($inner) => $call,
            ByteStream::Memory($inner) => $call,
            #[cfg(feature = "actix-web")]
            ByteStream::Mounted($inner) => $call,
            ByteStream::WebSocket($inner) => $call,
            #[cfg(feature = "tls")]
            ByteStream::Tls($inner) => $call,
            #[cfg(test)]
            ByteStream::Simulated($inner) => $call,
        }
    };
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = this
            && stream.get_ref().1.wants_write()
        {
            // What reading made TLS answer, or an earlier write left behind. It is no reason not to
            // read, and a failure shows when something is written.
            let _ = Pin::new(stream).poll_flush(cx);
        }
        delegate!(this, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        delegate!(self, inner => inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}
