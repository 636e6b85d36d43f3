//! Envelopes: a type byte and its body (WIRE §3).
//!
//! ```text
//! | 0x01 HELLO     | version | identity ×16 |
//! | 0x02 HEARTBEAT |
//! | 0x03 DATA      | payload …            |
//! | 0x04 DATA_REQ  | message id ×16 | payload … |
//! | 0x05 ACK       | message id ×16 |
//! ```

use bytes::{BufMut, Bytes};

use super::frame::PREFIX_BYTES;
use crate::id::{ID_BYTES, Identity, MessageId};

/// The protocol version that a HELLO carries (WIRE §9).
pub const PROTOCOL_VERSION: u8 = 0x01;

/// Bytes in front of a DATA payload: prefix and type.
pub(crate) const DATA_HEADER_BYTES: usize = PREFIX_BYTES + 1;
/// Bytes in front of a DATA_REQ payload: prefix, type and message id.
pub(crate) const DATA_REQ_HEADER_BYTES: usize = DATA_HEADER_BYTES + ID_BYTES;
/// Bytes of a whole ACK frame.
pub(crate) const ACK_FRAME_BYTES: usize = DATA_REQ_HEADER_BYTES;
/// A whole HEARTBEAT frame.
pub(crate) const HEARTBEAT_FRAME: [u8; 5] = [0, 0, 0, 1, EnvelopeType::Heartbeat as u8];
/// Bytes of a whole HELLO frame.
pub(crate) const HELLO_FRAME_BYTES: usize = PREFIX_BYTES + 2 + ID_BYTES;

/// The type byte of an envelope (WIRE §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EnvelopeType {
    /// Opens a connection.
    Hello = 0x01,
    /// Says that a silent connection lives.
    Heartbeat = 0x02,
    /// Carries a payload, at most once.
    Data = 0x03,
    /// Carries a payload that wants an acknowledgement.
    DataReq = 0x04,
    /// Acknowledges a DATA_REQ.
    Ack = 0x05,
}

impl EnvelopeType {
    /// The type that a byte stands for; `None` for one that this version does not know.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Hello,
            0x02 => Self::Heartbeat,
            0x03 => Self::Data,
            0x04 => Self::DataReq,
            0x05 => Self::Ack,
            _ => return None,
        })
    }
}

/// One decoded envelope. `P` is how payload bytes are held: [`Bytes`] when owned, `&[u8]` when
/// borrowed from a read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope<P = Bytes> {
    /// Opens a connection. Its version may be one that we do not speak (WIRE §4.2).
    Hello {
        /// The protocol version that the peer speaks.
        version: u8,
        /// The socket at the other end.
        identity: Identity,
    },
    /// Says that a silent connection lives.
    Heartbeat,
    /// A message, at most once.
    Data(P),
    /// A message that wants an ACK with the same id.
    DataReq(MessageId, P),
    /// Acknowledges a DATA_REQ.
    Ack(MessageId),
    /// A type that this version does not know; skipped whole (WIRE §3.2).
    Unknown(u8),
}

/// An envelope that is empty, or too short for the fixed fields of its type (WIRE §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed envelope of {length} bytes")]
pub struct Malformed {
    /// Bytes of the envelope, its type included.
    pub length: usize,
}

/// What stands before the payload of a message: for a reader that looks at nothing else, and leaves the id where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageHead<'a> {
    Data,
    DataReq(&'a [u8; ID_BYTES]),
}

impl<'a> MessageHead<'a> {
    /// `None` for an envelope that is no message (WIRE §3.1).
    #[inline]
    pub(crate) fn of(envelope: &'a [u8]) -> Option<Self> {
        let (&kind, body) = envelope.split_first()?;
        match EnvelopeType::from_byte(kind)? {
            EnvelopeType::Data => Some(Self::Data),
            EnvelopeType::DataReq => body.first_chunk().map(Self::DataReq),
            EnvelopeType::Hello | EnvelopeType::Heartbeat | EnvelopeType::Ack => None,
        }
    }
}

/// Where the payload begins in the envelope of a message: behind the type, or behind the message id
/// of one that wants an ACK. `None` for everything else.
#[inline]
pub(crate) fn payload_offset(envelope: &[u8]) -> Option<usize> {
    MessageHead::of(envelope).map(|head| match head {
        MessageHead::Data => 1,
        MessageHead::DataReq(_) => 1 + ID_BYTES,
    })
}

