//! A block: encoded frames, about as many as one write takes.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::block_buffer::{BLOCK_BYTES, BlockBuffer};
use super::entry::{Entry, Extras, Target};
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;
use crate::payload::{self, EMPTY_ENVELOPE};
use crate::wire::{self, Envelope, Walk};

/// From this size on a payload is written from where it is instead of being copied.
pub(crate) const GATHER_FROM: usize = 16 * 1024;

/// Addressing of a frame, and whether its peer reads metadata: a payload that begins as an envelope is in one then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRoute {
    to: Addressee,
    reads: bool,
}

/// Addressing of a frame: by the send mode, or to this peer by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addressee {
    Mode,
    Named,
    /// By the send mode, which is publish, and not to this peer alone.
    Copy,
    /// To this peer as an instance of a service.
    Service,
}

impl FrameRoute {
    #[inline]
    pub(super) const fn of(target: Target, reads: bool) -> Self {
        let to = match target {
            Target::Mode => Addressee::Mode,
            Target::Peer(_) => Addressee::Named,
            Target::Copy => Addressee::Copy,
            Target::Service => Addressee::Service,
        };
        Self { to, reads }
    }

    /// In turn, as any other message.
    pub(super) const fn in_turn(reads: bool) -> Self {
        Self::of(Target::Mode, reads)
    }

    /// To this peer, as its replies.
    pub(super) const fn named(reads: bool) -> Self {
        Self {
            to: Addressee::Named,
            reads,
        }
    }
}

