//! The payloads of binary messages as one byte stream (WIRE §8.2).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::decoder::{ControlEvent, Cursor, Decoder};
use super::frame::{MAX_HEADER_BYTES, Opcode, put_fragment, put_frame};
use super::heartbeats::{WebSocketHeartbeats, WriteTurn};
use crate::address::{Role, WebSocketViolation};
use crate::transport::graceful_close::{GRACE, SCRATCH_BYTES};

/// Payload of one frame of ours. Pongs go between frames, so they never wait for more. With its
/// header a frame fills two TLS records; a third one of a few bytes would cost about as much as either.
const FRAME_BYTES: usize = 32 * 1024 - MAX_HEADER_BYTES;

/// Least part of an announced write that goes into one message. A browser hands every message to its page by
/// itself, which costs it much more than the bytes; many libraries refuse messages above 1 MiB.
const MESSAGE_BYTES: usize = 512 * 1024;

/// The code of an orderly close.
const NORMAL: u16 = 1000;

/// The code for a peer that is not wanted, whatever it did.
pub(in crate::transport) const POLICY: u16 = 1008;

/// The bytes below a WebSocket connection: those of TCP, of TLS, or of pipes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A WebSocket connection after its upgrade, as a byte stream.
///
/// Reading decodes in the reader's own buffer and writing encodes one frame of at most 32 KiB at a
/// time, so an idle connection holds no buffer. Frames of what was [announced](Self::announce) are the parts of
/// larger messages. Pings are answered while reading, at most one pong
/// waits. Reading and writing have to be polled by one task, because reading may have to write.
///
/// After the peer's close frame, which is echoed, or after a violation, which is answered with its
/// code, reading ends this side, reads and discards for at most 1 s, and only then tells: the end
/// of the stream, or an [`io::ErrorKind::InvalidData`] with the [`WebSocketViolation`] in it.
///
/// Shutting down sends a close frame; what the peer still sends can be read. A bind end ends its side
/// with it, a connect end when the peer has answered.
#[derive(Debug)]
pub(crate) struct WebSocketStream<S> {
    inner: S,
    role: Role,
    decoder: Decoder,
    /// Bytes that followed the upgrade in the same read, not decoded yet.
    early: BytesMut,
    /// Encoded bytes that are not written yet: at most one data frame and one control frame.
    out: BytesMut,
    /// Bytes that follow for certain.
    announced: usize,
    /// Bytes of the message whose last frame has not been encoded; zero between messages.
    in_message: usize,
    /// Written to `inner`, but maybe not through it.
    unflushed: bool,
    /// The body of the newest ping that was not answered yet; RFC 6455 §5.5.3 lets older ones go.
    pong: Option<Vec<u8>>,
    /// The peer closed because it does not want us.
    refused: bool,
    state: CloseState,
    /// Present if another thread may write heartbeats.
    turn: Option<Arc<Mutex<WriteTurn>>>,
}

#[derive(Debug)]
enum CloseState {
    Open,
    /// Our close frame is on its way, the peer may still send.
    ClosedByUs,
    /// No more payload: the last words leave, then the connection.
    Closing(Box<Closing>),
    Closed,
}

#[derive(Debug)]
struct Closing {
    /// Set when it is first polled.
    deadline: Option<Pin<Box<Sleep>>>,
    step: LastWords,
    /// The violation that the reader is told in the end.
    violation: Option<WebSocketViolation>,
}

#[derive(Clone, Copy, Debug)]
enum LastWords {
    EndOurSide,
    Discard,
}

impl<S: Stream> WebSocketStream<S> {
    pub(super) fn new(inner: S, role: Role, early: BytesMut) -> Self {
        Self {
            inner,
            role,
            decoder: Decoder::new(role),
            early,
            out: BytesMut::new(),
            announced: 0,
            in_message: 0,
            unflushed: false,
            pong: None,
            refused: false,
            state: CloseState::Open,
            turn: None,
        }
    }

