//! The encoded frames of a link, in blocks of about one write each.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::entry::{Entry, Guarantee, Target};
use crate::id::{Identity, MessageId};
use crate::wire::{self, Envelope, Walk};

/// A block is closed when it has this many bytes: larger writes are slower, not faster, because
/// the copy into the kernel leaves the cache.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// From this size on a payload is written from where it is instead of being copied.
pub(crate) const GATHER_FROM: usize = 16 * 1024;

/// Emptied buffers that a thread keeps for its next blocks.
const POOLED_BUFFERS: usize = 12;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn pooled_buffer() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn recycle(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > 2 * BLOCK_BYTES {
        return;
    }
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED_BUFFERS {
            buffer.clear();
            pool.push(buffer);
        }
    });
}

/// Whether a frame was sent by the send mode or to this peer by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Mode,
    Named,
    /// By the send mode, which is publish, and not to this peer alone.
    Copy,
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
    head: Vec<u8>,
    /// Bytes of `head` whose frames were dropped again.
    start: usize,
    tail: Bytes,
    /// The run of the last frame, and those before it.
    run: Option<Run>,
    earlier: Vec<Run>,
    frames: usize,
}

impl Block {
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[self.start..]
    }

    pub(crate) fn tail(&self) -> &Bytes {
        &self.tail
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() - self.start + self.tail.len()
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.head.len() >= BLOCK_BYTES || !self.tail.is_empty()
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
        let head = Bytes::from(head);
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
            None => Entry::new(Target::Mode, Guarantee::AtMostOnce, self.payload),
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
        let mut entry = Entry::new(target, Guarantee::AtMostOnce, payload);
        if self.expires.is_some() {
            entry.extras = Some(Box::new(super::entry::Extras {
                expires: self.expires,
                ..Default::default()
            }));
        }
        entry
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
    /// Frames and bytes in `blocks` and in the writer's hand.
    frames: usize,
    bytes: usize,
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

    /// Encodes one frame at the end.
    #[inline]
    pub(crate) fn push(&mut self, header: &[u8], entry: &Entry, route: Route) {
        let block = match self.blocks.back_mut() {
            Some(block) if !block.is_closed() => block,
            _ => {
                self.blocks.push_back(Block {
                    head: pooled_buffer(),
                    ..Block::default()
                });
                self.blocks.back_mut().expect("a block was just pushed")
            }
        };
        block.put(header, entry, route);
        self.frames += 1;
        self.bytes += header.len() + entry.payload.len();
    }

    /// Takes the oldest block. It stays counted until it is [`released`](Self::release).
    pub(crate) fn take(&mut self) -> Option<Block> {
        let block = self.blocks.pop_front();
        if self.blocks.is_empty() && self.blocks.capacity() > 8 {
            self.blocks = VecDeque::new();
        }
        block
    }

    /// Takes the oldest frame out, unless the writer has it already.
    pub(crate) fn drop_first(&mut self) -> Option<Dropped> {
        let block = self.blocks.front_mut()?;
        let dropped = block.drop_first();
        if block.frames == 0
            && let Some(block) = self.blocks.pop_front()
        {
            recycle(block.head);
        }
        self.forget(1, dropped.bytes);
        Some(dropped)
    }

    /// Whether the oldest frame that the writer has not taken wants an acknowledgement.
    pub(crate) fn begins_with_request(&self) -> bool {
        self.blocks.front().is_some_and(Block::begins_with_request)
    }

    /// A block that was taken is written.
    pub(crate) fn release(&mut self, block: Block) {
        self.forget(block.frames, block.len());
        recycle(block.head);
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
        std::mem::take(&mut self.blocks)
    }

    /// Frames of a block, which its taker reports as sent.
    pub(crate) fn frames_of(block: &Block) -> usize {
        block.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::data_header;

    fn queue_of(payloads: &[&'static [u8]]) -> FrameQueue {
        let mut queue = FrameQueue::default();
        for payload in payloads {
            let entry = Entry::new(
                Target::Mode,
                Guarantee::AtMostOnce,
                Bytes::from_static(payload),
            );
            queue.push(&data_header(payload.len()), &entry, Route::Mode);
        }
        queue
    }

    fn unsent(queue: &mut FrameQueue, written: usize) -> Vec<Bytes> {
        let mut out = VecDeque::new();
        let peer = Identity::from_bytes([7; 16]);
        for (index, block) in queue.take_all().into_iter().enumerate() {
            let written = if index == 0 { written } else { 0 };
            block.into_unsent(written, peer, &mut out);
        }
        out.into_iter().map(|entry| entry.payload).collect()
    }

    #[test]
    fn small_frames_share_a_block_and_a_large_payload_closes_it() {
        static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
        let mut queue = queue_of(&[b"a", b"b", &LARGE, b"c"]);
        assert_eq!(queue.frames(), 4);
        let first = queue.take().unwrap();
        assert_eq!(first.head().len(), 6 + 6 + 5);
        assert_eq!(first.tail().len(), GATHER_FROM);
        let bytes = queue.bytes();
        let length = first.len();
        queue.release(first);
        assert_eq!(queue.bytes(), bytes - length);
        assert_eq!(queue.frames(), 1);
    }

    #[test]
    fn the_oldest_frames_can_be_dropped_one_by_one_and_the_rest_is_as_it_was() {
        static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
        let payloads: [&[u8]; 5] = [b"aa", b"", b"bb", &LARGE, b"c"];
        let all: Vec<Bytes> = payloads.iter().map(|p| Bytes::from_static(p)).collect();
        for dropped in 0..=5 {
            let mut queue = queue_of(&payloads);
            for payload in &all[..dropped] {
                let first = queue.drop_first().unwrap();
                let entry = first.into_entry(Identity::from_bytes([7; 16]));
                assert_eq!(entry.payload, payload);
            }
            let rest = &all[dropped..];
            assert_eq!(queue.frames(), rest.len());
            let bytes: usize = rest.iter().map(|payload| payload.len() + 5).sum();
            assert_eq!(queue.bytes(), bytes);
            assert_eq!(unsent(&mut queue, 0), rest);
        }
        let mut queue = queue_of(&payloads);
        queue.drop_first().unwrap();
        let block = queue.take().unwrap();
        assert_eq!(
            block.head(),
            [0, 0, 0, 1, 3, 0, 0, 0, 3, 3, b'b', b'b', 0, 0, 64, 1, 3]
        );
        let mut out = VecDeque::new();
        block.into_unsent(6, Identity::from_bytes([7; 16]), &mut out);
        let left: Vec<Bytes> = out.into_iter().map(|entry| entry.payload).collect();
        assert_eq!(left, all[3..4], "half of the second was written");
    }

    #[test]
    fn what_the_kernel_took_in_part_counts_as_sent_and_the_rest_comes_back_in_order() {
        static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
        let payloads: [&[u8]; 4] = [b"aa", b"", b"bb", &LARGE];
        let all: Vec<Bytes> = payloads.iter().map(|p| Bytes::from_static(p)).collect();
        assert_eq!(unsent(&mut queue_of(&payloads), 0), all);
        assert_eq!(unsent(&mut queue_of(&payloads), 1), all[1..]);
        assert_eq!(unsent(&mut queue_of(&payloads), 7), all[1..]);
        assert_eq!(unsent(&mut queue_of(&payloads), 12), all[2..]);
        assert_eq!(unsent(&mut queue_of(&payloads), 13), all[3..]);
        assert_eq!(unsent(&mut queue_of(&payloads), 20), Vec::<Bytes>::new());
    }
}
