//! The incoming half of a connection: reads, and hands whole frames to the inboxes, many at a time.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::dedupe_filter::screen;
use super::frame_scan::{Found, look};
use super::liveness_sweep::{Pulse, WaitsFor};
use super::read_buffer::{More, READ_BYTES, ReadBuffer};
use crate::engine::Line;
use crate::engine::Receiving;
use crate::inbox::read_fairness::{self, ReadTurn};
use crate::inbox::{Allowance, Chunk};
use crate::link::Link;
use crate::routing::SocketCore;
use crate::subscription::{Subscription, SubscriptionList};
use crate::sync::Place;
use crate::telemetry::{self, Topic};
use crate::transport::ByteStream;
use crate::wire::Oversize;

/// What a connection may set aside while it reads on for acknowledgements.
const ASIDE_BYTES: usize = 256 * 1024;

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
    /// Something was read, which was all that had arrived; the task is woken when there is more.
    Drained,
    /// The peer has ended its stream, inside a frame or between two.
    Ended { truncated: bool },
    /// The peer announced a frame above the limit.
    Oversize(Oversize),
}

/// The state that a connection keeps between two reads.
#[derive(Debug)]
pub(super) struct Reader {
    link: Arc<Link>,
    core: Arc<SocketCore>,
    buffer: ReadBuffer,
    /// What the frame in `buffer` has of the socket's budget, above a first read.
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
    turn: ReadTurn,
    /// Behind the frames that were handed on, the peer announced one that is too large.
    oversize: Option<Oversize>,
}

