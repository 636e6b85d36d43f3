//! Reads along with what is written to a connection.

use std::sync::Arc;

use super::executor::Owner;
use super::ledger::Number;
use crate::id::MessageId;
use crate::payload::{AskEnvelope, envelope_length};
use crate::sync::Mutex;
use crate::wire::{Envelope, PREFIX_BYTES};

/// Bytes of a frame that tell which message it is.
const TELLING: usize = PREFIX_BYTES + 1 + 16 + LONGEST_ENVELOPE + Number::BYTES;

/// More than the metadata of any message takes.
const LONGEST_ENVELOPE: usize = 40;

/// What the network has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// At least the first byte of a message.
    Data {
        from: Owner,
        to: Owner,
        id: Option<MessageId>,
        number: Number,
    },
    /// At least the first byte of a message to a service, which wants an acknowledgement.
    Told(MessageId),
    /// The first byte of an acknowledgement.
    Ack { from: Owner, id: MessageId },
}

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// Bytes of the current frame that have not been written.
    left: usize,
    /// The beginning of a frame that does not yet tell which it is.
    unclear: Vec<u8>,
}

impl Tap {
    /// Of the bytes `offered`, `count` are taken. A frame counts from its first byte on, so that
    /// the tap looks beyond those.
    pub(super) fn feed(
        &mut self,
        offered: &[u8],
        count: usize,
        ends: [Owner; 2],
        seen: &Arc<Mutex<Vec<Seen>>>,
    ) {
        let mut at = 0;
        while at < count {
            if self.left > 0 {
                let step = self.left.min(count - at);
                self.left -= step;
                at += step;
                continue;
            }
            let mut start = std::mem::take(&mut self.unclear);
            let before = start.len();
            let wanted = TELLING.saturating_sub(before).min(offered.len() - at);
            start.extend_from_slice(&offered[at..at + wanted]);
            let Some(frame) = frame_bytes(&start).filter(|&all| start.len() >= all.min(TELLING))
            else {
                start.truncate(before + (count - at).min(wanted));
                self.unclear = start;
                return;
            };
            start.truncate(frame);
            seen.lock().extend(tell(&start, ends));
            self.left = frame - before;
        }
    }
}

fn frame_bytes(start: &[u8]) -> Option<usize> {
    let prefix = start.first_chunk::<PREFIX_BYTES>()?;
    Some(PREFIX_BYTES + u32::from_be_bytes(*prefix) as usize)
}

fn tell(start: &[u8], [from, to]: [Owner; 2]) -> Option<Seen> {
    let data = |id: Option<MessageId>, payload: &[u8]| {
        let envelope = envelope_length(payload).ok()?;
        if AskEnvelope::read(&payload[envelope..]).is_some() {
            return id.map(Seen::Told);
        }
        let number = Number::read(&payload[envelope..])?;
        Some(Seen::Data {
            from,
            to,
            id,
            number,
        })
    };
    match Envelope::decode(&start[PREFIX_BYTES..]) {
        Ok(Envelope::Data(payload)) => data(None, payload),
        Ok(Envelope::DataReq(id, payload)) => data(Some(id), payload),
        Ok(Envelope::Ack(id)) => Some(Seen::Ack { from, id }),
        Ok(_) | Err(_) => None,
    }
}
