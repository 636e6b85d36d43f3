//! The encoded frames of a link, in blocks of about one write each.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::block_buffer::BlockBuffer;
use super::burst::Room;
use super::entry::{Entry, Target};
use super::parts::LinkLimits;
use super::write_batch;
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;
use crate::wire::{self, Envelope, Walk};

/// A block takes no frame that would make it longer than this, unless it is the first: larger writes
/// are slower, not faster, because the copy into the kernel leaves the cache.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// From this size on a payload is written from where it is instead of being copied.
pub(crate) const GATHER_FROM: usize = 16 * 1024;

/// Whether a frame was sent by the send mode or to this peer by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Mode,
    Named,
    /// By the send mode, which is publish, and not to this peer alone.
    Copy,
}

impl Route {
    pub(super) fn of(target: Target) -> Self {
        match target {
            Target::Mode => Self::Mode,
            Target::Peer(_) => Self::Named,
            Target::Copy => Self::Copy,
        }
    }
}

/// Consecutive frames of a block that share what is needed to requeue them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    route: Route,
    expires: Option<Instant>,
    frames: u32,
}

/// Some frames, encoded: `head`, then `tail`, which is the payload of the last frame in `head`
/// where that is too large to copy.
#[derive(Debug, Default)]
pub(crate) struct Block {
    head: BlockBuffer,
    /// Bytes of `head` whose frames were dropped again.
    start: usize,
    tail: Bytes,
    /// The run of the last frame, and those before it.
    run: Option<Run>,
    earlier: Vec<Run>,
    frames: usize,
    /// A sender fills the block elsewhere; this one keeps its place.
    lent: bool,
}

impl Block {
    /// Frames that were sent by the send mode, which other links hold as well.
    pub(crate) fn shared(head: Bytes, frames: usize, target: Target) -> Self {
        let run = Run {
            route: Route::of(target),
            expires: None,
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
        };
        Self {
            head: BlockBuffer::Shared(head),
            run: Some(run),
            frames,
            ..Self::default()
        }
    }

    /// Its messages, as they were before they were sent.
    pub(crate) fn into_entries(self, out: &mut VecDeque<Entry>) {
        self.into_unsent(0, Identity::from_bytes([0; 16]), out);
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head[self.start..]
    }

    pub(crate) fn tail(&self) -> &Bytes {
        &self.tail
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() - self.start + self.tail.len()
    }

    /// Whether a frame goes into the block, of which so many bytes are to be copied.
    #[inline]
    fn takes(&self, copied: usize) -> bool {
        self.head.is_own()
            && self.tail.is_empty()
            && (self.head.is_empty() || self.head.len() + copied <= BLOCK_BYTES)
    }

    #[inline]
    fn put(&mut self, header: &[u8], entry: &Entry, route: Route) {
        let payload = &entry.payload;
        self.head.extend_from_slice(header);
        if payload.len() < GATHER_FROM {
            self.head.extend_from_slice(payload);
        } else {
            self.tail = payload.clone();
        }
        self.frames += 1;
        let expires = entry.expires();
        match &mut self.run {
            Some(run) if run.route == route && run.expires == expires => run.frames += 1,
            run => {
                let begun = Run {
                    route,
                    expires,
                    frames: 1,
                };
                self.earlier.extend(run.replace(begun));
            }
        }
    }

    /// Encodes one more frame of the last run, which [`extend_run`](Self::extend_run) tells of.
    #[inline]
    pub(super) fn encode(&mut self, header: &[u8], payload: &[u8]) {
        self.head.extend_from_slice(header);
        self.head.extend_from_slice(payload);
    }

    /// `frames` more were encoded, all like the last one before them.
    pub(super) fn extend_run(&mut self, frames: usize) {
        self.frames += frames;
        if let Some(run) = &mut self.run {
            run.frames += u32::try_from(frames).unwrap_or(u32::MAX);
        }
    }

    /// Gives back the messages of the at-most-once frames that begin at or behind `written`
    /// bytes. What wants an acknowledgement is in the ring of the link as well and comes from
    /// there; a frame that is half written counts as sent.
    pub(crate) fn into_unsent(self, written: usize, peer: Identity, out: &mut VecDeque<Entry>) {
        let Self {
            head,
            start,
            tail,
            run,
            earlier,
            ..
        } = self;
        let head = head.into_bytes();
        let mut runs = earlier
            .into_iter()
            .chain(run)
            .flat_map(|run| (0..run.frames).map(move |_| run));
        let mut at = start;
        let written = start + written;
        while let (true, Some(run)) = (at < head.len(), runs.next()) {
            let (envelope, length) = first_frame(&head[at..]);
            let (envelope, next) = (head.slice_ref(envelope), at + length);
            if at >= written
                && let Ok(Envelope::Data(payload)) = Envelope::decode(&envelope)
            {
                let in_tail = payload.is_empty() && next == head.len() && !tail.is_empty();
                let payload = if in_tail {
                    tail.clone()
                } else {
                    envelope.slice_ref(payload)
                };
                out.push_back(run.entry(payload, peer));
            }
            at = next;
        }
    }

