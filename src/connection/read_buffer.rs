//! Where a connection's bytes are read to, and what is left of them behind the last whole frame.
//!
//! Reads go into the scratch buffer of the arbiter, and those of a large frame to where it belongs.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::io::poll_read_buf;

use super::frame_scan::Found;
use crate::detach::DETACHED_UP_TO;
use crate::inbox::{Allowance, READ_BYTES};
use crate::transport::ByteStream;
use crate::wire;

/// The scratch buffer of an arbiter; no connection has one of its own while it is idle.
const SCRATCH_BYTES: usize = 2 * READ_BYTES;
const _: () = assert!(4 * DETACHED_UP_TO >= SCRATCH_BYTES);

/// Smaller chunks are copied to their exact size, so that a message of ten bytes never keeps a
/// whole read alive.
const COPY_BELOW: usize = 8 * 1024;

/// A frame that is expected to be as large as the one before gets a buffer of that size at once,
/// up to this.
const EXPECT_AT_MOST: usize = 256 * 1024;

/// A block as large as this is freed once in each arbiter. glibc's allocator gives the free end of its
/// heap back to the system beyond a bound, of 128 KiB at first, which it raises to twice the largest
/// block that it has seen freed. At 128 KiB every message of some tens of KiB may cost giving memory
/// back and taking it again, page by page: a third of the rate at 64 KiB.
const ALLOCATOR_HINT_BYTES: usize = 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<BytesMut> = {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(ALLOCATOR_HINT_BYTES)));
        RefCell::new(BytesMut::new())
    };
}

/// Result of a read: more may have arrived, or nothing more has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    /// There may be: read again.
    Perhaps,
    /// There is not, and the task is woken when there is.
    Later,
}

/// The beginning of a frame whose rest has not come.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: BytesMut,
    /// Bytes that the whole frame will have; 0 if that is not known.
    frame_bytes: usize,
    /// Bytes of the frame before, if it was large.
    expect: usize,
}

impl ReadBuffer {
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self {
            bytes,
            frame_bytes: 0,
            expect: 0,
        }
    }

    /// Bytes that may have to be kept after the next read.
    pub(super) fn want(&self) -> usize {
        self.frame_bytes.max(READ_BYTES)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }

    /// True if the unfinished frame has grown so large that it has a buffer of its own.
    pub(super) fn is_large(&self) -> bool {
        self.bytes.len() >= COPY_BELOW
    }

    /// Bytes by which the buffer of a frame grows: to the end of the frame, and at most to twice
    /// of what has arrived, or a little more.
    fn room_for_more(&self) -> usize {
        let have = self.bytes.len();
        let whole = if have == 0 {
            self.expect
        } else {
            self.frame_bytes
        };
        let missing = whole.saturating_sub(have).max(wire::PREFIX_BYTES);
        missing.min(have.max(EXPECT_AT_MOST))
    }

    /// Reads what the kernel has, behind the unfinished frame, and says how far that went. `None` at
    /// the end of the stream.
    pub(super) fn fill(
        &mut self,
        stream: &mut ByteStream,
        allowance: &Allowance,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(BytesMut, More)>>> {
        let expects = self.bytes.is_empty() && self.expect > 0;
        if self.is_large() || (expects && allowance.has_room(self.expect)) {
            return self.fill_own(stream, cx);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.capacity() < READ_BYTES + COPY_BELOW {
                scratch.reserve(SCRATCH_BYTES);
            }
            scratch.extend_from_slice(&self.bytes);
            let want = self.read_bytes(allowance);
            let mut room = (&mut *scratch).limit(want);
            match poll_read_buf(Pin::new(&mut *stream), cx, &mut room) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.bytes = BytesMut::new();
                    // A short read has emptied the kernel's queue, which the runtime knows without
                    // asking it.
                    let short = count < want;
                    let more = match short && stream.poll_read_ready(cx).is_pending() {
                        true => More::Later,
                        false => More::Perhaps,
                    };
                    Poll::Ready(Ok(Some((scratch.split(), more))))
                }
                other => {
                    scratch.clear();
                    other.map_ok(|_| None)
                }
            }
        })
    }

    /// Bytes asked of the kernel. While there is no room for another large frame, no more than what makes
    /// one is kept.
    fn read_bytes(&self, allowance: &Allowance) -> usize {
        match allowance.is_tight() {
            false => READ_BYTES,
            true => COPY_BELOW - self.bytes.len(),
        }
    }

    /// Reads the rest of a large frame to where it belongs, and not a byte of the next one, so
    /// that nothing of it is copied. The buffer grows with what has arrived.
    fn fill_own(
        &mut self,
        stream: &mut ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(BytesMut, More)>>> {
        let have = self.bytes.len();
        let room = self.room_for_more();
        self.bytes.reserve(room);
        let mut limited = (&mut self.bytes).limit(room);
        match poll_read_buf(Pin::new(stream), cx, &mut limited) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(_)) => {
                let data = std::mem::take(&mut self.bytes);
                Poll::Ready(Ok(Some((data, More::Perhaps))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if have == 0 {
                    self.bytes = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }

    /// Keeps what is behind the last whole frame, and yields the frames.
    pub(super) fn split(&mut self, mut data: BytesMut, found: &Found) -> Bytes {
        self.frame_bytes = found.next_frame;
        let large = found.frames == 1 && found.whole >= COPY_BELOW;
        self.expect = if large && found.whole <= EXPECT_AT_MOST {
            found.whole
        } else if found.frames > 0 {
            0
        } else {
            self.expect
        };
        if found.whole == 0 {
            self.keep(data);
            return Bytes::new();
        }
        if found.whole < data.len() {
            let rest = data.split_off(found.whole);
            self.keep(rest);
        }
        if data.len() < COPY_BELOW {
            Bytes::copy_from_slice(&data)
        } else {
            data.freeze()
        }
    }

    fn keep(&mut self, rest: BytesMut) {
        self.bytes = if rest.len() <= COPY_BELOW {
            BytesMut::from(&rest[..])
        } else {
            rest
        };
    }
}
