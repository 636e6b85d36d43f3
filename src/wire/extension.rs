//! The frames that only this implementation knows, which every other one skips whole (WIRE §10).
//!
//! ```text
//! | 0xC2 REFUSED | version | message id ×16 | reason | text length | text … |
//! | 0xC4 READS   | version | flags |
//! | 0xC5 TAKEN   | version | messages ×8 |
//! | 0xC6 KNOWN   | version | identity ×16, or nothing |
//! ```
//!
//! KNOWN belongs to the handshake. Behind it, it is skipped as a type that is reserved.
//!
//! Those about services are in `service_frames`.

use bytes::BufMut;

use super::envelope::Malformed;
use super::frame::PREFIX_BYTES;
use super::service_frames::{
    LOAD, LoadFrame, OFFER, OfferFrame, SEEN, read_load, read_offer, read_seen,
};
use crate::excerpt::beginning;
use crate::id::{ID_BYTES, Identity, MessageId};

/// The version that each of these frames carries behind its type. A higher one is skipped.
const VERSION: u8 = 1;
/// Bytes of the largest of these envelopes, its type included.
const MAX_EXTENSION_BYTES: usize = 4096;

const REFUSED: u8 = 0xC2;
const READS: u8 = 0xC4;
const TAKEN: u8 = 0xC5;
pub(crate) const KNOWN: u8 = 0xC6;

/// Flag of READS: metadata envelopes are read.
const METADATA: u8 = 1;

/// A whole READS frame of a socket that reads metadata.
pub(crate) const READS_FRAME: [u8; 7] = [0, 0, 0, 3, READS, VERSION, METADATA];
/// A whole KNOWN frame of a connect end, which asks to be told if it is refused because it is connected already.
pub(crate) const ASKS_WHETHER_KNOWN: [u8; 6] = [0, 0, 0, 2, KNOWN, VERSION];
/// Bytes of a whole KNOWN frame of a bind end.
const KNOWN_FRAME_BYTES: usize = PREFIX_BYTES + 2 + ID_BYTES;
/// Bytes of a whole TAKEN frame.
const TAKEN_FRAME_BYTES: usize = PREFIX_BYTES + 2 + size_of::<u64>();

/// Why a message that wants an acknowledgement was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHandled {
    /// Its handler failed each time that it was delivered.
    Poison,
    /// A handler rejected it.
    Rejected,
    /// The message is not of the type that its handler handles.
    Undecodable,
    /// The receiver has no room.
    Busy,
    /// The receiver is about to end.
    Draining,
    /// Nobody offers the service that it is for.
    NoSuchService,
    /// No subscription wants it.
    Unwanted,
    /// Nobody has subscribed.
    Unclaimed,
    /// The sender may not use the service.
    NotAllowed,
    /// A reason that this version does not know.
    Other(u8),
}

/// Verdict on a message that wants an acknowledgement: it was handled, or the reason why not.
pub(crate) type Verdict = Result<(), NotHandled>;

impl NotHandled {
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Poison,
            2 => Self::Rejected,
            3 => Self::Undecodable,
            4 => Self::Busy,
            5 => Self::Draining,
            6 => Self::NoSuchService,
            7 => Self::Unwanted,
            8 => Self::Unclaimed,
            9 => Self::NotAllowed,
            other => Self::Other(other),
        }
    }

    /// True if a message to a service may be handled by another instance.
    pub(crate) const fn leaves_it_to_others(self) -> bool {
        matches!(self, Self::Busy | Self::Draining | Self::NoSuchService)
    }

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Poison => 1,
            Self::Rejected => 2,
            Self::Undecodable => 3,
            Self::Busy => 4,
            Self::Draining => 5,
            Self::NoSuchService => 6,
            Self::Unwanted => 7,
            Self::Unclaimed => 8,
            Self::NotAllowed => 9,
            Self::Other(byte) => byte,
        }
    }
}

