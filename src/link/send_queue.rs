//! All frames that a link has accepted and not yet written: messages in blocks, and control frames, which
//! go before them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::block::{Block, Dropped, FrameRoute, GATHER_FROM, copied};
use super::entry::Entry;
use super::write_batch::{self, WriteBatch};
use crate::id::MessageId;
use crate::limits::Capacity;
use crate::wire;

/// Messages for which room is reserved at a time.
const RESERVED_FRAMES: usize = 1024;

/// Less room than this is not worth borrowing.
const LEAST_BYTES: usize = 1024;

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    control: Vec<u8>,
    blocks: VecDeque<Block>,
    /// Frames and bytes in `blocks` and in the writer's hand, and what is reserved for a sender.
    frames: usize,
    bytes: usize,
    lending: Lending,
}

/// Room for a block that a sender fills elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reservation {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) largest_payload: usize,
}

/// State of the last block, which may be lent to a sender that fills it without the lock.
#[derive(Debug, Clone, Copy, Default)]
enum Lending {
    /// The block may be lent.
    #[default]
    Possible,
    /// The block is lent; the reserved room counts as queued.
    Lent(Reservation),
    /// The block is lent, and another thread has queued something behind it.
    Overtaken(Reservation),
    /// Several threads were sending at a time since the writer was parked last: nothing is lent.
    Contended,
}

impl Reservation {
    /// The reservation within the room that the bounds leave.
    fn within(frames: usize, bytes: usize, largest_payload: usize) -> Option<Self> {
        (frames > 1 && bytes >= LEAST_BYTES).then_some(Self {
            frames: frames.min(RESERVED_FRAMES),
            bytes,
            largest_payload: largest_payload.min(GATHER_FROM - 1),
        })
    }
}

impl SendQueue {
    /// A queue that begins with these control frames.
    pub(super) fn beginning_with(control: Vec<u8>) -> Self {
        Self {
            control,
            ..Self::default()
        }
    }

    #[inline]
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Messages and bytes that are queued, or in the writer's hand.
    #[inline]
    pub(super) fn queued(&self) -> Capacity {
        Capacity::new(self.frames, self.bytes)
    }

    /// True if a payload of so many bytes has room, at `factor` times the bound.
    #[inline]
    pub(super) fn fits(&self, payload: usize, bound: Capacity, factor: usize) -> bool {
        self.frames == 0
            || (self.frames < bound.messages.saturating_mul(factor)
                && self.bytes + payload <= bound.bytes.saturating_mul(factor))
    }

    /// Room within a bound for copies of a message like this one. An empty queue takes one message of
    /// any size.
    pub(super) fn left_for_copies(&self, entry: &Entry, bound: Capacity) -> Reservation {
        let least = match self.frames {
            0 => wire::DATA_HEADER_BYTES + entry.payload.len(),
            _ => 0,
        };
        Reservation {
            frames: bound.messages.saturating_sub(self.frames).max(1),
            bytes: bound.bytes.saturating_sub(self.bytes).max(least),
            ..Reservation::default()
        }
    }

    /// True if no message waits to be taken by the writer.
    #[inline]
    pub(super) fn has_nothing_to_take(&self) -> bool {
        self.blocks.is_empty()
    }

    /// True if neither messages nor control frames wait to be taken.
    pub(super) fn has_nothing_to_write(&self) -> bool {
        self.control.is_empty() && self.blocks.is_empty()
    }

    /// True if the first block waits to be taken and has no room for a frame with this payload.
    #[inline]
    pub(super) fn begins_with_full_block(&self, payload: &Bytes) -> bool {
        let front = self.blocks.front();
        self.blocks.len() > 1 || front.is_some_and(|block| !block.takes(copied(0, payload)))
    }

    /// Encodes one frame at the end.
    #[inline]
    pub(super) fn push(&mut self, header: &[u8], entry: &Entry, route: FrameRoute) {
        let copied = copied(header.len(), &entry.payload);
        let block = match self.blocks.back_mut() {
            Some(block) if !block.is_lent() && block.takes(copied) => block,
            _ => {
                self.append(Block::pooled());
                self.blocks.back_mut().expect("a block was just pushed")
            }
        };
        block.put(header, entry, route);
        self.frames += 1;
        self.bytes += header.len() + entry.payload.len();
    }

    /// [`push`](Self::push), with an envelope in front of the payload.
    pub(super) fn push_wrapped(
        &mut self,
        header: &[u8],
        envelope: &[u8],
        entry: &Entry,
        route: FrameRoute,
    ) {
        match envelope.is_empty() {
            true => self.push(header, entry, route),
            false => self.push(&[header, envelope].concat(), entry, route),
        }
    }

    /// Puts a block at the end.
    pub(super) fn push_block(&mut self, block: Block) {
        self.frames += block.frames();
        self.bytes += block.len();
        self.append(block);
    }

    fn append(&mut self, block: Block) {
        if self.blocks.capacity() == 0 {
            self.blocks = write_batch::spare_places();
        }
        self.blocks.push_back(block);
    }

    /// Queues control frames.
    pub(super) fn put_control(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        if self.control.capacity() == 0 {
            self.control = write_batch::spare_control();
        }
        put(&mut self.control);
    }

    /// Bytes of control frames that wait to be taken.
    pub(super) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Hands the control frames and the oldest block to the writer. False if there is nothing to write.
    pub(super) fn fill(&mut self, batch: &mut WriteBatch) -> bool {
        let block = self.take();
        if block.is_none() && self.control.is_empty() {
            return false;
        }
        batch.take(&mut self.control, block);
        true
    }

