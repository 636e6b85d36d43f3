//! Messages enter a link.

use bytes::Bytes;

use super::attempt::{Attempt, Courtesy, Refused};
use super::block::{Block, FrameRoute};
use super::entry::{Entry, Target};
use super::full_links::{FullLinks, RefusalPlace};
use super::limits::Bound;
use super::link::{Link, wake_writer};
use super::send_queue::Reservation;
use super::state::LinkState;
use crate::limits::DeliveryGuarantee;
use crate::sync::MutexGuard;
use crate::wire;

/// The room of a link for copies of published messages that all links share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CopyRoom {
    Bounded {
        room: Reservation,
        /// The peer reads metadata.
        reads: bool,
    },
    /// The link drops messages, and takes any.
    Sheds,
    /// The writer is to have its turn first: the sender is to try again after the thread's other tasks.
    WriterFirst,
}

/// Published messages that are encoded for all links, at most twice.
#[derive(Debug)]
pub(crate) struct Copies {
    /// For peers that read no metadata.
    pub(crate) bare: Bytes,
    /// For peers that do, where that is something else.
    pub(crate) wrapped: Option<Bytes>,
    pub(crate) frames: usize,
    /// Those of them that have metadata.
    pub(crate) described: usize,
    /// No payload that begins as an envelope goes to a reader of metadata without one.
    pub(crate) guarded: bool,
}

/// The answer of a link to copies of published messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    All,
    /// The link drops messages, or its peer has begun to read metadata: it is to be given these one by one.
    OneByOne,
    Closed,
}

impl Link {
    /// Encodes one message at the end of the queue. A refusal leaves the entry as it was.
    pub(crate) fn push(&self, entry: &mut Entry, bound: Bound) -> Result<(), Refused> {
        if let Some(standing) = entry.suspicion_at(self.peer()) {
            return self.push_suspect(entry, standing);
        }
        self.try_queue(entry, bound).map(wake_writer)
    }

