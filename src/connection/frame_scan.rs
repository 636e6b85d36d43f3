//! What there is in bytes that were read, before anything is made of them.

use smallvec::SmallVec;

use crate::id::MessageId;
use crate::wire::{self, Envelope, Oversize, Walk};

/// What was found in a buffer.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bytes of whole frames.
    pub(super) whole: usize,
    pub(super) messages: usize,
    pub(super) acks: SmallVec<[MessageId; 8]>,
    pub(super) frames: usize,
    /// Bytes of the unfinished frame behind, if its prefix is there.
    pub(super) next_frame: usize,
    pub(super) malformed: u64,
    pub(super) unknown: u64,
    /// What is behind the whole frames ends the connection.
    pub(super) oversize: Option<Oversize>,
}

/// Walks over all whole frames of a buffer.
pub(super) fn look(data: &[u8], max_envelope_bytes: u32) -> Found {
    let mut found = Found::default();
    loop {
        match wire::walk(&data[found.whole..], max_envelope_bytes) {
            Err(oversize) => {
                found.oversize = Some(oversize);
                return found;
            }
            Ok(Walk::Partial(bytes)) => {
                if bytes > wire::PREFIX_BYTES {
                    found.next_frame = bytes;
                }
                return found;
            }
            Ok(Walk::Frame(frame)) => {
                found.whole += frame.len();
                found.frames += 1;
                match Envelope::decode(frame.envelope) {
                    Ok(Envelope::Data(_) | Envelope::DataReq(..)) => found.messages += 1,
                    Ok(Envelope::Ack(id)) => found.acks.push(id),
                    Ok(Envelope::Heartbeat | Envelope::Hello { .. }) => {}
                    Ok(Envelope::Unknown(_)) => found.unknown += 1,
                    Err(_) => found.malformed += 1,
                }
            }
        }
    }
}
