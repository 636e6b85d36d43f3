//! A full link that nobody is to wait for: it drops messages, or its connection ends.

use std::collections::VecDeque;

use super::attempt::Refused;
use super::entry::Entry;
use super::limits::Bound;
use super::link::Link;
use super::state::{CloseCause, LinkPhase, LinkState};
use crate::engine::pressure::{Oldest, Shed, ShedStep};
use crate::id::Identity;
use crate::limits::Capacity;
use crate::sync::MutexGuard;

/// The cost of taking a message without waiting.
#[derive(Debug)]
pub(crate) struct ShedOutcome {
    /// Messages that were accepted before, oldest first.
    pub(crate) lost: VecDeque<Entry>,
    /// True if the new message was taken. If not, the caller accounts for it.
    pub(crate) taken: bool,
}

impl Link {
    /// Takes a message; for want of room one is dropped, by `shed`. Of the frame that the writer
    /// has in hand nothing is ever dropped.
    pub(crate) fn push_shedding(
        &self,
        entry: &mut Entry,
        shed: Shed,
    ) -> Result<ShedOutcome, Refused> {
        let state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        let queue = state.bounds.queue();
        Ok(self.shed(state, queue, entry, shed))
    }

    /// Takes a copy of a published message, which has waited for room long enough. A link that is
    /// shedding drops messages for it.
    pub(crate) fn publish(&self, entry: &mut Entry) -> Result<ShedOutcome, Refused> {
        let state = self.lock();
        if !state.is_open() {
            return Err(Refused::Closed);
        }
        if let Some(shed) = state.pressure.shed() {
            let queue = state.bounds.queue_for_copy(entry);
            return Ok(self.shed(state, queue, entry, shed));
        }
        self.accept(state, entry, Bound::Unlimited);
        Ok(ShedOutcome {
            lost: VecDeque::new(),
            taken: true,
        })
    }

    /// Drops and takes under one lock, so that whatever is dropped is in the answer.
    fn shed(
        &self,
        mut state: MutexGuard<'_, LinkState>,
        queue: Capacity,
        entry: &mut Entry,
        shed: Shed,
    ) -> ShedOutcome {
        let mut lost = VecDeque::new();
        state.note_room();
        let taken = loop {
            let (fit, oldest) = (state.fit(queue, entry), state.oldest());
            match shed.next_step(fit, oldest) {
                ShedStep::Take => break true,
                ShedStep::DropNew => break false,
                ShedStep::DropOldest => state.drop_oldest(self.peer(), &mut lost),
            }
        };
        if taken {
            self.accept(state, entry, Bound::Link);
        }
        ShedOutcome { lost, taken }
    }

    /// Nobody waits for this link any more until it has drained to half: meanwhile messages are
    /// dropped where there is no room.
    pub(crate) fn start_shedding(&self, shed: Shed) {
        self.lock().pressure.start_shedding(shed);
    }

    /// Room for a published message: `true` if it would be taken without waiting. `None` when the link is closed.
    pub(crate) fn would_take(&self, entry: &Entry) -> Option<bool> {
        self.takes(&self.lock(), entry)
    }

    pub(super) fn takes(&self, state: &LinkState, entry: &Entry) -> Option<bool> {
        let queue = state.bounds.queue_for_copy(entry);
        let takes =
            || state.pressure.shed().is_some() || state.has_room_in(queue, entry, Bound::Link);
        state.is_open().then(takes)
    }

    /// Ends the connection because its queue is full. What it holds is dealt with as when it had
    /// died.
    pub(crate) fn cut_off(&self) {
        self.end(LinkPhase::Closed(CloseCause::Overflow));
    }
}

impl LinkState {
    /// The message that would have to make room.
    fn oldest(&self) -> Oldest {
        match self.queue.oldest() {
            None => Oldest::None,
            Some(None) => Oldest::AtMostOnce,
            Some(Some(id)) if self.in_flight.is_stored(id) => Oldest::Stored,
            Some(Some(_)) => Oldest::AtLeastOnce,
        }
    }

    /// Drops the oldest message that the writer has not taken.
    fn drop_oldest(&mut self, peer: Identity, lost: &mut VecDeque<Entry>) {
        let Some(dropped) = self.queue.drop_first() else {
            return;
        };
        if let Some(frame) = dropped.control_frame() {
            // It stood behind messages that have left by now.
            let put = |control: &mut Vec<u8>| control.extend_from_slice(frame);
            self.queue.put_control(put);
            return;
        }
        match dropped.id {
            None => lost.push_back(dropped.into_entry(peer)),
            // What is being resent stays in the ring, and is resent again.
            Some(id) => lost.extend(self.in_flight.forget(id)),
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;

    use super::super::entry::Target;
    use super::super::limits::LinkLimits;
    use super::super::write_batch::WriteBatch;
    use super::*;
    use crate::limits::DeliveryGuarantee;

    #[test]
    fn a_frame_that_is_no_message_is_written_when_it_would_be_dropped() {
        const FRAME: &[u8] = b"\x00\x00\x00\x02\xc9\x07";
        let peer = Identity::from_bytes([7; 16]);
        let link = Link::without_socket(peer, 1, LinkLimits::of(2, 1024));
        let mut push = |text: &'static str| {
            let payload = Bytes::from_static(text.as_bytes());
            let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload);
            link.push_shedding(&mut entry, Shed::Oldest).unwrap().lost
        };
        assert!(push("first").is_empty());
        link.push_behind_messages(Bytes::from_static(FRAME));
        let lost: Vec<_> = ["second", "third"]
            .into_iter()
            .flat_map(&mut push)
            .collect();
        let payloads: Vec<_> = lost.iter().map(|entry| &entry.payload[..]).collect();
        assert_eq!(payloads, [b"first"]);
        let mut batch = WriteBatch::default();
        let _ = link.next_write(&mut batch, Waker::noop());
        assert_eq!(&batch.control[..], FRAME);
        let block = batch.block.as_ref().unwrap();
        assert!(block.head().ends_with(b"third"), "{block:?}");
    }
}
