//! Messages in the bytes of a chunk.

use crate::wire::{self, Walk};

/// Where one message of a chunk is in its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageSpan {
    /// Where its payload begins, and where that ends.
    pub(super) start: usize,
    pub(super) end: usize,
    /// A whole word, because padding is copied in parts, for which the processor waits.
    flags: u64,
}

/// The sender wants an acknowledgement, by the id in front of the payload.
const WANTS_ACK: u64 = 1;
/// A frame stands in front of it that is no message: it may have metadata.
const BEHIND_ANOTHER: u64 = 2;

impl MessageSpan {
    #[inline]
    pub(crate) const fn wants_ack(&self) -> bool {
        self.flags & WANTS_ACK != 0
    }

    /// True if it may have metadata.
    #[inline]
    pub(super) const fn is_behind_another(&self) -> bool {
        self.flags & BEHIND_ANOTHER != 0
    }

    /// True if there is nothing to it but its payload.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        self.flags == 0
    }

    /// An observer acknowledges nothing.
    #[inline]
    pub(super) const fn observe(&mut self, observed: bool) {
        self.flags &= !(observed as u64);
    }
}

/// Steps over one message, and over the frames in front of it that are none. `None` if there is no
/// whole frame, of which the reader hands over nothing else.
#[inline]
pub(super) fn step(bytes: &[u8], at: &mut usize) -> Option<MessageSpan> {
    match step_frame(bytes, at)? {
        Some(message) => Some(message),
        None => step_behind_another(bytes, at),
    }
}

#[cold]
fn step_behind_another(bytes: &[u8], at: &mut usize) -> Option<MessageSpan> {
    loop {
        if let Some(mut message) = step_frame(bytes, at)? {
            message.flags |= BEHIND_ANOTHER;
            return Some(message);
        }
    }
}

/// Steps over one frame, and yields it if it is a message.
#[inline]
fn step_frame(bytes: &[u8], at: &mut usize) -> Option<Option<MessageSpan>> {
    let Ok(Walk::Frame(frame)) = wire::walk(&bytes[*at..], u32::MAX) else {
        return None;
    };
    let begin = *at;
    *at += frame.len();
    Some(
        wire::payload_offset(frame.envelope).map(|offset| MessageSpan {
            start: begin + wire::PREFIX_BYTES + offset,
            end: *at,
            flags: u64::from(offset > 1) * WANTS_ACK,
        }),
    )
}
