//! The incoming half of a connection: reads into the arbiter's scratch buffer and hands whole
//! frames to the inboxes, many at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::io::poll_read_buf;

use super::look::{Found, look};
use super::screen::screen;
use super::sweep::{Pulse, WaitsFor};
use crate::engine::Receiving;
use crate::inbox::warm::{self, Turn};
use crate::inbox::{Allowance, Chunk};
use crate::link::Link;
use crate::routing::Exchange;
use crate::subscription::{List, Subscription};
use crate::sync::Place;
use crate::transport::ByteStream;
use crate::wire::{self, Oversize};

/// Bytes asked of the kernel in one call.
const READ_BYTES: usize = 64 * 1024;

/// The scratch buffer of an arbiter; no connection has one of its own while it is idle.
const SCRATCH_BYTES: usize = 2 * READ_BYTES;

/// Smaller chunks are copied to their exact size, so that a message of ten bytes never keeps a
/// whole read alive.
const COPY_BELOW: usize = 8 * 1024;

/// What a connection may set aside while it reads on for acknowledgements.
const ASIDE_BYTES: usize = 256 * 1024;

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

/// How far the reader came.
#[derive(Debug)]
pub(super) enum Read {
    /// Nothing more has arrived.
    Waiting,
    /// There is no room for more, or the peer does not take its answers.
    Paused,
    /// The pumps of the thread go first; the task comes again behind them.
    Yielded,
    /// Something was read.
    Progress,
    /// The peer has ended its stream, inside a frame or between two.
    Ended { truncated: bool },
    /// The peer announced a frame above the limit.
    Oversize(Oversize),
}

/// The state that a connection keeps between two reads.
#[derive(Debug)]
pub(super) struct Reader {
    link: Arc<Link>,
    exchange: Arc<Exchange>,
    /// The beginning of a frame.
    partial: BytesMut,
    /// Bytes that the whole frame in `partial` will have; 0 if that is not known.
    frame_bytes: usize,
    /// Bytes of the last frame, if it was large.
    expect: usize,
    /// What the frame in `partial` has of the socket's budget, above a first read.
    allowance: Allowance,
    /// Bytes that came with the handshake and have not been looked at.
    fresh: bool,
    /// Where this reader stands in line for room.
    waiting: Option<Arc<Subscription>>,
    place: Place,
    /// Read while there was no room, for the acknowledgements between the messages.
    aside: VecDeque<Chunk>,
    aside_bytes: usize,
    /// Nothing more goes to the inboxes.
    discarding: bool,
    /// Answers are not written any more, so that nobody waits for the peer to take them.
    owes_nothing: bool,
    turn: Turn,
    /// Behind the frames that were handed on, the peer announced one that is too large.
    oversize: Option<Oversize>,
}

impl Reader {
    /// A reader that begins with what came behind the peer's HELLO (WIRE §4.4).
    pub(super) fn new(exchange: Arc<Exchange>, link: Arc<Link>, behind_hello: BytesMut) -> Self {
        Self {
            allowance: Allowance::new(&exchange.unfinished),
            link,
            exchange,
            fresh: !behind_hello.is_empty(),
            partial: behind_hello,
            frame_bytes: 0,
            expect: 0,
            waiting: None,
            place: Place::new(),
            aside: VecDeque::new(),
            aside_bytes: 0,
            discarding: false,
            owes_nothing: false,
            turn: Turn::new(),
            oversize: None,
        }
    }

    /// From now on everything but acknowledgements is dropped unread, as when the socket closes.
    pub(super) fn discard(&mut self) {
        self.discarding = true;
        self.drop_aside();
        self.leave_line();
    }

    /// Our answers cannot be written any more: the peer is read from whatever we owe it.
    pub(super) fn owe_nothing(&mut self) {
        self.owes_nothing = true;
    }

    /// Whether the connection ends because of what was read last.
    pub(super) fn has_found_oversize(&self) -> bool {
        self.oversize.is_some()
    }

    /// What was set aside goes with the connection.
    fn drop_aside(&mut self) {
        let aside = self.aside.drain(..);
        if self.link.screens() {
            aside.for_each(|chunk| self.link.handle_loss(&chunk.ids()));
        }
    }