    /// Takes the oldest frame out of the block.
    fn drop_first(&mut self) -> Dropped {
        let head = &self.head[self.start..];
        let (envelope, length) = first_frame(head);
        let last = length == head.len();
        let (id, payload) = match Envelope::decode(envelope) {
            Ok(Envelope::DataReq(id, payload)) => (Some(id), payload),
            Ok(Envelope::Data(payload)) => (None, payload),
            // Nothing else is ever put into a block.
            Ok(
                Envelope::Hello { .. }
                | Envelope::Heartbeat
                | Envelope::Ack(_)
                | Envelope::Unknown(_),
            )
            | Err(_) => (None, envelope),
        };
        let (payload, bytes) = if last && payload.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            let bytes = length + tail.len();
            (tail, bytes)
        } else {
            (Bytes::copy_from_slice(payload), length)
        };
        let run = self.take_run();
        self.start += length;
        self.frames -= 1;
        Dropped {
            id,
            payload,
            run,
            bytes,
        }
    }

    /// Whether the oldest frame wants an acknowledgement.
    fn begins_with_request(&self) -> bool {
        let (envelope, _) = first_frame(self.head());
        matches!(Envelope::decode(envelope), Ok(Envelope::DataReq(..)))
    }

    /// Takes one frame off the oldest run.
    fn take_run(&mut self) -> Option<Run> {
        let first = self.earlier.first_mut().or(self.run.as_mut())?;
        first.frames -= 1;
        let run = *first;
        if run.frames == 0 {
            if self.earlier.is_empty() {
                self.run = None;
            } else {
                self.earlier.remove(0);
            }
        }
        Some(run)
    }
}

/// A frame that was taken out of a queue, and is not to be written.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// Present when it wants an acknowledgement: it is in the ring as well.
    pub(crate) id: Option<MessageId>,
    payload: Bytes,
    run: Option<Run>,
    bytes: usize,
}

impl Dropped {
    /// The message, if it wants no acknowledgement.
    pub(crate) fn into_entry(self, peer: Identity) -> Entry {
        match self.run {
            Some(run) => run.entry(self.payload, peer),
            None => Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, self.payload),
        }
    }
}

impl Run {
    /// A message of this run, as it was before it was sent to `peer`.
    fn entry(self, payload: Bytes, peer: Identity) -> Entry {
        let target = match self.route {
            Route::Mode => Target::Mode,
            Route::Named => Target::Peer(peer),
            Route::Copy => Target::Copy,
        };
        let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload);
        if self.expires.is_some() {
            entry.extras = Some(Box::new(super::entry::Extras {
                expires: self.expires,
                ..Default::default()
            }));
        }
        entry
    }
}

/// Bytes of a frame that are copied into its block.
#[inline]
fn copied(header: usize, payload: &Bytes) -> usize {
    match payload.len() {
        small @ ..GATHER_FROM => header + small,
        _ => header,
    }
}

/// The envelope and the length of the frame that `head` begins with. The payload of the last frame
/// may be elsewhere.
fn first_frame(head: &[u8]) -> (&[u8], usize) {
    match wire::walk(head, u32::MAX) {
        Ok(Walk::Frame(frame)) => (frame.envelope, frame.len()),
        Ok(Walk::Partial(_)) | Err(_) => (&head[wire::PREFIX_BYTES..], head.len()),
    }
}

/// All frames that a link has accepted and not yet written.
#[derive(Debug, Default)]
pub(crate) struct FrameQueue {
    blocks: VecDeque<Block>,
    /// Frames and bytes in `blocks` and in the writer's hand, and what is reserved for a sender.
    frames: usize,
    bytes: usize,
    reserved: Option<Room>,
}