    /// There is nothing to write: what queue and hand have used goes to others.
    pub(super) fn rest(&mut self, batch: &mut WriteBatch) {
        let places = self.vacate();
        batch.put_down(&mut self.control, places);
        if matches!(self.lending, Lending::Contended) {
            self.lending = Lending::Possible;
        }
    }

    /// Gives the places of blocks away, if there are none.
    fn vacate(&mut self) -> VecDeque<Block> {
        if self.blocks.is_empty() {
            std::mem::take(&mut self.blocks)
        } else {
            VecDeque::new()
        }
    }

    /// True if the queue holds no memory for what may come.
    #[cfg(all(test, not(aiomsg_loom)))]
    pub(super) fn is_bare(&self) -> bool {
        self.control.capacity() == 0 && self.blocks.capacity() == 0
    }

    /// Lends the block that is being filled, if its last frame goes the same way and does not expire.
    /// What may be put into it counts as queued.
    pub(super) fn lend(
        &mut self,
        bound: Capacity,
        largest_payload: usize,
        route: FrameRoute,
    ) -> Option<(Block, Reservation)> {
        if !matches!(self.lending, Lending::Possible) {
            return None;
        }
        let block = self.blocks.back_mut()?;
        if !block.ends_plainly(route) || !block.takes(0) {
            return None;
        }
        let frames = bound.messages.saturating_sub(self.frames);
        let bytes = bound.bytes.saturating_sub(self.bytes).min(block.room());
        let reserved = Reservation::within(frames, bytes, largest_payload)?;
        self.lending = Lending::Lent(reserved);
        self.frames += reserved.frames;
        self.bytes += reserved.bytes;
        Some((std::mem::replace(block, Block::placeholder()), reserved))
    }

    /// True if a sender fills a block elsewhere.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        matches!(self.lending, Lending::Lent(_) | Lending::Overtaken(_))
    }

    /// Something is about to be queued behind a block that another thread fills.
    pub(super) fn overtake(&mut self) {
        if let Lending::Lent(reserved) = self.lending {
            self.lending = Lending::Overtaken(reserved);
        }
    }

    /// The block that was lent comes back to its place, with so much more in it.
    pub(super) fn return_block(&mut self, block: Block, frames: usize, bytes: usize) {
        let (reserved, lending) = match self.lending {
            Lending::Lent(reserved) => (reserved, Lending::Possible),
            Lending::Overtaken(reserved) => (reserved, Lending::Contended),
            Lending::Possible | Lending::Contended => (Reservation::default(), self.lending),
        };
        self.lending = lending;
        self.forget(reserved.frames, reserved.bytes);
        self.frames += frames;
        self.bytes += bytes;
        if let Some(place) = self.blocks.iter_mut().find(|block| block.is_lent()) {
            *place = block;
        }
    }

    /// Content of the queue, if so much of the reservation has been put into the lent block.
    pub(super) fn queued_with(&self, frames: usize, bytes: usize) -> Capacity {
        let reserved = match self.lending {
            Lending::Lent(reserved) | Lending::Overtaken(reserved) => reserved,
            Lending::Possible | Lending::Contended => Reservation::default(),
        };
        Capacity {
            messages: self.frames - reserved.frames + frames.min(reserved.frames),
            bytes: self.bytes - reserved.bytes + bytes.min(reserved.bytes),
        }
    }

    /// Takes the oldest block, unless a sender is filling it. It stays counted until it is
    /// [`released`](Self::release).
    pub(super) fn take(&mut self) -> Option<Block> {
        self.front_mut()?;
        let block = self.blocks.pop_front();
        if self.blocks.is_empty() && self.blocks.capacity() > 8 {
            self.blocks = VecDeque::new();
        }
        block
    }

    /// The oldest block, unless a sender is filling it.
    fn front_mut(&mut self) -> Option<&mut Block> {
        self.blocks.front_mut().filter(|block| !block.is_lent())
    }

    /// Takes the oldest frame out, unless the writer has it already, or a sender.
    pub(super) fn drop_first(&mut self) -> Option<Dropped> {
        let block = self.front_mut()?;
        let dropped = block.drop_first();
        if block.frames() == 0
            && let Some(block) = self.blocks.pop_front()
        {
            block.recycle();
        }
        self.forget(1, dropped.bytes);
        Some(dropped)
    }

    /// The id of the oldest message that neither the writer has nor a sender, if there is one and if that is at least once.
    pub(super) fn oldest(&self) -> Option<Option<MessageId>> {
        let first = self.blocks.front().filter(|block| !block.is_lent());
        first.map(Block::oldest)
    }

    /// A block that was taken is written.
    pub(super) fn release(&mut self, block: Block) {
        self.forget(block.frames(), block.len());
        block.recycle();
    }

    /// Frames that were taken are no longer counted.
    fn forget(&mut self, frames: usize, bytes: usize) {
        self.frames -= frames;
        self.bytes -= bytes;
    }

    /// Takes everything, as when the connection has died.
    pub(super) fn take_all(&mut self) -> VecDeque<Block> {
        self.control = Vec::new();
        self.frames = 0;
        self.bytes = 0;
        self.lending = Lending::Contended;
        std::mem::take(&mut self.blocks)
    }
}

#[cfg(test)]
#[path = "send_queue_tests.rs"]
mod tests;
