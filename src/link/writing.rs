//! The writer's side of a link: what it takes, and what it leaves when the connection ends.

use std::task::Waker;

use super::queue::FrameQueue;
use super::{Leftovers, Link, NextWrite, Phase, WriteBatch};

impl Link {
    /// The writer has written all of `hand` and wants more. Says what to do, and whether room
    /// has become free, of which the caller then tells the waiting senders.
    pub(crate) fn next_write(&self, hand: &mut WriteBatch, waker: &Waker) -> (NextWrite, bool) {
        let mut state = self.state.lock();
        let mut freed = state.queue.is_lent();
        let mut relieved = false;
        if freed {
            self.end_loan(&mut state);
        }
        if let Some(block) = hand.finish() {
            state.counts.sent += FrameQueue::frames_of(&block) as u64;
            state.queue.release(block);
            if state.shedding.is_some() && state.queue.bytes() <= state.share / 2 {
                state.shedding = None;
            }
            relieved = self.forgive_if_drained(&mut state);
            freed = true;
        }
        if freed {
            state.note_room();
        }
        state.blocked = None;
        if state.phase == Phase::Closed {
            return (NextWrite::Closed, freed);
        }
        let block = state.queue.take();
        let next = if block.is_some() || !state.control.is_empty() {
            hand.take(&mut state.control, block);
            NextWrite::Write
        } else if state.phase == Phase::Finishing {
            NextWrite::Finish
        } else {
            let places = state.queue.vacate();
            hand.put_down(&mut state.control, places);
            state.contended = false;
            match &mut state.writer {
                Some(writer) => writer.clone_from(waker),
                writer @ None => *writer = Some(waker.clone()),
            }
            NextWrite::Park
        };
        drop(state);
        if relieved && let Some(owner) = self.owner() {
            owner.handle_debt_paid();
        }
        (next, freed)
    }

    /// The kernel takes no more for now. False if someone has ended the connection, so that the
    /// writer is not to wait for a peer that may never read.
    pub(crate) fn may_wait(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return false;
        }
        state.blocked = Some(waker.clone());
        true
    }

    /// The connection is gone: takes nothing from now on and gives back what it had accepted. The
    /// caller holds the lock of the table, which those who wait for room take in their turn: they
    /// are told once it is free.
    pub(crate) fn close(&self, mut hand: WriteBatch) -> Leftovers {
        let mut leftovers = Leftovers::default();
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.note_room();
        state.writer = None;
        state.blocked = None;
        state.control = Vec::new();
        leftovers.relieved = self.forgive();
        if let Some(ring) = state.unacked.as_mut() {
            ring.take_all(self.peer, &mut leftovers.unacknowledged);
        }
        let blocks = state.queue.take_all();
        leftovers.counts = std::mem::take(&mut state.counts);
        drop(state);
        let written = hand.written.saturating_sub(hand.control.len());
        if let Some(block) = hand.finish() {
            let all = FrameQueue::frames_of(&block);
            block.into_unsent(written, self.peer, &mut leftovers.unsent);
            leftovers.counts.sent += all.saturating_sub(leftovers.unsent.len()) as u64;
        }
        for block in blocks {
            block.into_unsent(0, self.peer, &mut leftovers.unsent);
        }
        leftovers
    }
}