impl<'a> Envelope<&'a [u8]> {
    /// Reads one envelope without copying. Bytes behind the fixed fields of HELLO, HEARTBEAT and
    /// ACK are ignored.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when it is empty or too short for its type.
    #[inline]
    pub fn decode(envelope: &'a [u8]) -> Result<Self, Malformed> {
        let malformed = Malformed {
            length: envelope.len(),
        };
        let (&kind, body) = envelope.split_first().ok_or(malformed)?;
        let id = || body.split_first_chunk::<ID_BYTES>().ok_or(malformed);
        Ok(match EnvelopeType::from_byte(kind) {
            Some(EnvelopeType::Data) => Self::Data(body),
            Some(EnvelopeType::DataReq) => {
                let (id, payload) = id()?;
                Self::DataReq(MessageId::from_bytes(*id), payload)
            }
            Some(EnvelopeType::Ack) => Self::Ack(MessageId::from_bytes(*id()?.0)),
            Some(EnvelopeType::Heartbeat) => Self::Heartbeat,
            Some(EnvelopeType::Hello) => {
                let (&version, rest) = body.split_first().ok_or(malformed)?;
                let (identity, _) = rest.split_first_chunk::<ID_BYTES>().ok_or(malformed)?;
                Self::Hello {
                    version,
                    identity: Identity::from_bytes(*identity),
                }
            }
            None => Self::Unknown(kind),
        })
    }

    /// Takes the payload out of the read buffer that it is a part of, without copying it.
    #[must_use]
    pub fn into_owned(self, buffer: &Bytes) -> Envelope {
        match self {
            Self::Hello { version, identity } => Envelope::Hello { version, identity },
            Self::Heartbeat => Envelope::Heartbeat,
            Self::Data(payload) => Envelope::Data(buffer.slice_ref(payload)),
            Self::DataReq(id, payload) => Envelope::DataReq(id, buffer.slice_ref(payload)),
            Self::Ack(id) => Envelope::Ack(id),
            Self::Unknown(kind) => Envelope::Unknown(kind),
        }
    }
}

impl<P: AsRef<[u8]>> Envelope<P> {
    /// Bytes that the envelope takes, its type included and the length prefix not.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Hello { .. } => 1 + ID_BYTES,
            Self::Heartbeat | Self::Unknown(_) => 0,
            Self::Data(payload) => payload.as_ref().len(),
            Self::DataReq(_, payload) => ID_BYTES + payload.as_ref().len(),
            Self::Ack(_) => ID_BYTES,
        }
    }

    /// Writes the envelope, without a length prefix. An [`Envelope::Unknown`] has no body.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Hello { version, identity } => {
                out.put_u8(EnvelopeType::Hello as u8);
                out.put_u8(*version);
                out.put_slice(identity.as_bytes());
            }
            Self::Heartbeat => out.put_u8(EnvelopeType::Heartbeat as u8),
            Self::Data(payload) => {
                out.put_u8(EnvelopeType::Data as u8);
                out.put_slice(payload.as_ref());
            }
            Self::DataReq(id, payload) => {
                out.put_u8(EnvelopeType::DataReq as u8);
                out.put_slice(id.as_bytes());
                out.put_slice(payload.as_ref());
            }
            Self::Ack(id) => {
                out.put_u8(EnvelopeType::Ack as u8);
                out.put_slice(id.as_bytes());
            }
            Self::Unknown(kind) => out.put_u8(*kind),
        }
    }
}

/// The whole HELLO frame of a socket (WIRE §4.1).
pub(crate) fn hello_frame(identity: Identity) -> [u8; HELLO_FRAME_BYTES] {
    let mut frame = [0; HELLO_FRAME_BYTES];
    let length = HELLO_FRAME_BYTES - PREFIX_BYTES;
    frame[3] = u8::try_from(length).expect("a HELLO is short");
    let mut body = &mut frame[PREFIX_BYTES..];
    Envelope::<&[u8]>::Hello {
        version: PROTOCOL_VERSION,
        identity,
    }
    .encode(&mut body);
    frame
}