    /// Reads once, if there is room for it.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut ByteStream,
        pulse: &Pulse,
        cx: &mut Context<'_>,
    ) -> io::Result<Read> {
        if let Some(oversize) = self.oversize {
            return Ok(Read::Oversize(oversize));
        }
        if !self.owes_nothing && self.link.owes_too_much() {
            self.allowance.leave_line();
            self.turn.leave();
            pulse.note_receiving(Receiving::Paused, Some(WaitsFor::Writing));
            return Ok(Read::Paused);
        }
        if self.turn.poll(cx).is_pending() {
            return Ok(Read::Yielded);
        }
        let want = self.frame_bytes.max(READ_BYTES);
        let list = match self.poll_room(cx, want) {
            Poll::Ready(list) => Some(list),
            Poll::Pending if self.may_read_aside() => None,
            Poll::Pending => {
                self.allowance.leave_line();
                let waits_for = self.is_stuck().then_some(WaitsFor::Acknowledgements);
                pulse.note_receiving(Receiving::Paused, waits_for);
                return Ok(Read::Paused);
            }
        };
        if self.poll_budget(cx).is_pending() {
            let waits_for = match &list {
                Some(list) => {
                    unreserve(list.iter(), want);
                    None
                }
                // It is read for the acknowledgements that a sender of ours waits for.
                None => Some(WaitsFor::Acknowledgements),
            };
            pulse.note_receiving(Receiving::Paused, waits_for);
            return Ok(Read::Paused);
        }
        pulse.note_receiving(Receiving::Open, None);
        let outcome = self.read_once(stream, pulse, list.as_ref(), want, cx);
        if !matches!(outcome, Ok((_, true)))
            && let Some(list) = &list
        {
            unreserve(list.iter(), want);
        }
        outcome.map(|(read, _)| read)
    }

    /// The second part is whether the reservation was used up.
    fn read_once(
        &mut self,
        stream: &mut ByteStream,
        pulse: &Pulse,
        list: Option<&List>,
        want: usize,
        cx: &mut Context<'_>,
    ) -> io::Result<(Read, bool)> {
        let data = if std::mem::take(&mut self.fresh) {
            std::mem::take(&mut self.partial)
        } else {
            match self.fill(stream, cx) {
                Poll::Pending => return Ok((Read::Waiting, false)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(None)) => {
                    let truncated = !self.partial.is_empty();
                    return Ok((Read::Ended { truncated }, false));
                }
                Poll::Ready(Ok(Some(data))) => data,
            }
        };
        let found = look(&data, self.exchange.config.max_frame_bytes);
        // What came before it is delivered; how the peer's writes were cut makes no difference.
        self.oversize = found.oversize;
        self.note(&found, pulse);
        let mut messages = found.messages;
        let mut bytes = self.split(data, &found);
        if found.whole > 0 {
            self.allowance.finish();
        }
        if self.discarding {
            return Ok((Read::Progress, false));
        }
        if messages > 0 && self.link.screens() {
            (bytes, messages) = screen(&self.exchange, &self.link, bytes, messages);
        }
        if messages == 0 {
            return Ok((Read::Progress, false));
        }
        let cost = bytes.len();
        let mut chunk = Chunk::new(Arc::clone(&self.link), bytes, messages, cost);
        if self.exchange.asks.are_active() {
            match self.exchange.asks.intercept(chunk) {
                Some(rest) => chunk = rest,
                None => return Ok((Read::Progress, false)),
            }
        }
        match list {
            Some(list) => {
                warm::note_read(cost);
                self.exchange.subscriptions.deliver(list, chunk, want);
                Ok((Read::Progress, true))
            }
            None => {
                self.aside_bytes += chunk.cost();
                self.aside.push_back(chunk);
                Ok((Read::Progress, false))
            }
        }
    }

    /// Whether the unfinished frame has grown so large that it has a buffer of its own.
    fn is_large(&self) -> bool {
        self.partial.len() >= COPY_BELOW
    }

    /// Room in the socket's budget for the whole of a large frame.
    #[inline]
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_large() || self.fresh {
            return Poll::Ready(());
        }
        let bytes = self.frame_bytes.saturating_sub(READ_BYTES);
        self.allowance.poll_take(cx, bytes)
    }

    /// Bytes by which the buffer of a frame grows: to the end of the frame, and at most to twice
    /// of what has arrived, or a little more.
    fn room_for_more(&self) -> usize {
        let have = self.partial.len();
        let whole = if have == 0 {
            self.expect
        } else {
            self.frame_bytes
        };
        let missing = whole.saturating_sub(have).max(wire::PREFIX_BYTES);
        missing.min(have.max(EXPECT_AT_MOST))
    }

    /// Reads what the kernel has, behind the unfinished frame. `None` at the end of the stream.
    fn fill(
        &mut self,
        stream: &mut ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<BytesMut>>> {
        let expects = self.partial.is_empty() && self.expect > 0;
        if self.is_large() || (expects && self.allowance.has_room(self.expect)) {
            return self.fill_own(stream, cx);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.capacity() < READ_BYTES + COPY_BELOW {
                scratch.reserve(SCRATCH_BYTES);
            }
            scratch.extend_from_slice(&self.partial);
            let mut room = (&mut *scratch).limit(READ_BYTES);
            match poll_read_buf(Pin::new(stream), cx, &mut room) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.partial = BytesMut::new();
                    Poll::Ready(Ok(Some(scratch.split())))
                }
                other => {
                    scratch.clear();
                    other.map_ok(|_| None)
                }
            }
        })
    }

    /// Reads the rest of a large frame to where it belongs, and not a byte of the next one, so
    /// that nothing of it is copied. The buffer grows with what has arrived.
    fn fill_own(
        &mut self,
        stream: &mut ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<BytesMut>>> {
        let have = self.partial.len();
        let room = self.room_for_more();
        self.partial.reserve(room);
        let mut limited = (&mut self.partial).limit(room);
        match poll_read_buf(Pin::new(stream), cx, &mut limited) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Some(std::mem::take(&mut self.partial)))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if have == 0 {
                    self.partial = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }

    /// Keeps what is behind the last whole frame, and yields the frames.
    fn split(&mut self, mut data: BytesMut, found: &Found) -> Bytes {
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
        self.partial = if rest.len() < COPY_BELOW {
            BytesMut::from(&rest[..])
        } else {
            rest
        };
    }

    fn note(&self, found: &Found, pulse: &Pulse) {
        if found.frames > 0 {
            pulse.note_received();
        }
        let counters = &self.exchange.counters;
        if found.messages > 0 {
            counters
                .received
                .fetch_add(found.messages as u64, Ordering::Relaxed);
        }
        if found.malformed + found.unknown > 0 {
            counters
                .malformed
                .fetch_add(found.malformed, Ordering::Relaxed);
            counters.unknown.fetch_add(found.unknown, Ordering::Relaxed);
            tracing::debug!(
                malformed = found.malformed,
                unknown = found.unknown,
                "frames skipped"
            );
        }
        if !found.acks.is_empty() {
            let (closed, extras) = self.link.acknowledge(&found.acks, self.exchange.uptime());
            for extras in extras {
                if let Some(receipt) = extras.receipt {
                    receipt.resolve(Ok(()));
                }
            }
            if closed > 0 {
                self.link.room.notify();
                self.exchange.note_room();
            }
        }
    }

    /// Room for `want` bytes in the inbox of every subscription; first for what was set aside.
    fn poll_room(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<List> {
        if self.discarding {
            return Poll::Ready(Arc::new(Vec::new()));
        }
        if !self.exchange.is_receiving() {
            return Poll::Pending;
        }
        let list = self.exchange.subscriptions.load_list();
        let list = Arc::clone(&list);
        while let Some(cost) = self.aside.front().map(Chunk::cost) {
            std::task::ready!(self.poll_reserve(cx, &list, cost));
            let Some(chunk) = self.aside.pop_front() else {
                break;
            };
            self.aside_bytes -= cost;
            self.exchange.subscriptions.deliver(&list, chunk, cost);
        }
        std::task::ready!(self.poll_reserve(cx, &list, want));
        Poll::Ready(list)
    }

    /// All inboxes or none: a reader holds no room while it waits. The one that it waits for comes
    /// first, so that it keeps its place in that line.
    fn poll_reserve(&mut self, cx: &mut Context<'_>, list: &List, want: usize) -> Poll<()> {
        let first = match &self.waiting {
            None => 0,
            Some(waiting) => match list.iter().position(|s| Arc::ptr_eq(s, waiting)) {
                Some(index) => index,
                None => {
                    self.leave_line();
                    0
                }
            },
        };
        let (before, from) = list.split_at(first);
        for (index, subscription) in from.iter().chain(before).enumerate() {
            if subscription
                .poll_reserve(cx, &mut self.place, want)
                .is_pending()
            {
                self.waiting = Some(Arc::clone(subscription));
                unreserve(from.iter().chain(before).take(index), want);
                return Poll::Pending;
            }
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// Acknowledgements and answers that we wait for are in the stream behind messages that we have
    /// no room for; a second allowance lets the reader get to them.
    fn may_read_aside(&self) -> bool {
        self.aside_bytes < ASIDE_BYTES
            && (self.link.load().unacknowledged > 0 || self.exchange.asks.has_outstanding())
    }

    /// There is no more room to get to acknowledgements that somebody waits for.
    fn is_stuck(&self) -> bool {
        let waiting = !self.link.room.is_empty() || !self.exchange.room.is_empty();
        waiting && self.link.load().unacknowledged > 0
    }

    fn leave_line(&mut self) {
        if let Some(subscription) = self.waiting.take() {
            self.place.leave(&subscription.inbox.readers);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.drop_aside();
        self.leave_line();
    }
}

fn unreserve<'a>(list: impl IntoIterator<Item = &'a Arc<Subscription>>, want: usize) {
    for subscription in list {
        subscription.unreserve(want);
    }
}
