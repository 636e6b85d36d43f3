//! The end of a link, and what it leaves.

use std::collections::VecDeque;
use std::task::Waker;

use super::entry::Entry;
use super::link::Link;
use super::state::{CloseCause, LinkCounts, LinkPhase};
use super::write_batch::WriteBatch;

/// The remains of a closed link, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Transmitted or not, but not acknowledged.
    pub(crate) unacknowledged: VecDeque<Entry>,
    /// At most once, and not handed to the kernel.
    pub(crate) unsent: VecDeque<Entry>,
    /// The peer's messages had to wait for it to read our replies, and need wait no longer.
    pub(crate) relieved: bool,
    pub(crate) counts: LinkCounts,
}

impl Link {
    /// Takes nothing more; the writer ends its side when everything is written.
    pub(crate) fn finish(&self) {
        self.end(LinkPhase::Finishing);
    }

    /// Ends the connection as soon as its writer looks.
    pub(crate) fn abort(&self) {
        self.end(LinkPhase::Closed(CloseCause::Ended));
    }

    pub(super) fn end(&self, phase: LinkPhase) {
        let mut state = self.lock();
        state.enter(phase);
        state.note_room();
        let wakers = [state.writer.take_parked(), state.writer.take_blocked()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.room.notify_all();
    }

    /// True if the link takes nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        !self.lock().is_open()
    }

    /// Why the connection is over, once it is.
    pub(crate) fn close_cause(&self) -> Option<CloseCause> {
        match self.lock().phase {
            LinkPhase::Open | LinkPhase::Finishing => None,
            LinkPhase::Closed(cause) => Some(cause),
        }
    }

    /// The connection is gone: takes nothing from now on and gives back what it had accepted. The
    /// caller holds the lock of the table, which those who wait for room take in their turn: they
    /// are told once it is free.
    pub(crate) fn close(&self, mut batch: WriteBatch) -> Leftovers {
        let mut leftovers = Leftovers::default();
        let peer = self.peer();
        let mut state = self.lock();
        state.enter(LinkPhase::Closed(CloseCause::Ended));
        state.note_room();
        state.writer.forget();
        leftovers.relieved = self.forgive();
        state
            .in_flight
            .take_all(peer, &mut leftovers.unacknowledged);
        let blocks = state.queue.take_all();
        leftovers.counts = std::mem::take(&mut state.counts);
        state.arrivals = None;
        drop(state);
        let written = batch.written.saturating_sub(batch.control.len());
        if let Some(block) = batch.finish() {
            let all = block.frames();
            block.into_unsent(written, peer, &mut leftovers.unsent);
            leftovers.counts.sent += all.saturating_sub(leftovers.unsent.len()) as u64;
        }
        for block in blocks {
            block.into_unsent(0, peer, &mut leftovers.unsent);
        }
        leftovers
    }
}
