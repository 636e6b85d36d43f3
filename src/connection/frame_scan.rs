//! Scans complete frames in a read buffer without decoding their payloads.

use smallvec::SmallVec;

use crate::engine::IdRun;
use crate::id::MessageId;
use crate::wire::{self, Envelope, Extension, Malformed, MessageHead, NotHandled, Oversize, Walk};

/// Content of a read buffer.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bytes of whole frames.
    pub(super) whole: usize,
    pub(super) messages: usize,
    /// Those of them that want an acknowledgement, in order.
    pub(super) requests: SmallVec<[IdRun; 1]>,
    pub(super) acks: SmallVec<[MessageId; 8]>,
    pub(super) frames: usize,
    /// Bytes of the unfinished frame behind, if its prefix is there.
    pub(super) next_frame: usize,
    pub(super) malformed: u64,
    pub(super) unknown: u64,
    /// Frames that other implementations skip, if there were any that are acted on.
    pub(super) extensions: Option<Box<FoundExtensions>>,
    /// A frame above the limit, behind the complete ones. It ends the connection.
    pub(super) oversize: Option<Oversize>,
}

/// Content of frames of our own extension (WIRE §10).
#[derive(Debug, Default)]
pub(super) struct FoundExtensions {
    /// Messages that the peer has not handled, in order.
    pub(super) refused: Vec<(MessageId, NotHandled)>,
    /// Whether the peer reads metadata, as it said last.
    pub(super) reads_metadata: Option<bool>,
    /// Messages that the peer has handled on this connection, as it said last.
    pub(super) taken: Option<u64>,
    /// The envelopes of frames about services, which are well formed, in order.
    pub(super) about_services: Vec<Box<[u8]>>,
}

impl Found {
    /// Ids that want an acknowledgement have come to an end, or go on elsewhere.
    fn note_requests(&mut self, run: IdRun) {
        if !run.is_empty() {
            self.requests.push(run);
        }
    }

    /// A frame that is no message.
    #[inline]
    fn note_other(&mut self, envelope: &[u8]) {
        match Envelope::decode(envelope) {
            Ok(Envelope::Ack(id)) => self.acks.push(id),
            Ok(Envelope::Unknown(kind)) => self.note_unknown(kind, envelope),
            Ok(_) => {}
            Err(_) => self.malformed += 1,
        }
    }

    /// A frame of a type that the protocol does not know.
    #[cold]
    fn note_unknown(&mut self, kind: u8, envelope: &[u8]) {
        let extension = match wire::is_extension(kind) {
            true => Extension::decode(envelope),
            false => Ok(Extension::Skipped),
        };
        match extension {
            Ok(Extension::Refused { id, reason, text }) => {
                tracing::debug!(message = %id, ?reason, text, "a peer refused a message");
                let found = self.extensions.get_or_insert_default();
                found.refused.push((id, reason));
            }
            Ok(Extension::Reads { metadata }) => {
                let found = self.extensions.get_or_insert_default();
                found.reads_metadata = Some(metadata);
            }
            Ok(Extension::Taken(handled)) => {
                self.extensions.get_or_insert_default().taken = Some(handled);
            }
            Ok(Extension::Offer(_) | Extension::Load(_) | Extension::Seen(_)) => {
                let found = self.extensions.get_or_insert_default();
                found.about_services.push(envelope.into());
            }
            Ok(Extension::Skipped) => self.unknown += 1,
            Err(Malformed { .. }) => self.malformed += 1,
        }
    }
}

/// Walks over all whole frames of a buffer.
pub(super) fn scan_frames(data: &[u8], max_envelope_bytes: u32) -> Found {
    let mut found = Found::default();
    // What changes with each message is on its own, so that it can stay in registers.
    let (mut whole, mut frames, mut messages) = (0, 0, 0);
    let mut run = IdRun::default();
    loop {
        let frame = match wire::walk(&data[whole..], max_envelope_bytes) {
            Ok(Walk::Frame(frame)) => frame,
            Ok(Walk::Partial(bytes)) => {
                if bytes > wire::PREFIX_BYTES {
                    found.next_frame = bytes;
                }
                break;
            }
            Err(oversize) => {
                found.oversize = Some(oversize);
                break;
            }
        };
        whole += frame.len();
        frames += 1;
        match MessageHead::of(frame.envelope) {
            Some(MessageHead::Data) => messages += 1,
            Some(MessageHead::DataReq(id)) => {
                messages += 1;
                let id = MessageId::from_bytes(*id);
                if !run.extend(id) {
                    found.note_requests(std::mem::replace(&mut run, IdRun::new(id)));
                }
            }
            None => found.note_other(frame.envelope),
        }
    }
    found.note_requests(run);
    found.whole = whole;
    found.frames = frames;
    found.messages = messages;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: &[u8] = &[0, 0, 0, 1, 2];

    fn framed(envelope: &[u8]) -> Vec<u8> {
        let length = u32::try_from(envelope.len()).unwrap();
        [&length.to_be_bytes()[..], envelope, HEARTBEAT].concat()
    }

    #[test]
    fn frames_of_ours_are_found_in_order_and_no_longer_unknown() {
        let id = MessageId::from_bytes([7; 16]);
        let refused = [&[0xC2, 1][..], id.as_bytes(), b"\x02\x02no"].concat();
        let taken = |n: u8| [0xC5, 1, 0, 0, 0, 0, 0, 0, 0, n];
        let stream = [framed(&taken(3)), framed(&refused), framed(&taken(4))].concat();
        let found = scan_frames(&stream, 1024);
        assert_eq!((found.whole, found.frames), (stream.len(), 6));
        assert_eq!((found.unknown, found.malformed), (0, 0));
        let extensions = found.extensions.unwrap();
        assert_eq!(extensions.refused, [(id, NotHandled::Rejected)]);
        assert_eq!(extensions.taken, Some(4));
    }

    #[test]
    fn a_frame_of_ours_that_is_malformed_is_counted_and_what_follows_is_found() {
        let stream = [framed(&[0xC2, 1, 9]), framed(&[0xC5]), framed(&[0xC5, 1])].concat();
        let found = scan_frames(&stream, 1024);
        assert_eq!((found.whole, found.frames), (stream.len(), 6));
        assert_eq!((found.unknown, found.malformed), (0, 3));
        assert!(found.extensions.is_none());
    }

    #[test]
    fn a_later_version_and_a_reserved_type_are_unknown() {
        let stream = [framed(&[0xC2, 2]), framed(&[0xC6, 1]), framed(&[0xC8])].concat();
        let found = scan_frames(&stream, 1024);
        assert_eq!((found.unknown, found.malformed), (3, 0));
        assert!(found.extensions.is_none());
    }
}
