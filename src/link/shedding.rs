//! A full link that nobody is to wait for: what is dropped, or that its connection ends.

use std::collections::VecDeque;

use super::queue::GATHER_FROM;
use super::{Entry, Link, Mark, Phase, Refused, State};
use crate::id::Identity;
use crate::sync::MutexGuard;

/// Which message goes when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Those that have waited longest and that the writer has not taken. Where there are none, the
    /// new one.
    Oldest,
    /// The new one.
    Newest,
}

/// What taking a message without waiting has cost.
#[derive(Debug)]
pub(crate) struct Shedding {
    /// Messages that were accepted before, oldest first.
    pub(crate) lost: VecDeque<Entry>,
    /// Whether the new message was taken. If not, it is for the caller to account for.
    pub(crate) taken: bool,
}

impl Link {
    /// Takes a message; for want of room one is dropped, by `shed`. Of the frame that the writer
    /// has in hand nothing is ever dropped.
    pub(crate) fn push_shedding(&self, entry: &mut Entry, shed: Shed) -> Result<Shedding, Refused> {
        let state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        let share = state.share;
        Ok(self.shed(state, share, entry, shed))
    }

    /// Takes a copy of a published message, which has waited for room long enough. A link that is
    /// shedding drops messages for it.
    pub(crate) fn publish(&self, entry: &mut Entry) -> Result<Shedding, Refused> {
        let state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if let Some(shed) = state.shedding {
            let share = state.share_for_copy(entry);
            return Ok(self.shed(state, share, entry, shed));
        }
        self.accept(state, entry, Mark::Requeue);
        Ok(Shedding {
            lost: VecDeque::new(),
            taken: true,
        })
    }

    /// Drops and takes under one lock, so that whatever is dropped is in the answer.
    fn shed(
        &self,
        mut state: MutexGuard<'_, State>,
        share: usize,
        entry: &mut Entry,
        shed: Shed,
    ) -> Shedding {
        let mut lost = VecDeque::new();
        state.note_room();
        let taken = match shed {
            Shed::Oldest => state.make_room(share, entry, self.peer, &mut lost),
            Shed::Newest => state.has_room_in(share, entry, Mark::Bound),
        };
        if taken {
            self.accept(state, entry, Mark::Bound);
        }
        Shedding { lost, taken }
    }

    /// Nobody waits for this link any more until it has drained to half: meanwhile messages are
    /// dropped where there is no room.
    pub(crate) fn start_shedding(&self, shed: Shed) {
        self.lock().shedding = Some(shed);
    }

    /// Whether a published message would be taken without waiting. `None` when the link is closed.
    pub(crate) fn would_take(&self, entry: &Entry) -> Option<bool> {
        let state = self.lock();
        let share = state.share_for_copy(entry);
        let takes = || state.shedding.is_some() || state.has_room_in(share, entry, Mark::Bound);
        (state.phase == Phase::Open).then(takes)
    }

    /// Ends the connection because its queue is full. What it holds is dealt with as when it had
    /// died.
    pub(crate) fn cut_off(&self) {
        self.lock().cut_off = true;
        self.abort();
    }

    /// Whether the connection was ended because its queue was full.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.lock().cut_off
    }
}

impl State {
    /// Bytes that the queue takes with a copy of a published message. A large payload is not copied:
    /// all links hold the same, and it counts once, so that the budget is not divided for it.
    fn share_for_copy(&self, entry: &Entry) -> usize {
        if entry.payload.len() >= GATHER_FROM {
            self.limits.bytes
        } else {
            self.share
        }
    }

    /// Drops messages, the oldest first, until there is room for `entry`. False if that cannot be:
    /// the rest is in the writer's hand, or on its way and not yet acknowledged.
    fn make_room(
        &mut self,
        share: usize,
        entry: &Entry,
        peer: Identity,
        lost: &mut VecDeque<Entry>,
    ) -> bool {
        while !self.has_room_in(share, entry, Mark::Bound) {
            let ring_is_full = !self.ring_fits(entry, 1);
            if ring_is_full && !self.queue.begins_with_request() {
                return false;
            }
            let Some(dropped) = self.queue.drop_first() else {
                return false;
            };
            match dropped.id {
                None => lost.push_back(dropped.into_entry(peer)),
                // What is being resent stays in the ring, and is resent again.
                Some(id) => lost.extend(self.unacked.as_mut().and_then(|ring| ring.forget(id))),
            }
        }
        true
    }
}