/// One frame of ours, as far as it is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension<'a> {
    /// The message of this id was not handled. Its ACK follows.
    Refused {
        id: MessageId,
        reason: NotHandled,
        text: &'a str,
    },
    /// Whether the application of the peer reads metadata.
    Reads { metadata: bool },
    /// Messages that the peer has handled on this connection so far.
    Taken(u64),
    /// Services that the peer offers, or a part of them.
    Offer(OfferFrame<'a>),
    /// How loaded they are.
    Load(LoadFrame<'a>),
    /// The peer knows of our offer of this generation, and has sent what it sent before.
    Seen(u32),
    /// A type that is reserved, or a later version of one that is known.
    Skipped,
}

/// True if a type byte is one of ours.
#[inline]
pub(crate) const fn is_extension(kind: u8) -> bool {
    matches!(kind, 0xC0..=0xC7)
}

impl<'a> Extension<'a> {
    /// Reads an envelope of one of our types. Bytes behind the fields are ignored.
    pub(crate) fn decode(envelope: &'a [u8]) -> Result<Self, Malformed> {
        let length = envelope.len();
        Self::read(envelope).ok_or(Malformed { length })
    }

    fn read(envelope: &'a [u8]) -> Option<Self> {
        let (&[kind, version], body) = envelope.split_first_chunk()?;
        if envelope.len() > MAX_EXTENSION_BYTES || !is_extension(kind) || version == 0 {
            return None;
        }
        match (kind, version) {
            (REFUSED, VERSION) => Self::read_refused(body),
            (READS, VERSION) => {
                let (&flags, _) = body.split_first()?;
                let metadata = flags & METADATA != 0;
                Some(Self::Reads { metadata })
            }
            (TAKEN, VERSION) => {
                let (&handled, _) = body.split_first_chunk()?;
                Some(Self::Taken(u64::from_be_bytes(handled)))
            }
            (OFFER, VERSION) => read_offer(body).map(Self::Offer),
            (LOAD, VERSION) => read_load(body).map(Self::Load),
            (SEEN, VERSION) => read_seen(body).map(Self::Seen),
            _ => Some(Self::Skipped),
        }
    }

    fn read_refused(body: &'a [u8]) -> Option<Self> {
        let (&id, rest) = body.split_first_chunk::<ID_BYTES>()?;
        let (&[reason, length], rest) = rest.split_first_chunk()?;
        let text = rest.get(..length.into())?;
        Some(Self::Refused {
            id: MessageId::from_bytes(id),
            reason: NotHandled::from_byte(reason),
            text: std::str::from_utf8(text).ok()?,
        })
    }
}

/// Appends a whole REFUSED frame. Of the text, what fits goes along.
pub(crate) fn put_refused(out: &mut Vec<u8>, id: MessageId, reason: NotHandled, text: &str) {
    let text = beginning(text, usize::from(u8::MAX));
    let length = 2 + ID_BYTES + 2 + text.len();
    out.put_u32(u32::try_from(length).expect("a REFUSED is short"));
    out.put_slice(&[REFUSED, VERSION]);
    out.put_slice(id.as_bytes());
    out.put_u8(reason.to_byte());
    out.put_u8(u8::try_from(text.len()).expect("it was cut to what fits"));
    out.put_slice(text.as_bytes());
}

/// A whole frame whose size is known.
fn short_frame<const BYTES: usize>(kind: u8, body: &[u8]) -> [u8; BYTES] {
    let mut frame = [0; BYTES];
    frame[3] = u8::try_from(BYTES - PREFIX_BYTES).expect("it is short");
    let mut rest = &mut frame[PREFIX_BYTES..];
    rest.put_slice(&[kind, VERSION]);
    rest.put_slice(body);
    frame
}

/// A whole TAKEN frame.
pub(crate) fn taken_frame(handled: u64) -> [u8; TAKEN_FRAME_BYTES] {
    short_frame(TAKEN, &handled.to_be_bytes())
}

/// A whole KNOWN frame of a bind end with this identity, to which the peer is connected already.
pub(crate) fn known_frame(ours: Identity) -> [u8; KNOWN_FRAME_BYTES] {
    short_frame(KNOWN, ours.as_bytes())
}

/// The bind end that says so by a KNOWN envelope. `None` if it is something else.
pub(crate) fn read_known(envelope: &[u8]) -> Option<Identity> {
    let body = envelope.strip_prefix(&[KNOWN, VERSION])?;
    let (&identity, _) = body.split_first_chunk()?;
    Some(Identity::from_bytes(identity))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> MessageId {
        MessageId::from_bytes([0x11; 16])
    }

    fn refused(reason: NotHandled, text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        put_refused(&mut frame, id(), reason, text);
        frame
    }

    #[test]
    fn a_refused_frame_is_these_bytes() {
        let mut bytes = vec![0, 0, 0, 0x16, 0xC2, 1];
        bytes.extend_from_slice(&[0x11; 16]);
        bytes.extend_from_slice(b"\x01\x02no");
        assert_eq!(refused(NotHandled::Poison, "no"), bytes);
        let read = Extension::Refused {
            id: id(),
            reason: NotHandled::Poison,
            text: "no",
        };
        assert_eq!(Extension::decode(&bytes[4..]), Ok(read));
    }

    #[test]
    fn a_taken_frame_is_these_bytes() {
        let bytes = [0, 0, 0, 10, 0xC5, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(taken_frame(0x0102_0304_0506_0708), bytes);
        let read = Extension::Taken(0x0102_0304_0506_0708);
        assert_eq!(Extension::decode(&bytes[4..]), Ok(read));
    }

    #[test]
    fn a_reads_frame_is_these_bytes() {
        assert_eq!(READS_FRAME, [0, 0, 0, 3, 0xC4, 1, 1]);
        for (flags, metadata) in [(0, false), (1, true), (0xfe, false), (0xff, true)] {
            let read = Ok(Extension::Reads { metadata });
            assert_eq!(Extension::decode(&[0xC4, 1, flags]), read);
            assert_eq!(Extension::decode(&[0xC4, 1, flags, 9]), read);
        }
        assert!(Extension::decode(&[0xC4, 1]).is_err());
    }

    #[test]
    fn known_frames_are_these_bytes() {
        assert_eq!(ASKS_WHETHER_KNOWN, [0, 0, 0, 2, 0xC6, 1]);
        assert_eq!(read_known(&ASKS_WHETHER_KNOWN[4..]), None);
        let ours = Identity::from_bytes([0x22; 16]);
        let frame = known_frame(ours);
        assert_eq!(frame[..6], [0, 0, 0, 18, 0xC6, 1]);
        assert_eq!(frame[6..], [0x22; 16]);
        assert_eq!(read_known(&frame[4..]), Some(ours));
        assert_eq!(read_known(&[&frame[4..], b"more"].concat()), Some(ours));
        assert_eq!(read_known(&frame[4..21]), None);
        assert_eq!(read_known(&[0xC6, 2, 0]), None);
    }

    #[test]
    fn every_reason_has_its_byte() {
        for byte in 0..=u8::MAX {
            let reason = NotHandled::from_byte(byte);
            assert_eq!(reason.to_byte(), byte);
            let known = !matches!(reason, NotHandled::Other(_));
            assert_eq!(known, (1..=9).contains(&byte));
        }
    }

    #[test]
    fn a_later_version_and_a_reserved_type_are_skipped() {
        for kind in 0xC0..=0xC7 {
            assert_eq!(Extension::decode(&[kind, 2]), Ok(Extension::Skipped));
        }
        for reserved in [0xC6, 0xC7] {
            assert_eq!(Extension::decode(&[reserved, 1]), Ok(Extension::Skipped));
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_or_no_text_is_malformed() {
        let refused = refused(NotHandled::Rejected, "why");
        let taken = taken_frame(7);
        for envelope in [&refused[4..], &taken[4..]] {
            for length in 0..envelope.len() {
                let malformed = Err(Malformed { length });
                assert_eq!(Extension::decode(&envelope[..length]), malformed);
            }
        }
        let mut not_text = refused[4..].to_vec();
        *not_text.last_mut().unwrap() = 0xff;
        assert!(Extension::decode(&not_text).is_err());
        assert!(Extension::decode(&[0xC5, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        let mut long = taken[4..].to_vec();
        long.resize(4096, 0);
        assert_eq!(Extension::decode(&long), Ok(Extension::Taken(7)));
        long.push(0);
        assert!(Extension::decode(&long).is_err());
    }

    proptest! {
        #[test]
        fn a_refused_frame_reads_back_with_as_much_text_as_fits(reason: u8, text in ".{0,200}") {
            let reason = NotHandled::from_byte(reason);
            let frame = refused(reason, &text);
            prop_assert_eq!(frame.len() - 4, usize::from(frame[3]) + 256 * usize::from(frame[2]));
            let Ok(Extension::Refused { id: read, reason: why, text: some }) =
                Extension::decode(&frame[4..])
            else {
                return Err(TestCaseError::fail("not a REFUSED"));
            };
            prop_assert_eq!((read, why), (id(), reason));
            prop_assert!(text.starts_with(some) && text.len() - some.len() <= text.len().saturating_sub(252));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Extension::decode(&bytes);
        }
    }
}
