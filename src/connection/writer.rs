//! The outgoing half of a connection: takes blocks out of the link and hands them to the kernel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::liveness_sweep::SweptConnection;
use super::membership::Membership;
use crate::clock;
use crate::link::{NextWrite, WriteBatch};
use crate::transport::ByteStream;

/// Bytes handed to the kernel in one call.
const WRITE_BYTES: usize = 32 * 1024;

/// Largest batch that is written in one call: a second call for a few bytes would wake the peer as one for
/// many does.
const WRITE_WHOLE: usize = WRITE_BYTES + WRITE_BYTES / 4;

/// Result of a call of the writer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing is left; the link wakes the connection when there is.
    Parked,
    /// The kernel takes no more for now.
    Blocked,
    /// Everything is written, and the writing side is to be ended.
    Finished,
    /// Someone ended the connection.
    Closed,
}

/// Writes until there is nothing left or the kernel takes no more.
pub(super) fn poll_write(
    membership: &mut Membership,
    swept: &SweptConnection,
    cx: &mut Context<'_>,
) -> io::Result<Written> {
    let (core, link, batch) = membership.writing();
    let stream = &mut *swept.stream.borrow_mut();
    loop {
        if batch.written == batch.len() {
            match core.router.next_write(link, batch, cx.waker()) {
                NextWrite::Write => {}
                NextWrite::Park => {
                    // A layer such as TLS may hold back what it was given.
                    if let Poll::Ready(Err(error)) = Pin::new(&mut *stream).poll_flush(cx) {
                        return Err(error);
                    }
                    return Ok(Written::Parked);
                }
                NextWrite::Finish => return Ok(Written::Finished),
                NextWrite::Closed => return Ok(Written::Closed),
            }
        }
        match write_some(stream, batch, cx) {
            Poll::Pending if link.may_wait(cx.waker()) => return Ok(Written::Blocked),
            Poll::Pending => return Ok(Written::Closed),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                batch.written += written;
                swept.note_sent();
                if link.is_waited_for() {
                    link.note_accepted(clock::uptime(clock::now()), written);
                }
            }
        }
    }
}

/// One call to the kernel: the rest of the control frames, the encoded frames and the large
/// payload behind them, up to the size that is fastest.
fn write_some(
    stream: &mut ByteStream,
    batch: &WriteBatch,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let (head, tail) = match &batch.block {
        Some(block) => (block.head(), &block.tail()[..]),
        None => (&[][..], &[][..]),
    };
    let mut skip = batch.written;
    let mut left = match batch.len() - batch.written {
        few @ ..=WRITE_WHOLE => few,
        many => {
            stream.announce(many);
            WRITE_BYTES
        }
    };
    let mut slices = [IoSlice::new(&[]); 3];
    let mut count = 0;
    for part in [&batch.control[..], head, tail] {
        let start = skip.min(part.len());
        skip -= start;
        let part = &part[start..];
        let part = &part[..part.len().min(left)];
        left -= part.len();
        if !part.is_empty() {
            slices[count] = IoSlice::new(part);
            count += 1;
        }
    }
    let stream = Pin::new(stream);
    match &slices[..count] {
        [one] => stream.poll_write(cx, one),
        several => stream.poll_write_vectored(cx, several),
    }
}