impl FrameQueue {
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits to be taken by the writer.
    #[inline]
    pub(crate) fn has_nothing_to_take(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether a block waits to be taken that has no room for a frame with this payload.
    #[inline]
    pub(super) fn begins_with_full_block(&self, payload: &Bytes) -> bool {
        let front = self.blocks.front();
        self.blocks.len() > 1 || front.is_some_and(|block| !block.takes(copied(0, payload)))
    }

    /// Encodes one frame at the end.
    #[inline]
    pub(crate) fn push(&mut self, header: &[u8], entry: &Entry, route: Route) {
        let copied = copied(header.len(), &entry.payload);
        let block = match self.blocks.back_mut() {
            Some(block) if !block.lent && block.takes(copied) => block,
            _ => {
                self.append(Block {
                    head: BlockBuffer::pooled(),
                    ..Block::default()
                });
                self.blocks.back_mut().expect("a block was just pushed")
            }
        };
        block.put(header, entry, route);
        self.frames += 1;
        self.bytes += header.len() + entry.payload.len();
    }

    /// Puts a block at the end.
    pub(super) fn push_block(&mut self, block: Block) {
        self.frames += block.frames;
        self.bytes += block.len();
        self.append(block);
    }

    fn append(&mut self, block: Block) {
        if self.blocks.capacity() == 0 {
            self.blocks = write_batch::spare_places();
        }
        self.blocks.push_back(block);
    }

    /// Gives the places of blocks away, if there are none.
    pub(super) fn vacate(&mut self) -> VecDeque<Block> {
        if self.blocks.is_empty() {
            std::mem::take(&mut self.blocks)
        } else {
            VecDeque::new()
        }
    }

    /// Lends the block that is being filled, if its last frame goes the same way and does not expire.
    /// What may be put into it counts as queued.
    pub(super) fn lend(&mut self, limits: &LinkLimits, route: Route) -> Option<(Block, Room)> {
        let block = self.blocks.back_mut()?;
        let plain = block
            .run
            .is_some_and(|run| run.route == route && run.expires.is_none());
        if !plain || !block.takes(0) || self.reserved.is_some() {
            return None;
        }
        let frames = limits.frames.saturating_sub(self.frames);
        let bytes = limits.bytes.saturating_sub(self.bytes);
        let bytes = bytes.min(BLOCK_BYTES.saturating_sub(block.head.len()));
        let room = Room::within(frames, bytes, limits.largest_payload)?;
        self.reserved = Some(room);
        self.frames += room.frames;
        self.bytes += room.bytes;
        let place = Block {
            lent: true,
            ..Block::default()
        };
        Some((std::mem::replace(block, place), room))
    }

    /// Whether a sender fills a block elsewhere.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        self.reserved.is_some()
    }

    /// The block that was lent comes back to its place, with so much more in it.
    pub(super) fn return_block(&mut self, block: Block, frames: usize, bytes: usize) {
        let room = self.reserved.take().unwrap_or_default();
        self.forget(room.frames, room.bytes);
        self.frames += frames;
        self.bytes += bytes;
        if let Some(place) = self.blocks.iter_mut().find(|block| block.lent) {
            *place = block;
        }
    }

    /// What is reserved and not, or not yet, queued.
    pub(super) fn reserved(&self) -> Room {
        self.reserved.unwrap_or_default()
    }

    /// Takes the oldest block, unless a sender is filling it. It stays counted until it is
    /// [`released`](Self::release).
    pub(crate) fn take(&mut self) -> Option<Block> {
        self.front_mut()?;
        let block = self.blocks.pop_front();
        if self.blocks.is_empty() && self.blocks.capacity() > 8 {
            self.blocks = VecDeque::new();
        }
        block
    }

    /// The oldest block, unless a sender is filling it.
    fn front_mut(&mut self) -> Option<&mut Block> {
        self.blocks.front_mut().filter(|block| !block.lent)
    }

    /// Takes the oldest frame out, unless the writer has it already, or a sender.
    pub(crate) fn drop_first(&mut self) -> Option<Dropped> {
        let block = self.front_mut()?;
        let dropped = block.drop_first();
        if block.frames == 0
            && let Some(block) = self.blocks.pop_front()
        {
            block.head.recycle();
        }
        self.forget(1, dropped.bytes);
        Some(dropped)
    }

    /// Whether the oldest frame that the writer has not taken wants an acknowledgement.
    pub(crate) fn begins_with_request(&self) -> bool {
        let first = self.blocks.front().filter(|block| !block.lent);
        first.is_some_and(Block::begins_with_request)
    }

    /// A block that was taken is written.
    pub(crate) fn release(&mut self, block: Block) {
        self.forget(block.frames, block.len());
        block.head.recycle();
    }

    /// Frames that were taken are no longer counted.
    pub(crate) fn forget(&mut self, frames: usize, bytes: usize) {
        self.frames -= frames;
        self.bytes -= bytes;
    }

    /// Takes everything, as when the connection has died.
    pub(crate) fn take_all(&mut self) -> VecDeque<Block> {
        self.frames = 0;
        self.bytes = 0;
        self.reserved = None;
        std::mem::take(&mut self.blocks)
    }

    /// Frames of a block, which its taker reports as sent.
    pub(crate) fn frames_of(block: &Block) -> usize {
        block.frames
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
