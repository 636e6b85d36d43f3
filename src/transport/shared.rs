//! Plain streams whose connection another thread can write a heartbeat to.
//!
//! The task of the connection reads and writes as ever. A [`HeartbeatWriter`] has the same socket, so that
//! somebody can speak for the connection while a handler blocks its thread.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use super::websocket::WebSocketHeartbeats;
use crate::wire::HEARTBEAT_FRAME;

/// The part of a plain stream that its connection keeps: all of it. `S` is the half that reads, which
/// yields the whole stream, too.
#[derive(Debug)]
pub(crate) struct SharedStream<S>(S);

/// The part of a plain stream that writes heartbeats, from any thread.
///
/// Whoever writes sees to it that nobody writes at the same time, nor has written a part of a frame.
#[derive(Debug)]
pub(crate) struct HeartbeatWriter(Carried);

/// What the stream carries.
#[derive(Debug)]
enum Carried {
    Frames(SocketWriter),
    /// WebSocket, where a heartbeat is a message.
    WebSocket(Box<(SocketWriter, WebSocketHeartbeats)>),
}

/// Writes to a socket that somebody else closes.
#[derive(Debug)]
struct SocketWriter(Option<WriteHalf>);

#[derive(Debug)]
enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

impl HeartbeatWriter {
    const fn new(half: WriteHalf) -> Self {
        Self(Carried::Frames(SocketWriter(Some(half))))
    }

    /// The stream carries WebSocket.
    pub(super) fn over_websocket(self, heartbeats: WebSocketHeartbeats) -> Self {
        match self.0 {
            Carried::Frames(socket) => Self(Carried::WebSocket(Box::new((socket, heartbeats)))),
            websocket @ Carried::WebSocket(_) => Self(websocket),
        }
    }

    /// Writes a heartbeat, as far as the system takes it at once. Yields how much of [`HEARTBEAT_FRAME`] needs nobody
    /// who goes on with it.
    ///
    /// # Errors
    ///
    /// Those of the system; `WouldBlock` if it takes nothing.
    pub(crate) fn try_heartbeat(&self) -> io::Result<usize> {
        match &self.0 {
            Carried::Frames(socket) => socket.try_write(&HEARTBEAT_FRAME),
            Carried::WebSocket(shared) => {
                let (socket, heartbeats) = &**shared;
                heartbeats.try_heartbeat(|frame| socket.try_write(frame))?;
                Ok(HEARTBEAT_FRAME.len())
            }
        }
    }
}

impl SocketWriter {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(WriteHalf::Tcp(half)) => half.try_write(bytes),
            #[cfg(unix)]
            Some(WriteHalf::Unix(half)) => half.try_write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for SocketWriter {
    fn drop(&mut self) {
        // A half that is dropped otherwise ends the writing side, which is the connection's to do.
        match self.0.take() {
            Some(WriteHalf::Tcp(half)) => half.forget(),
            #[cfg(unix)]
            Some(WriteHalf::Unix(half)) => half.forget(),
            None => {}
        }
    }
}

impl SharedStream<tcp::OwnedReadHalf> {
    pub(super) fn of_tcp(stream: TcpStream) -> (Self, HeartbeatWriter) {
        let (read, write) = stream.into_split();
        (Self(read), HeartbeatWriter::new(WriteHalf::Tcp(write)))
    }
}

#[cfg(unix)]
impl SharedStream<unix::OwnedReadHalf> {
    pub(super) fn of_unix(stream: UnixStream) -> (Self, HeartbeatWriter) {
        let (read, write) = stream.into_split();
        (Self(read), HeartbeatWriter::new(WriteHalf::Unix(write)))
    }
}

/// The same for both kinds, whose methods have no trait in common.
macro_rules! shared {
    ($half:ty, $whole:ty) => {
        impl SharedStream<$half> {
            pub(super) fn whole(&self) -> &$whole {
                self.0.as_ref()
            }

            /// Repeats `write` until it is ready.
            fn poll_io(
                &self,
                cx: &mut Context<'_>,
                write: impl Fn(&$whole) -> io::Result<usize>,
            ) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.whole().poll_write_ready(cx))?;
                    match write(self.whole()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => return Poll::Ready(written),
                    }
                }
            }
        }

        impl AsyncRead for SharedStream<$half> {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
            }
        }

        impl AsyncWrite for SharedStream<$half> {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_io(cx, |stream| stream.try_write(buf))
            }

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_io(cx, |stream| stream.try_write_vectored(bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(SockRef::from(self.whole()).shutdown(Shutdown::Write))
            }
        }
    };
}

shared!(tcp::OwnedReadHalf, TcpStream);
#[cfg(unix)]
shared!(unix::OwnedReadHalf, UnixStream);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, dialled) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (accepted.unwrap().0, dialled.unwrap())
    }

    #[actix_rt::test]
    async fn another_thread_writes_and_the_connection_ends_its_side_alone() {
        let (ours, mut peer) = pair().await;
        let (mut stream, writer) = SharedStream::of_tcp(ours);
        stream.write_all(b"one ").await.unwrap();
        let writer = std::thread::spawn(move || {
            let Carried::Frames(socket) = &writer.0 else {
                panic!("it is plain: {writer:?}");
            };
            assert_eq!(socket.try_write(b"two ").unwrap(), 4);
            writer
        });
        let writer = writer.join().unwrap();
        // Dropping it ends nothing.
        drop(writer);
        stream.write_all(b"three").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "one two three");
        peer.write_all(b"and back").await.unwrap();
        drop(peer);
        said.clear();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "and back");
    }

    #[actix_rt::test]
    async fn a_peer_that_does_not_read_stops_the_connection_and_its_reading_lets_it_go_on() {
        const BYTES: usize = 16 * 1024 * 1024;
        let (ours, mut peer) = pair().await;
        let (mut stream, writer) = SharedStream::of_tcp(ours);
        let write = async {
            stream.write_all(&vec![7; BYTES]).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let read = async {
            tokio::task::yield_now().await;
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.unwrap();
            assert_eq!(read.len(), BYTES);
        };
        tokio::join!(write, read);
        drop(writer);
    }
}
