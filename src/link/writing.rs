//! The writer's side of a link.

use std::task::Waker;

use super::link::Link;
use super::state::LinkPhase;
use super::write_batch::WriteBatch;

/// Next step of the writer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextWrite {
    /// There are bytes in the hand.
    Write,
    /// Nothing to write; the waker is kept and woken when there is.
    Park,
    /// Everything is written and nothing more will come.
    Finish,
    /// Someone ended the connection.
    Closed,
}

impl Link {
    /// The writer has written all of `batch` and wants more. Yields its next step, and whether room
    /// has become free, of which the caller then tells the waiting senders.
    pub(crate) fn next_write(&self, batch: &mut WriteBatch, waker: &Waker) -> (NextWrite, bool) {
        let mut state = self.state.lock();
        let mut freed = state.queue.is_lent();
        let mut relieved = false;
        if freed {
            self.end_loan(&mut state);
        }
        if state.is_closed() {
            // What is in the hand counts no longer, if the link has given up what it had; whoever closes it counts it otherwise.
            state.writer.unblock();
            return (NextWrite::Closed, freed);
        }
        if let Some(block) = batch.finish() {
            state.sent += block.frames() as u64;
            state.queue.release(block);
            relieved = self.note_written(&mut state);
            freed = true;
        }
        if freed {
            state.note_room();
        }
        state.writer.unblock();
        let next = if state.queue.fill(batch) {
            state.writer.begin();
            NextWrite::Write
        } else if state.phase == LinkPhase::Finishing {
            state.writer.begin();
            NextWrite::Finish
        } else {
            state.queue.rest(batch);
            state.writer.park(waker);
            NextWrite::Park
        };
        drop(state);
        if relieved && let Some(owner) = self.owner() {
            owner.handle_debt_paid();
        }
        (next, freed)
    }

    /// True if there are messages of less than so many bytes and nothing else, and more may come behind them.
    pub(crate) fn has_less_than(&self, bytes: usize) -> bool {
        let state = self.lock();
        let queue = &state.queue;
        let is_little = (1..bytes).contains(&queue.queued().bytes) && queue.control_bytes() == 0;
        is_little && state.is_open() && !queue.is_lent()
    }

    /// The kernel takes no more for now. False if someone has ended the connection, so that the
    /// writer is not to wait for a peer that may never read.
    pub(crate) fn may_wait(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.is_closed() {
            return false;
        }
        state.writer.block(waker);
        true
    }
}
