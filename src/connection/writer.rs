//! The outgoing half of a connection: takes blocks out of the link and hands them to the kernel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::liveness_sweep::SweptConnection;
use super::membership::Membership;
use crate::clock;
use crate::inbox::read_fairness;
use crate::link::{Link, NextWrite, WriteBatch};
use crate::transport::ByteStream;

/// Bytes handed to the kernel in one call.
const WRITE_BYTES: usize = 32 * 1024;

/// Largest batch that is written in one call: a second call for a few bytes would wake the peer as one for
/// many does.
const WRITE_WHOLE: usize = WRITE_BYTES + WRITE_BYTES / 4;

/// A writer with less than this to write makes way for readers that stand in line on its thread.
const LITTLE: usize = 8 * 1024;

/// So often in a row at most, that what it has is not late by more than as many reads.
const MOST: u8 = 16;

/// Result of a call of the writer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing is left; the link wakes the connection when there is.
    Parked,
    /// The kernel takes no more for now.
    Blocked,
    /// It makes way for readers of this thread, and is to be called again behind them.
    MadeWay,
    /// Everything is written, and the writing side is to be ended.
    Finished,
    /// Someone ended the connection.
    Closed,
}

/// Writes until there is nothing left or the kernel takes no more.
pub(super) fn poll_write(
    membership: &mut Membership,
    swept: &SweptConnection,
    made_way: &mut u8,
    cx: &mut Context<'_>,
) -> io::Result<Written> {
    let (core, link, batch) = membership.writing();
    if batch.len() == 0 && makes_way(link, made_way) {
        return Ok(Written::MadeWay);
    }
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

/// True if the writer lets the readers of its thread go first, because what they read may well be for its peer, too: a write of
/// a few messages costs as much as one of many, and so does its peer's read.
///
/// It is not called again unless its caller sees to it.
fn makes_way(link: &Link, made_way: &mut u8) -> bool {
    let makes_way = *made_way < MOST && read_fairness::has_line() && link.has_less_than(LITTLE);
    *made_way = if makes_way { *made_way + 1 } else { 0 };
    makes_way
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

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::*;
    use crate::id::Identity;
    use crate::inbox::read_fairness::ReadTurn;
    use crate::limits::DeliveryGuarantee;
    use crate::link::{Bound, Entry, LinkLimits, Target};

    fn link() -> Link {
        let limits = LinkLimits::of(1024, 1024 * 1024);
        Link::without_socket(Identity::from_bytes([7; 16]), 1, limits)
    }

    fn queue(link: &Link, bytes: usize) {
        let payload = Bytes::from(vec![b'x'; bytes]);
        let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
        link.push(&mut entry, Bound::Link).unwrap();
    }

    /// A reader of this thread that has to stand in line, because so much was read.
    fn reader_in_line() -> ReadTurn {
        read_fairness::note_read(usize::MAX);
        let mut reader = ReadTurn::new();
        let turn = reader.poll(&mut Context::from_waker(Waker::noop()));
        assert!(turn.is_pending());
        reader
    }

    #[test]
    fn a_writer_with_little_makes_way_for_readers_in_line_some_times_and_then_writes() {
        let (link, mut made_way) = (link(), 0);
        queue(&link, 100);
        assert!(!makes_way(&link, &mut made_way), "nobody stands in line");
        let reader = reader_in_line();
        for _ in 0..2 {
            for _ in 0..MOST {
                assert!(makes_way(&link, &mut made_way));
            }
            assert!(!makes_way(&link, &mut made_way));
        }
        assert!(makes_way(&link, &mut made_way));
        drop(reader);
        assert!(!makes_way(&link, &mut made_way), "nobody is left");
    }

    #[test]
    fn a_writer_with_much_or_with_no_message_or_a_heartbeat_does_not_make_way() {
        let _reader = reader_in_line();
        let makes_way = |link: &Link| makes_way(link, &mut 0);
        let (much, urgent) = (link(), link());
        assert!(!makes_way(&much), "there is nothing");
        for link in [&much, &urgent] {
            queue(link, LITTLE / 2);
            assert!(makes_way(link));
        }
        queue(&much, LITTLE / 2);
        assert!(!makes_way(&much));
        urgent.push_heartbeat();
        assert!(!makes_way(&urgent));
    }
}