/// Consecutive frames of a block that share what is needed to requeue them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    route: FrameRoute,
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
    pub(crate) fn shared(head: Bytes, frames: usize, target: Target, reads: bool) -> Self {
        let run = Run {
            route: FrameRoute::of(target, reads),
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

    /// A block that is to be filled.
    pub(super) fn pooled() -> Self {
        Self {
            head: BlockBuffer::pooled(),
            ..Self::default()
        }
    }

    /// Keeps the place of a block that a sender fills elsewhere.
    pub(super) fn placeholder() -> Self {
        Self {
            lent: true,
            ..Self::default()
        }
    }

    /// Keeps its memory for a later block.
    pub(super) fn recycle(self) {
        self.head.recycle();
    }

    /// Its messages, as they were before they were sent.
    pub(crate) fn into_entries(self, out: &mut VecDeque<Entry>) {
        let mut unwritten = Unwritten::default();
        self.into_unsent(0, Identity::from_bytes([0; 16]), &mut unwritten);
        out.append(&mut unwritten.messages);
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

    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// True for the place of a block that a sender fills elsewhere.
    #[inline]
    pub(super) fn is_lent(&self) -> bool {
        self.lent
    }

    /// Bytes that may be copied into it.
    pub(super) fn room(&self) -> usize {
        BLOCK_BYTES.saturating_sub(self.head.len())
    }

    /// True if its last frame goes this way and does not expire.
    pub(super) fn ends_plainly(&self, route: FrameRoute) -> bool {
        self.run
            .is_some_and(|run| run.route == route && run.expires.is_none())
    }

    /// True if a frame goes into the block, of which so many bytes are to be copied.
    #[inline]
    pub(super) fn takes(&self, copied: usize) -> bool {
        self.head.is_own()
            && self.tail.is_empty()
            && (self.head.is_empty() || self.head.len() + copied <= BLOCK_BYTES)
    }

    #[inline]
    pub(super) fn put(&mut self, header: &[u8], entry: &Entry, route: FrameRoute) {
        let payload = &entry.payload;
        self.head.extend_from_slice(header);
        if payload.len() < GATHER_FROM {
            self.head.extend_from_slice(payload);
        } else {
            self.tail = payload.clone();
        }
        let expires = entry.expires();
        self.frames += 1;
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

    /// Gives back what does not end within the first `written` bytes. Messages that want an
    /// acknowledgement are in the ring of the link as well and come from there.
    pub(crate) fn into_unsent(self, written: usize, peer: Identity, out: &mut Unwritten) {
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
            let is_last = next >= head.len();
            let end = if is_last {
                head.len() + tail.len()
            } else {
                next
            };
            if end > written {
                out.frames += 1;
                match Envelope::decode(&envelope) {
                    Ok(Envelope::Data(payload)) => {
                        let head = envelope.slice_ref(payload);
                        let tail = match is_last {
                            true => tail.clone(),
                            false => Bytes::new(),
                        };
                        let entry = run.entry(head, tail, peer);
                        match at < written {
                            true => out.half_written = Some(entry),
                            false => out.messages.push_back(entry),
                        }
                    }
                    Ok(Envelope::DataReq(id, _)) if at >= written => out.requests.push(id),
                    Ok(_) | Err(_) => {}
                }
            }
            at = next;
        }
    }

    /// Takes the oldest frame out of the block.
    pub(super) fn drop_first(&mut self) -> Dropped {
        let head = &self.head[self.start..];
        let (envelope, length) = first_frame(head);
        let last = length == head.len();
        let (id, payload, is_message) = match Envelope::decode(envelope) {
            Ok(Envelope::DataReq(id, payload)) => (Some(id), payload, true),
            Ok(Envelope::Data(payload)) => (None, payload, true),
            // A frame that is no message, and goes behind those before it.
            Ok(
                Envelope::Hello { .. }
                | Envelope::Heartbeat
                | Envelope::Ack(_)
                | Envelope::Unknown(_),
            )
            | Err(_) => (None, &head[..length], false),
        };
        let payload = Bytes::copy_from_slice(payload);
        let tail = match last {
            true => std::mem::take(&mut self.tail),
            false => Bytes::new(),
        };
        let bytes = length + tail.len();
        let run = self.take_run();
        self.start += length;
        self.frames -= 1;
        Dropped {
            is_message,
            id,
            payload,
            tail,
            run,
            bytes,
        }
    }

    /// The id of the message of the oldest frame, if that is one at least once.
    pub(super) fn oldest(&self) -> Option<MessageId> {
        let (envelope, _) = first_frame(self.head());
        match Envelope::decode(envelope) {
            Ok(Envelope::DataReq(id, _)) => Some(id),
            Ok(_) | Err(_) => None,
        }
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

/// What of blocks was not written, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// At most once, and not begun.
    pub(crate) messages: VecDeque<Entry>,
    /// At most once, and begun.
    pub(crate) half_written: Option<Entry>,
    /// At least once, and not begun.
    pub(crate) requests: Vec<MessageId>,
    /// Frames of which something was not written.
    pub(crate) frames: usize,
}

/// A frame that was taken out of a queue, and is not to be written.
#[derive(Debug)]
pub(crate) struct Dropped {
    is_message: bool,
    /// Present when it wants an acknowledgement: it is in the ring as well.
    pub(crate) id: Option<MessageId>,
    payload: Bytes,
    /// The payload, where that was not copied behind what stands before it.
    tail: Bytes,
    run: Option<Run>,
    pub(super) bytes: usize,
}

impl Dropped {
    /// A whole frame that is no message, and not to be lost.
    pub(super) fn control_frame(&self) -> Option<&[u8]> {
        (!self.is_message).then_some(&self.payload)
    }

    /// The message, if it wants no acknowledgement.
    pub(crate) fn into_entry(self, peer: Identity) -> Entry {
        match self.run {
            Some(run) => run.entry(self.payload, self.tail, peer),
            None => Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, self.payload),
        }
    }
}

impl Run {
    /// A message of this run, as it was before it was sent to `peer`. Its payload is the whole of `tail` where there is one.
    fn entry(self, head: Bytes, tail: Bytes, peer: Identity) -> Entry {
        let target = match self.route.to {
            Addressee::Mode => Target::Mode,
            Addressee::Named => Target::Peer(peer),
            Addressee::Copy => Target::Copy,
            Addressee::Service => Target::Service,
        };
        let (envelope, payload) = match (tail.is_empty(), self.route.reads) {
            (false, _) => (head, tail),
            (true, false) => (Bytes::new(), head),
            (true, true) => unwrap(head),
        };
        let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload);
        let described = !envelope.is_empty() && envelope != EMPTY_ENVELOPE;
        if self.expires.is_some() || described {
            entry.extras = Some(Box::new(Extras {
                expires: self.expires,
                envelope: match described {
                    true => envelope,
                    false => Bytes::new(),
                },
                ..Default::default()
            }));
        }
        entry
    }
}

/// The envelope of ours that a payload is in, and the payload.
fn unwrap(mut wrapped: Bytes) -> (Bytes, Bytes) {
    let length = payload::envelope_length(&wrapped).unwrap_or(0);
    let envelope = wrapped.split_to(length);
    (envelope, wrapped)
}

/// Bytes of a frame that are copied into its block.
#[inline]
pub(super) fn copied(header: usize, payload: &Bytes) -> usize {
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