    /// Reads once into `buf` and decodes it there. `Ready` without payload is the end.
    fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        loop {
            // A pong that cannot leave, or a peer that does not read, is no reason not to read.
            let _ = self.poll_rest(cx);
            if self.early.is_empty() {
                ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            } else {
                let early = self.early.split_to(self.early.len().min(buf.remaining()));
                buf.put_slice(&early);
                if self.early.is_empty() {
                    self.early = BytesMut::new();
                }
            }
            let read = &mut buf.filled_mut()[start..];
            if read.is_empty() {
                return Poll::Ready(self.end());
            }
            let mut cursor = Cursor::default();
            while let Some(event) = self.decoder.decode(read, &mut cursor) {
                match event {
                    ControlEvent::Ping(body) => self.pong = Some(body),
                    ControlEvent::Close(code) => {
                        self.refused = code == Some(POLICY);
                        self.close(code, None);
                        break;
                    }
                    ControlEvent::Violation(violation) => {
                        self.close(Some(violation.close_code()), Some(violation));
                        break;
                    }
                }
            }
            buf.set_filled(start + cursor.written);
            if cursor.written > 0 {
                return Poll::Ready(Ok(()));
            }
            if !self.is_readable() {
                return self.poll_closing(cx);
            }
        }
    }

    /// So many bytes are about to be written, with nothing else before the last of them.
    pub(in crate::transport) const fn announce(&mut self, bytes: usize) {
        self.announced = bytes;
    }

    /// Shutting down tells the peer this code.
    pub(in crate::transport) fn close_with(&mut self, code: u16) {
        if matches!(self.state, CloseState::Open) {
            self.put_close(Some(code));
            self.state = CloseState::ClosedByUs;
        }
    }

    /// True if the peer closed because it does not want us.
    pub(in crate::transport) const fn was_refused(&self) -> bool {
        self.refused
    }

    /// Bytes that wait to be written, for tests of the bound.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.out.len() + self.pong.as_ref().map_or(0, Vec::len)
    }

    fn is_readable(&self) -> bool {
        match self.state {
            CloseState::Open | CloseState::ClosedByUs => true,
            CloseState::Closing(_) | CloseState::Closed => false,
        }
    }

    /// The peer ended its side without a close frame.
    fn end(&mut self) -> io::Result<()> {
        if self.decoder.is_between_frames() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Ends the connection, with a close frame if none of ours has left.
    fn close(&mut self, code: Option<u16>, violation: Option<WebSocketViolation>) {
        if matches!(self.state, CloseState::Open) {
            self.put_close(code);
        }
        self.state = CloseState::Closing(Box::new(Closing {
            deadline: None,
            step: LastWords::EndOurSide,
            violation,
        }));
    }

    fn put_close(&mut self, code: Option<u16>) {
        let code = code.map(u16::to_be_bytes);
        let body = code.iter().map(<[u8; 2]>::as_slice);
        put_frame(&mut self.out, Opcode::Close, self.role, body);
        self.pong = None;
    }

    /// Ends our side, discards what the peer still sends, for at most 1 s, then tells the reader.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let CloseState::Closing(mut closing) =
            std::mem::replace(&mut self.state, CloseState::Closed)
        else {
            return Poll::Ready(Ok(()));
        };
        let deadline = closing
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(GRACE)));
        let late = deadline.as_mut().poll(cx).is_ready();
        if !late && self.poll_last_words(cx, &mut closing.step).is_pending() {
            self.state = CloseState::Closing(closing);
            return Poll::Pending;
        }
        Poll::Ready(match closing.violation {
            None => Ok(()),
            Some(violation) => Err(io::Error::new(io::ErrorKind::InvalidData, violation)),
        })
    }

    fn poll_last_words(
        &mut self,
        cx: &mut Context<'_>,
        step: &mut LastWords,
    ) -> Poll<io::Result<()>> {
        if let LastWords::EndOurSide = step {
            ready!(self.poll_out(cx))?;
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            *step = LastWords::Discard;
        }
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let mut scratch = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut scratch))?;
            if scratch.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes what was encoded, then the pong that waits, through to the system.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(turn) = self.turn.clone() else {
            return self.poll_encoded(cx);
        };
        let mut turn = turn.lock();
        if !turn.rest.is_empty() {
            // Nothing of what is encoded had been written when the heartbeat was begun.
            let encoded = std::mem::replace(&mut self.out, std::mem::take(&mut turn.rest));
            self.out.extend_from_slice(&encoded);
        }
        let written = self.poll_encoded(cx);
        turn.is_between_messages =
            self.out.is_empty() && self.in_message == 0 && matches!(self.state, CloseState::Open);
        written
    }

    fn poll_encoded(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.out.is_empty() {
                let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.out.advance(written);
                self.unflushed = true;
            }
            let Some(body) = self.pong.take() else { break };
            put_frame(
                &mut self.out,
                Opcode::Pong,
                self.role,
                std::iter::once(body.as_slice()),
            );
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The same where nothing more is to follow: an idle connection holds no buffer.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Takes at most one frame's worth of `pieces`, once what was taken before has left.
    fn poll_send<'a>(
        &mut self,
        cx: &mut Context<'_>,
        pieces: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<io::Result<usize>> {
        match self.state {
            CloseState::Open => {}
            // The reader is about to tell why, and this end of it must not get there first.
            CloseState::Closing(_) => return Poll::Pending,
            CloseState::ClosedByUs | CloseState::Closed => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        ready!(self.poll_out(cx))?;
        let mut room = FRAME_BYTES;
        let taken = pieces.map_while(move |piece| {
            let taken = piece.len().min(room);
            room -= taken;
            (taken > 0 || piece.is_empty()).then(|| &piece[..taken])
        });
        let count = taken.clone().map(<[u8]>::len).sum();
        if count > 0 {
            self.put_data(taken, count);
            // It is taken whether or not it leaves now; a failure shows at the next call.
            let _ = self.poll_out(cx);
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: Stream> WebSocketStream<S> {
    /// The same connection over what becomes of the stream below.
    pub(in crate::transport) fn map_inner<R>(self, map: impl FnOnce(S) -> (S, R)) -> (Self, R) {
        let (inner, result) = map(self.inner);
        (Self { inner, ..self }, result)
    }

    /// From now on another thread may write heartbeats, with this.
    pub(in crate::transport) fn heartbeats(&mut self) -> WebSocketHeartbeats {
        let turn = Arc::clone(self.turn.get_or_insert_default());
        WebSocketHeartbeats {
            role: self.role,
            turn,
        }
    }

    /// Encodes `count` bytes of `payload` as a message or a part of one.
    fn put_data<'a>(&mut self, payload: impl Iterator<Item = &'a [u8]> + Clone, count: usize) {
        let opcode = match self.in_message {
            0 => Opcode::Binary,
            _ => Opcode::Continuation,
        };
        self.in_message += count;
        self.announced = self.announced.saturating_sub(count);
        if self.announced > 0 && self.in_message < MESSAGE_BYTES {
            put_fragment(&mut self.out, opcode, self.role, payload);
        } else {
            put_frame(&mut self.out, opcode, self.role, payload);
            self.in_message = 0;
        }
    }
}

impl<S: Stream> AsyncRead for WebSocketStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_readable() {
            return this.poll_closing(cx);
        }
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        this.poll_payload(cx, buf)
    }
}

impl<S: Stream> AsyncWrite for WebSocketStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, std::iter::once(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, bufs.iter().map(|buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.state, CloseState::Open) {
            this.put_close(Some(NORMAL));
            this.state = CloseState::ClosedByUs;
        }
        ready!(this.poll_out(cx))?;
        match (this.role, &this.state) {
            // It is the server that ends TCP, once it has read all this and our close frame
            // (RFC 6455 §7.1.1). There are web servers that drop what they have not passed on when
            // they see our side end.
            (Role::ConnectEnd, CloseState::ClosedByUs) => Poll::Ready(Ok(())),
            _ => Pin::new(&mut this.inner).poll_shutdown(cx),
        }
    }
}
