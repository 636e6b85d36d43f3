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
    Bounded(Reservation),
    /// The link drops messages, and takes any.
    Sheds,
    /// The writer is to have its turn first: the sender is to try again after the thread's other tasks.
    WriterFirst,
}

/// The answer of a link to copies of published messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    All,
    /// The link drops messages, and is to be given these one by one.
    Sheds,
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
        let route = FrameRoute::of(entry.target);
        let length = entry.payload.len();
        match entry.guarantee {
            DeliveryGuarantee::AtMostOnce => {
                state.queue.push(&wire::data_header(length), entry, route);
            }
            DeliveryGuarantee::AtLeastOnce => self.queue_in_flight(state, entry, route),
        }
        if bound == Bound::Reply {
            self.note_reply(state, length, entry);
        }
    }

    /// Encodes a message that is kept until it is acknowledged.
    #[inline(never)]
    fn queue_in_flight(&self, state: &mut LinkState, entry: &mut Entry, route: FrameRoute) {
        self.clock().request_sweep();
        let now = self.clock().uptime();
        let resend_after = state.bounds.resend_after();
        let id = state.in_flight.insert(entry, now, resend_after);
        let header = wire::data_req_header(id, entry.payload.len());
        state.queue.push(&header, entry, route);
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
        wake_writer(state);
        Ok(CopyRoom::Bounded(room))
    }

    /// Queues a frame that is no message behind all messages that were queued before.
    pub(crate) fn push_behind_messages(&self, frame: Bytes) {
        let mut state = self.lock();
        if state.is_open() {
            // It counts as one that nobody gets back.
            state
                .queue
                .push_block(Block::shared(frame, 1, Target::Copy));
            wake_writer(state);
        }
    }

    /// Queues frames for which there was room, if it is a link that drops nothing.
    pub(crate) fn push_copies(&self, head: &Bytes, frames: usize, target: Target) -> Pushed {
        let mut state = self.lock();
        if !state.is_open() {
            return Pushed::Closed;
        }
        if state.pressure.shed().is_some() {
            return Pushed::Sheds;
        }
        let block = Block::shared(head.clone(), frames, target);
        state.queue.push_block(block);
        wake_writer(state);
        Pushed::All
    }
}
