//! The incoming half of a connection: reads, and hands whole frames to the inboxes, many at a time.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::dedupe_filter::skip_repetitions;
use super::frame_scan::{Found, FoundExtensions, scan_frames};
use super::held_chunk::HeldChunk;
use super::leave::{Leave, handle_about_services, leave_requests, take_out, unreserve};
use super::liveness_sweep::SweptConnection;
use super::rare_state::{RareState, ReaderProgress};
use super::read_buffer::{More, ReadBuffer};
use crate::clock;
use crate::core::SocketCore;
use crate::engine::{LogPermit, ReadState, ReaderEvent, WaitsFor};
use crate::inbox::read_fairness::ReadTurn;
use crate::inbox::{Allowance, Chunk, ReadAhead};
use crate::link::Link;
use crate::subscription::{Subscription, SubscriptionList, Unclaimed};
use crate::sync::Place;
use crate::telemetry::{self, Topic};
use crate::transport::ByteStream;
use crate::wire::Oversize;

/// What becomes of the messages that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    /// They go to the inboxes.
    All,
    /// Those that want an acknowledgement stay with their sender, because they get none any more.
    AtMostOnce,
    /// Nothing more goes to the inboxes.
    Nothing,
}

/// The state that a connection keeps between two reads.
#[derive(Debug)]
pub(super) struct Reader {
    link: Arc<Link>,
    core: Arc<SocketCore>,
    buffer: ReadBuffer,
    /// Part of the socket's budget that the frame in `buffer` holds, above a first read.
    allowance: Allowance,
    /// Bytes that came with the handshake and have not been looked at.
    fresh: bool,
    /// Where this reader stands in line for room.
    waiting: Option<Arc<Subscription>>,
    place: Place,
    /// Once it has read past a full inbox.
    ahead: Option<Box<ReadAhead>>,
    /// What few connections need.
    rare: Option<Box<RareState>>,
    intake: Intake,
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
            allowance: Allowance::new(&core.inbound.frame_budget),
            link,
            core,
            fresh: !behind_hello.is_empty(),
            buffer: ReadBuffer::new(behind_hello),
            waiting: None,
            place: Place::new(),
            ahead: None,
            rare: None,
            intake: Intake::All,
            owes_nothing: false,
            turn: ReadTurn::new(),
            oversize: None,
        }
    }

    /// From now on only acknowledgements and answers count, as when the socket closes: messages are dead letters.
    pub(super) fn discard(&mut self) {
        self.intake = Intake::Nothing;
        self.leave_line();
    }

    /// True if messages are dead letters.
    pub(super) const fn is_discarding(&self) -> bool {
        matches!(self.intake, Intake::Nothing)
    }

    /// Acknowledgements are not written any more, to a peer that goes on: it sends again what wants one.
    pub(super) fn return_requests(&mut self) {
        self.intake = Intake::AtMostOnce;
    }

    /// Our answers cannot be written any more: the peer is read from whatever we owe it.
    pub(super) fn owe_nothing(&mut self) {
        self.owes_nothing = true;
    }

    /// Reads once, if there is room for it.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut ByteStream,
        swept: &SweptConnection,
        cx: &mut Context<'_>,
    ) -> io::Result<ReaderEvent> {
        if self.rare.is_some() && self.poll_held(cx).is_pending() {
            swept.note_receiving(ReadState::Paused, None);
            return Ok(ReaderEvent::Paused);
        }
        if let Some(oversize) = self.oversize {
            return Ok(ReaderEvent::Oversize(oversize));
        }
        if self.has_nothing_but_the_stream() && stream.poll_read_ready(cx).is_pending() {
            swept.note_receiving(ReadState::Open, None);
            return Ok(ReaderEvent::Waiting);
        }
        if !self.owes_nothing && self.link.owes_too_much() {
            // It may take as long as the peer likes; whoever is behind it in a line goes on.
            self.leave_line();
            self.allowance.leave_line();
            self.turn.leave();
            swept.note_receiving(ReadState::Paused, Some(WaitsFor::Writing));
            return Ok(ReaderEvent::Paused);
        }
        if self.turn.poll(cx).is_pending() {
            return Ok(ReaderEvent::Yielded);
        }
        let want = self.buffer.want();
        let Poll::Ready(leave) = self.poll_leave(cx, want) else {
            self.allowance.leave_line();
            let waits_for = self.waits_for(swept);
            swept.note_receiving(ReadState::Paused, waits_for);
            return Ok(ReaderEvent::Paused);
        };
        if self.poll_budget(cx).is_pending() {
            let waits_for = match leave {
                Leave::Reserved(list) => {
                    unreserve(list.iter(), want);
                    None
                }
                Leave::Ahead(_) => self.waits_for(swept),
                Leave::Discarding => None,
            };
            swept.note_receiving(ReadState::Paused, waits_for);
            return Ok(ReaderEvent::Paused);
        }
        swept.note_receiving(ReadState::Open, None);
        self.read_once(stream, swept, leave, want, cx)
    }

    /// True if the reader stands in no line, and all work comes by the stream.
    #[inline]
    fn has_nothing_but_the_stream(&self) -> bool {
        let in_line = self.waiting.is_some() || self.turn.is_waiting();
        !in_line && !self.fresh && !self.buffer.is_large()
    }

    /// Reads, and hands on what came, by the leave for it; a reservation that is not used up is given
    /// back.
    fn read_once(
        &mut self,
        stream: &mut ByteStream,
        swept: &SweptConnection,
        leave: Leave,
        want: usize,
        cx: &mut Context<'_>,
    ) -> io::Result<ReaderEvent> {
        let mut chunk = None;
        let read = self.read_chunk(stream, swept, &mut chunk, cx);
        if let Some(held) = self.rare.as_mut().and_then(|rare| rare.held.as_mut()) {
            held.set_leave(leave, want);
            return read.map(|_| ReaderEvent::Progress);
        }
        leave.hand_on(&self.core, want, chunk);
        read
    }

    /// Hands on what is held, once it may be.
    #[cold]
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let held = self.rare.as_mut().and_then(|rare| rare.held.as_mut());
        if let Some(held) = held {
            if self.intake != Intake::Nothing {
                std::task::ready!(held.poll_noted(cx));
            }
            if let Some(held) = self.take_held() {
                held.release(&self.core, self.is_discarding());
            }
        }
        Poll::Ready(())
    }

    /// True while what was read waits to be noted, which goes on without the connection.
    pub(super) fn is_held(&self) -> bool {
        matches!(&self.rare, Some(rare) if rare.held.is_some())
    }

    fn take_held(&mut self) -> Option<HeldChunk> {
        self.rare.as_mut().and_then(|rare| rare.held.take())
    }

    /// Reads once. The messages of whole frames, if there are any, are `chunk`.
    #[inline(always)]
    fn read_chunk(
        &mut self,
        stream: &mut ByteStream,
        swept: &SweptConnection,
        chunk: &mut Option<Chunk>,
        cx: &mut Context<'_>,
    ) -> io::Result<ReaderEvent> {
        let (data, more) = if std::mem::take(&mut self.fresh) {
            (self.buffer.take(), More::Perhaps)
        } else {
            match self.buffer.fill(stream, &self.allowance, cx) {
                Poll::Pending => return Ok(ReaderEvent::Waiting),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(None)) => {
                    let truncated = !self.buffer.is_empty();
                    return Ok(match truncated {
                        true => ReaderEvent::Truncated,
                        false => ReaderEvent::Ended,
                    });
                }
                Poll::Ready(Ok(Some(filled))) => filled,
            }
        };
        let found = scan_frames(&data, self.core.config.max_frame_bytes);
        // What came before it is delivered; how the peer's writes were cut makes no difference.
        self.oversize = found.oversize;
        let read = match more {
            More::Later if found.oversize.is_none() => ReaderEvent::Drained,
            More::Later | More::Perhaps => ReaderEvent::Progress,
        };
        self.note(&found, swept);
        let mut messages = found.messages;
        let mut bytes = self.buffer.split(data, &found);
        if found.whole > 0 {
            self.allowance.finish();
        }
        // What is kept of a large frame counts from now on, also if nothing more comes of it.
        let _ = self.poll_budget(cx);
        if self.intake == Intake::AtMostOnce && !found.requests.is_empty() {
            (bytes, messages) = leave_requests(&self.core, &self.link, &bytes);
        } else if messages > 0 && !self.is_discarding() {
            let again = self.link.handle_requests(&found.requests);
            if self.link.dedupes() || !again.is_empty() {
                let noted;
                (bytes, messages, noted) =
                    skip_repetitions(&self.core, &self.link, again, bytes, messages);
                if let Some(noted) = noted {
                    let about_services = found.extensions.map(|it| it.about_services);
                    let about_services = about_services.unwrap_or_default();
                    let link = Arc::clone(&self.link);
                    let held =
                        HeldChunk::new(&self.core, link, bytes, messages, about_services, noted);
                    self.rare.get_or_insert_default().held = Some(held);
                    return Ok(read);
                }
            }
        }
        if messages > 0 {
            *chunk = take_out(&self.core, &self.link, bytes, messages);
        }
        if let Some(extensions) = &found.extensions
            && !extensions.about_services.is_empty()
        {
            handle_about_services(&self.core, &self.link, &extensions.about_services);
        }
        Ok(read)
    }

    /// Room in the socket's budget for the whole of a large frame, and for a read at least.
    #[inline]
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.buffer.is_large() || self.fresh {
            return Poll::Ready(());
        }
        self.allowance.poll_take(cx, self.buffer.want())
    }

    fn note(&mut self, found: &Found, swept: &SweptConnection) {
        if found.frames > 0 {
            swept.note_received();
            self.link.note_read();
        }
        let counters = &self.core.counters;
        if found.messages > 0 {
            self.link.note_heard();
            counters.note_received(found.messages);
        }
        if found.malformed + found.unknown > 0 {
            counters.note_skipped(found.malformed, found.unknown);
            self.log_skipped(found);
        }
        let mut refused = false;
        if let Some(extensions) = &found.extensions {
            self.handle_extensions(extensions);
            refused = !extensions.refused.is_empty();
        }
        if refused || self.awaits_refused() {
            self.acknowledge_others(found);
        } else if !found.acks.is_empty() {
            self.core.router.acknowledge(&self.link, &found.acks);
        }
    }

    /// True if the ACK of a message that was refused is to come next.
    #[inline]
    fn awaits_refused(&self) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| rare.refused.is_some())
    }

    /// The ACK behind a REFUSED says nothing more, also where that found nothing: the message may have been queued in
    /// between, and would count as handled.
    #[cold]
    fn acknowledge_others(&mut self, found: &Found) {
        let rare = self.rare.get_or_insert_default();
        let others = rare.acknowledged(found);
        if !others.is_empty() {
            self.core.router.acknowledge(&self.link, &others);
        }
    }

    /// Acts on frames that other implementations skip. Those that refuse a message come before its ACK,
    /// which then finds nothing to acknowledge.
    #[cold]
    fn handle_extensions(&self, found: &FoundExtensions) {
        if !found.refused.is_empty() {
            let elsewhere = self.core.router.handle_refused(&self.link, &found.refused);
            if !elsewhere.is_empty() {
                self.core.services.handle_refused(&self.link, elsewhere);
            }
        }
        if let Some(reads) = found.reads_metadata {
            self.link.set_metadata_reader(reads);
        }
        if let Some(handled) = found.taken {
            (self.link).note_taken(clock::uptime(clock::now()), handled);
        }
    }

    /// Frames of unknown types are skipped by the rules; malformed ones break them.
    #[cold]
    fn log_skipped(&self, found: &Found) {
        let Found {
            malformed, unknown, ..
        } = found;
        let (peer, source) = (self.link.peer(), self.link.log_source());
        // Unknown frames alone have no line, and so take no permit.
        let line = (*malformed > 0).then(|| telemetry::line(Topic::Malformed, source));
        match line.flatten() {
            Some(LogPermit { unlogged }) => {
                tracing::warn!(%peer, malformed, unknown, unlogged, "a peer sends malformed frames, which are skipped");
            }
            None => tracing::debug!(%peer, malformed, unknown, "frames skipped"),
        }
    }

    /// Leave to read `want` bytes: with room in the inbox of every subscription, or past those that are
    /// full.
    #[inline]
    fn poll_leave(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Leave> {
        if self.is_discarding() {
            return Poll::Ready(Leave::Discarding);
        }
        if self.core.lifecycle.is_receiving() {
            let list = self.core.inbound.subscriptions.load_list();
            let list = Arc::clone(&list);
            if self.poll_reserve(cx, &list, want).is_ready() {
                if let Some(ahead) = &mut self.ahead {
                    ahead.leave_line();
                }
                return Poll::Ready(Leave::Reserved(list));
            }
        }
        self.poll_ahead(cx, want)
    }

    /// Acknowledgements and answers that we wait for are in the stream behind messages that we have
    /// no room for: only for their sake is a connection read past full inboxes.
    #[cold]
    fn poll_ahead(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Leave> {
        if !self.reads_ahead() {
            if let Some(ahead) = &mut self.ahead {
                ahead.leave_line();
            }
            return Poll::Pending;
        }
        // What nobody will receive is given up before more of it is read: the peer waits for acknowledgements, too.
        match self.core.inbound.subscriptions.drop_unclaimed(want) {
            Unclaimed::None => {}
            Unclaimed::Wait => return Poll::Pending,
            Unclaimed::Dropped => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let budget = &self.core.inbound.read_ahead;
        let ahead = (self.ahead).get_or_insert_with(|| Box::new(ReadAhead::new(budget)));
        if let Poll::Ready(part) = ahead.poll_take(cx, want) {
            return Poll::Ready(Leave::Ahead(part));
        }
        Poll::Pending
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

    /// True if what is behind the messages that have no room cannot wait for it: acknowledgements, answers, and
    /// messages to services, which have room of their own or are to be refused at once.
    fn reads_ahead(&self) -> bool {
        self.is_owed()
            || (self.core.services.offers.are_any() && self.core.lifecycle.is_receiving())
    }

    /// True if the peer owes us an acknowledgement or an answer.
    fn is_owed(&self) -> bool {
        self.link.owes_answer() || self.link.load().unacknowledged > 0
    }

    /// The event that a connection without room waits for, within a time limit. One that is owed nothing may wait
    /// for our handlers as long as they like.
    #[cold]
    fn waits_for(&mut self, swept: &SweptConnection) -> Option<WaitsFor> {
        if !self.is_owed() {
            return None;
        }
        if self.core.inbound.subscriptions.awaits_first() {
            // No fault of anybody's, and over soon: the reader is to look again.
            swept.note_progress();
            return Some(WaitsFor::Handlers);
        }
        let progress = ReaderProgress {
            finished: self.core.inbound.subscriptions.finished(),
            acknowledged: self.link.counts().acknowledged,
        };
        let rare = self.rare.get_or_insert_default();
        if std::mem::replace(&mut rare.progress, progress) != progress {
            swept.note_progress();
        }
        Some(WaitsFor::Handlers)
    }

    fn leave_line(&mut self) {
        if let Some(subscription) = self.waiting.take() {
            self.place.leave(&subscription.inbox.readers);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What was read is delivered also if the connection ends meanwhile.
        if let Some(held) = self.take_held() {
            match self.is_discarding() {
                true => held.release(&self.core, true),
                false => held.release_later(Arc::clone(&self.core)),
            }
        }
        self.leave_line();
    }
}