/// Header of a DATA frame with `payload_bytes`. The caller has checked that the frame
/// is within the frame limit, which a 32-bit length always covers.
#[inline]
pub(crate) fn data_header(payload_bytes: usize) -> [u8; DATA_HEADER_BYTES] {
    let [a, b, c, d] = (payload_bytes as u32 + 1).to_be_bytes();
    [a, b, c, d, EnvelopeType::Data as u8]
}

/// Header of a DATA_REQ frame with `payload_bytes`, under the same condition.
#[inline]
pub(crate) fn data_req_header(id: MessageId, payload_bytes: usize) -> [u8; DATA_REQ_HEADER_BYTES] {
    let mut header = [0; DATA_REQ_HEADER_BYTES];
    let length = (payload_bytes + ID_BYTES + 1) as u32;
    header[..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    header[PREFIX_BYTES] = EnvelopeType::DataReq as u8;
    header[DATA_HEADER_BYTES..].copy_from_slice(id.as_bytes());
    header
}

/// Writes a whole ACK frame.
#[inline]
pub(crate) fn put_ack(out: &mut impl BufMut, id: MessageId) {
    out.put_slice(&[0, 0, 0, 1 + ID_BYTES as u8, EnvelopeType::Ack as u8]);
    out.put_slice(id.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(envelope: &Envelope<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        envelope.encode(&mut out);
        assert_eq!(out.len(), envelope.encoded_len());
        out
    }

    #[test]
    fn every_envelope_reads_back_what_was_written() {
        let id = MessageId::random();
        for envelope in [
            Envelope::Hello {
                version: 1,
                identity: Identity::random(),
            },
            Envelope::Heartbeat,
            Envelope::Data(&b""[..]),
            Envelope::Data(&b"payload"[..]),
            Envelope::DataReq(id, &b"payload"[..]),
            Envelope::Ack(id),
            Envelope::Unknown(0x7f),
        ] {
            assert_eq!(Envelope::decode(&encoded(&envelope)), Ok(envelope));
        }
    }

    #[test]
    fn every_type_has_its_byte_and_no_other_byte_is_a_type() {
        use EnvelopeType::{Ack, Data, DataReq, Heartbeat, Hello};
        let known = [Hello, Heartbeat, Data, DataReq, Ack].map(|kind| kind as u8);
        assert_eq!(known, [1, 2, 3, 4, 5]);
        for byte in 0..=u8::MAX {
            let kind = EnvelopeType::from_byte(byte).map(|kind| kind as u8);
            assert_eq!(kind, known.contains(&byte).then_some(byte));
        }
    }

    #[test]
    fn an_envelope_too_short_for_its_fields_is_malformed() {
        for bytes in [&[][..], &[1], &[1; 17], &[4; 16], &[5; 16]] {
            assert_eq!(
                Envelope::decode(bytes),
                Err(Malformed {
                    length: bytes.len()
                })
            );
        }
    }

    #[test]
    fn bytes_behind_the_fixed_fields_are_ignored() {
        assert!(matches!(
            Envelope::decode(&[1; 30]),
            Ok(Envelope::Hello { .. })
        ));
        assert_eq!(
            Envelope::decode(&[5; 30]),
            Ok(Envelope::Ack(MessageId::from_bytes([5; 16])))
        );
        assert_eq!(Envelope::decode(&[2, 9]), Ok(Envelope::Heartbeat));
    }

    #[test]
    fn the_header_writers_agree_with_the_envelope() {
        let id = MessageId::random();
        let framed = |envelope: &Envelope<&[u8]>| {
            let body = encoded(envelope);
            [&(body.len() as u32).to_be_bytes()[..], &body].concat()
        };
        assert_eq!(
            [&data_header(2)[..], b"hi"].concat(),
            framed(&Envelope::Data(b"hi"))
        );
        assert_eq!(
            [&data_req_header(id, 2)[..], b"hi"].concat(),
            framed(&Envelope::DataReq(id, b"hi"))
        );
        let mut ack = Vec::new();
        put_ack(&mut ack, id);
        assert_eq!(ack, framed(&Envelope::Ack(id)));
        assert_eq!(ack.len(), ACK_FRAME_BYTES);
        assert_eq!(HEARTBEAT_FRAME[..], framed(&Envelope::Heartbeat));
        let identity = Identity::random();
        assert_eq!(
            hello_frame(identity)[..],
            framed(&Envelope::Hello {
                version: 1,
                identity
            })
        );
    }
}