    /// Encodes one message, if there is room for it. The writer is for the caller to wake.
    #[inline(always)]
    pub(super) fn try_queue(
        &self,
        entry: &mut Entry,
        bound: Bound,
    ) -> Result<MutexGuard<'_, LinkState>, Refused> {
        let mut state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        if !state.has_room(entry, bound) {
            return Err(Refused::Full);
        }
        self.queue(&mut state, entry, bound);
        Ok(state)
    }

    /// [`push`](Self::push) at the bound, of a message whose turn is at this place of a piece.
    #[inline]
    pub(crate) fn push_in_turn(
        &self,
        entry: &mut Entry,
        links: &FullLinks,
        place: usize,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        if !state.has_room(entry, Bound::Link) {
            RefusalPlace::note(&mut state.refusal, links, place, entry);
            return Err(Refused::Full);
        }
        self.accept(state, entry, Bound::Link);
        Ok(())
    }

    /// Encodes a message for which there is room.
    #[inline(always)]
    pub(super) fn accept(
        &self,
        mut state: MutexGuard<'_, LinkState>,
        entry: &mut Entry,
        bound: Bound,
    ) {
        self.queue(&mut state, entry, bound);
        wake_writer(state);
    }

    #[inline(always)]
    pub(super) fn queue(&self, state: &mut LinkState, entry: &mut Entry, bound: Bound) {
        if state.queue.is_lent() {
            // To another thread: what it puts into its block from now on would overtake this.
            self.loan.revoke();
            state.queue.overtake();
        }
        let length = entry.payload.len();
        match entry.guarantee {
            DeliveryGuarantee::AtLeastOnce => self.queue_in_flight(state, entry),
            DeliveryGuarantee::AtMostOnce if state.reads || entry.extras.is_some() => {
                self.queue_with_extras(state, entry);
            }
            DeliveryGuarantee::AtMostOnce => {
                let route = FrameRoute::of(entry.target, false);
                state.queue.push(&wire::data_header(length), entry, route);
            }
        }
        if bound == Bound::Reply {
            self.note_reply(state, length, entry);
        }
    }

    /// Encodes a message that is kept until it is acknowledged.
    #[inline(never)]
    fn queue_in_flight(&self, state: &mut LinkState, entry: &mut Entry) {
        self.clock().request_sweep();
        let now = self.clock().uptime();
        let route = FrameRoute::of(entry.target, state.reads);
        if state.reads || !entry.envelope().is_empty() {
            let envelope = self.envelope_for_peer(state, entry);
            let resend_after = state.bounds.resend_after();
            let id = state.in_flight.insert(entry, now, resend_after);
            state.queue_request(id, &envelope, entry, route);
            return;
        }
        let resend_after = state.bounds.resend_after();
        let id = state.in_flight.insert(entry, now, resend_after);
        let header = wire::data_req_header(id, entry.payload.len());
        state.queue.push(&header, entry, route);
    }

    /// Encodes a message at most once that has extras, or that is for a peer that reads metadata.
    #[inline(never)]
    fn queue_with_extras(&self, state: &mut LinkState, entry: &Entry) {
        let route = FrameRoute::of(entry.target, state.reads);
        let envelope = self.envelope_for_peer(state, entry);
        let header = wire::data_header(envelope.len() + entry.payload.len());
        state.queue.push_wrapped(&header, &envelope, entry, route);
    }

    /// What stands before the payload of a message for this peer. Metadata that it does not read is left out, and counted.
    pub(super) fn envelope_for_peer(&self, state: &LinkState, entry: &Entry) -> Bytes {
        if !state.reads {
            self.note_metadata_left_out(usize::from(!entry.envelope().is_empty()));
            return Bytes::new();
        }
        entry.envelope_for_reader().clone()
    }

    /// Decides if a sender on the writer's thread lets the writer go first.
    #[inline]
    pub(super) fn yields(&self, state: &LinkState, entry: &Entry, courtesy: Courtesy) -> Attempt {
        if courtesy == Courtesy::Yields && state.has_work_for_writer(entry) && self.loan.is_ours() {
            Attempt::WriterFirst
        } else {
            Attempt::Taken
        }
    }

    /// The room that there is for copies of messages like this one, at the bound. The writer is awake
    /// from now on, because there will be something to write.
    pub(crate) fn room_for_copies(
        &self,
        entry: &Entry,
        courtesy: Courtesy,
    ) -> Result<CopyRoom, Refused> {
        let state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        if state.pressure.shed().is_some() {
            return Ok(CopyRoom::Sheds);
        }
        if !state.has_room(entry, Bound::Link) {
            return Err(Refused::Full);
        }
        if self.yields(&state, entry, courtesy) == Attempt::WriterFirst {
            return Ok(CopyRoom::WriterFirst);
        }
        let room = state.queue.left_for_copies(entry, state.bounds.queue());
        let reads = state.reads;
        wake_writer(state);
        Ok(CopyRoom::Bounded { room, reads })
    }

    /// Queues a frame that is no message behind all messages that were queued before.
    pub(crate) fn push_behind_messages(&self, frame: Bytes) {
        let mut state = self.lock();
        if state.is_open() {
            // It counts as one that nobody gets back.
            state
                .queue
                .push_block(Block::shared(frame, 1, Target::Copy, false));
            wake_writer(state);
        }
    }

    /// Queues frames for which there was room, if it is a link that drops nothing.
    pub(crate) fn push_copies(&self, copies: &Copies, target: Target) -> Pushed {
        let mut state = self.lock();
        if !state.is_open() {
            return Pushed::Closed;
        }
        if state.pressure.shed().is_some() || (state.reads && !copies.guarded) {
            return Pushed::OneByOne;
        }
        let head = match &copies.wrapped {
            Some(wrapped) if state.reads => wrapped,
            Some(_) | None => &copies.bare,
        };
        if !state.reads {
            self.note_metadata_left_out(copies.described);
        }
        let block = Block::shared(head.clone(), copies.frames, target, state.reads);
        state.queue.push_block(block);
        wake_writer(state);
        Pushed::All
    }
}