impl Reader {
    /// A reader that begins with what came behind the peer's HELLO (WIRE §4.4).
    pub(super) fn new(core: Arc<SocketCore>, link: Arc<Link>, behind_hello: BytesMut) -> Self {
        Self {
            allowance: Allowance::new(&core.unfinished),
            link,
            core,
            fresh: !behind_hello.is_empty(),
            buffer: ReadBuffer::new(behind_hello),
            waiting: None,
            place: Place::new(),
            aside: VecDeque::new(),
            aside_bytes: 0,
            discarding: false,
            owes_nothing: false,
            turn: ReadTurn::new(),
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
        if self.has_nothing_but_the_stream() && stream.poll_read_ready(cx).is_pending() {
            pulse.note_receiving(Receiving::Open, None);
            return Ok(Read::Waiting);
        }
        if !self.owes_nothing && self.link.owes_too_much() {
            // It may take as long as the peer likes; whoever is behind it in a line goes on.
            self.leave_line();
            self.allowance.leave_line();
            self.turn.leave();
            pulse.note_receiving(Receiving::Paused, Some(WaitsFor::Writing));
            return Ok(Read::Paused);
        }
        if self.turn.poll(cx).is_pending() {
            return Ok(Read::Yielded);
        }
        let want = self.buffer.want();
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

    /// Whether it stands in no line, and all that there is to do comes by the stream.
    #[inline]
    fn has_nothing_but_the_stream(&self) -> bool {
        let in_line = self.waiting.is_some() || self.turn.is_waiting();
        !in_line && !self.fresh && !self.buffer.is_large() && self.aside.is_empty()
    }

    /// The second part is whether the reservation was used up.
    fn read_once(
        &mut self,
        stream: &mut ByteStream,
        pulse: &Pulse,
        list: Option<&SubscriptionList>,
        want: usize,
        cx: &mut Context<'_>,
    ) -> io::Result<(Read, bool)> {
        let (data, more) = if std::mem::take(&mut self.fresh) {
            (self.buffer.take(), More::Perhaps)
        } else {
            match self.buffer.fill(stream, &self.allowance, cx) {
                Poll::Pending => return Ok((Read::Waiting, false)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(None)) => {
                    let truncated = !self.buffer.is_empty();
                    return Ok((Read::Ended { truncated }, false));
                }
                Poll::Ready(Ok(Some(filled))) => filled,
            }
        };
        let found = look(&data, self.core.config.max_frame_bytes);
        // What came before it is delivered; how the peer's writes were cut makes no difference.
        self.oversize = found.oversize;
        let read = match more {
            More::Later if found.oversize.is_none() => Read::Drained,
            More::Later | More::Perhaps => Read::Progress,
        };
        self.note(&found, pulse);
        let mut messages = found.messages;
        let mut bytes = self.buffer.split(data, &found);
        if found.whole > 0 {
            self.allowance.finish();
        }
        if self.discarding {
            return Ok((read, false));
        }
        if messages > 0 && self.link.screens() {
            (bytes, messages) = screen(&self.core, &self.link, bytes, messages);
        }
        if messages == 0 {
            return Ok((read, false));
        }
        let cost = bytes.len();
        let mut chunk = Chunk::new(Arc::clone(&self.link), bytes, messages, cost);
        if self.core.asks.are_active() {
            match self.core.asks.intercept(chunk) {
                Some(rest) => chunk = rest,
                None => return Ok((read, false)),
            }
        }
        match list {
            Some(list) => {
                read_fairness::note_read(cost);
                self.core.subscriptions.deliver(list, chunk, want);
                Ok((read, true))
            }
            None => {
                self.aside_bytes += chunk.cost();
                self.aside.push_back(chunk);
                Ok((read, false))
            }
        }
    }

    /// Room in the socket's budget for the whole of a large frame.
    #[inline]
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.buffer.is_large() || self.fresh {
            return Poll::Ready(());
        }
        let above_a_read = self.buffer.want() - READ_BYTES;
        self.allowance.poll_take(cx, above_a_read)
    }

    fn note(&self, found: &Found, pulse: &Pulse) {
        if found.frames > 0 {
            pulse.note_received();
        }
        let counters = &self.core.counters;
        if found.messages > 0 {
            self.link.note_heard();
            counters
                .received
                .fetch_add(found.messages as u64, Ordering::Relaxed);
        }
        if found.malformed + found.unknown > 0 {
            counters
                .malformed
                .fetch_add(found.malformed, Ordering::Relaxed);
            counters.unknown.fetch_add(found.unknown, Ordering::Relaxed);
            self.log_skipped(found);
        }
        if !found.acks.is_empty() {
            let (closed, extras) = self.link.acknowledge(&found.acks, self.core.uptime());
            for extras in extras {
                if let Some(receipt) = extras.receipt {
                    receipt.resolve(Ok(()));
                }
            }
            if closed > 0 {
                self.link.room.notify();
                self.core.note_room();
            }
        }
    }

    /// Frames of unknown types are skipped by the rules; malformed ones break them.
    #[cold]
    fn log_skipped(&self, found: &Found) {
        let Found {
            malformed, unknown, ..
        } = found;
        let peer = self.link.peer();
        match telemetry::line(Topic::Malformed, peer).filter(|_| *malformed > 0) {
            Some(Line { unlogged }) => {
                tracing::warn!(%peer, malformed, unknown, unlogged, "a peer sends malformed frames, which are skipped");
            }
            None => tracing::debug!(%peer, malformed, unknown, "frames skipped"),
        }
    }

    /// Room for `want` bytes in the inbox of every subscription; first for what was set aside.
    fn poll_room(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<SubscriptionList> {
        if self.discarding {
            return Poll::Ready(Arc::new(Vec::new()));
        }
        if !self.core.is_receiving() {
            return Poll::Pending;
        }
        let list = self.core.subscriptions.load_list();
        let list = Arc::clone(&list);
        while let Some(cost) = self.aside.front().map(Chunk::cost) {
            std::task::ready!(self.poll_reserve(cx, &list, cost));
            let Some(chunk) = self.aside.pop_front() else {
                break;
            };
            self.aside_bytes -= cost;
            self.core.subscriptions.deliver(&list, chunk, cost);
        }
        std::task::ready!(self.poll_reserve(cx, &list, want));
        Poll::Ready(list)
    }

    /// All inboxes or none: a reader holds no room while it waits. The one that it waits for comes
    /// first, so that it keeps its place in that line.
    fn poll_reserve(
        &mut self,
        cx: &mut Context<'_>,
        list: &SubscriptionList,
        want: usize,
    ) -> Poll<()> {
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
            && (self.link.load().unacknowledged > 0 || self.core.asks.awaits(&self.link))
    }

    /// There is no more room to get to acknowledgements that somebody waits for.
    fn is_stuck(&self) -> bool {
        let waiting = !self.link.room.is_empty() || !self.core.room.is_empty();
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
