//! Copies of published messages, which all links of a socket share.

use bytes::Bytes;

use super::{Block, BurstRefused, Entry, Link, Mark, Phase, Room, Target, wake_writer};
use crate::wire;

/// What a link made of copies of published messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    All,
    /// It drops messages, and is to be given these one by one.
    Sheds,
    Closed,
}

impl Link {
    /// The room that there is for copies of messages like this one, at the bound. The writer is awake
    /// from now on, because there will be something to write. `None` of a link that drops messages: it takes
    /// any, and drops what there is no room for.
    pub(crate) fn room_for_copies(
        &self,
        entry: &Entry,
        mark: Mark,
    ) -> Result<Option<Room>, BurstRefused> {
        let state = self.lock();
        if state.phase != Phase::Open {
            return Err(BurstRefused::Closed);
        }
        if state.shedding.is_some() {
            return Ok(None);
        }
        if !state.has_room(entry, Mark::Bound) {
            return Err(BurstRefused::Full);
        }
        if mark == Mark::Courteous && state.has_work_for_writer(entry) && self.loan.is_ours() {
            return Err(BurstRefused::Unwritten);
        }
        let (frames, bytes) = (state.queue.frames(), state.queue.bytes());
        // An empty queue takes one message of any size.
        let least = match frames {
            0 => wire::DATA_HEADER_BYTES + entry.payload.len(),
            _ => 0,
        };
        let room = Room {
            frames: state.limits.frames.saturating_sub(frames).max(1),
            bytes: state.share.saturating_sub(bytes).max(least),
            ..Room::default()
        };
        wake_writer(state);
        Ok(Some(room))
    }

    /// Queues frames for which there was room, if it is a link that drops nothing.
    pub(crate) fn push_copies(&self, head: &Bytes, frames: usize, target: Target) -> Pushed {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Pushed::Closed;
        }
        if state.shedding.is_some() {
            return Pushed::Sheds;
        }
        state
            .queue
            .push_block(Block::shared(head.clone(), frames, target));
        wake_writer(state);
        Pushed::All
    }
}
