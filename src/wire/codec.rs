//! A tokio-util codec over the same walk, for programs that speak the protocol without a socket.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::frame::{Oversize, PREFIX_BYTES, Walk, walk};
use super::{Envelope, Malformed};

/// Encodes and decodes [`Envelope`]s for tokio-util's `Framed`.
///
/// The frame limit is 64 MiB unless [`with_limit`](Self::with_limit) sets another. An envelope of
/// an unknown type is yielded as [`Envelope::Unknown`], for the caller to skip. Decoding never
/// allocates from an announced length: the buffer grows with what arrived.
///
/// ```
/// use actix_aiomsg::wire::{Envelope, FrameCodec};
/// use bytes::{Bytes, BytesMut};
/// use tokio_util::codec::{Decoder, Encoder};
///
/// let mut codec = FrameCodec::default();
/// let mut buffer = BytesMut::new();
/// codec.encode(Envelope::Data(Bytes::from_static(b"hi")), &mut buffer)?;
/// assert_eq!(&buffer[..], b"\x00\x00\x00\x03\x03hi");
/// assert_eq!(codec.decode(&mut buffer)?, Some(Envelope::Data(Bytes::from_static(b"hi"))));
/// # Ok::<(), actix_aiomsg::wire::FrameError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FrameCodec {
    max_envelope_bytes: u32,
}

impl FrameCodec {
    /// A codec with a limit on what a length prefix may announce, in bytes of the envelope.
    #[must_use]
    pub const fn with_limit(max_envelope_bytes: u32) -> Self {
        Self { max_envelope_bytes }
    }
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::with_limit(64 * 1024 * 1024)
    }
}

/// A stream does not hold frames, or a frame is not to be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A prefix announced more than the limit (WIRE §2.3), or an envelope to be sent is above it.
    #[error(transparent)]
    Oversize(#[from] Oversize),
    /// An envelope is empty or too short for its type (WIRE §3.2). The stream goes on behind it:
    /// decoding again yields the next frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The stream ended inside a frame (WIRE §2.2).
    #[error("the stream ended inside a frame, {missing} bytes short of its end")]
    Truncated {
        /// Bytes that were still to come.
        missing: usize,
    },
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Decoder for FrameCodec {
    type Item = Envelope;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Envelope>, FrameError> {
        let length = match walk(buffer, self.max_envelope_bytes)? {
            Walk::Frame(frame) => frame.len(),
            Walk::Partial(_) => return Ok(None),
        };
        let mut frame: Bytes = buffer.split_to(length).freeze();
        frame.advance(PREFIX_BYTES);
        let envelope = Envelope::decode(&frame)?;
        Ok(Some(envelope.into_owned(&frame)))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Envelope>, FrameError> {
        if let Some(envelope) = self.decode(buffer)? {
            return Ok(Some(envelope));
        }
        match walk(buffer, self.max_envelope_bytes)? {
            _ if buffer.is_empty() => Ok(None),
            Walk::Partial(whole) => Err(FrameError::Truncated {
                missing: whole - buffer.len(),
            }),
            Walk::Frame(_) => Ok(None),
        }
    }
}

impl<P: AsRef<[u8]>> Encoder<Envelope<P>> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, envelope: Envelope<P>, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let length = envelope.encoded_len();
        let announced = u32::try_from(length).unwrap_or(u32::MAX);
        if announced > self.max_envelope_bytes || announced as usize != length {
            return Err(Oversize {
                announced,
                limit: self.max_envelope_bytes,
            }
            .into());
        }
        buffer.reserve(PREFIX_BYTES + length);
        buffer.put_u32(announced);
        envelope.encode(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, MessageId};

    #[test]
    fn a_stream_cut_anywhere_yields_the_same_envelopes() {
        let sent = [
            Envelope::Hello {
                version: 1,
                identity: Identity::random(),
            },
            Envelope::Data(Bytes::from_static(b"one")),
            Envelope::Unknown(9),
            Envelope::DataReq(MessageId::random(), Bytes::from_static(b"two")),
        ];
        let mut codec = FrameCodec::default();
        let mut stream = BytesMut::new();
        for envelope in sent.clone() {
            codec.encode(envelope, &mut stream).unwrap();
        }
        for cut in 0..stream.len() {
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(envelope) = codec.decode(&mut buffer).unwrap() {
                    seen.push(envelope);
                }
            }
            assert_eq!(seen, sent);
        }
    }

    #[test]
    fn a_malformed_frame_is_an_error_and_the_next_one_still_comes() {
        let mut buffer = BytesMut::from(&b"\0\0\0\0\0\0\0\x01\x02"[..]);
        let mut codec = FrameCodec::default();
        assert!(matches!(
            codec.decode(&mut buffer),
            Err(FrameError::Malformed(_))
        ));
        assert_eq!(
            codec.decode(&mut buffer).unwrap(),
            Some(Envelope::Heartbeat)
        );
    }

    #[test]
    fn an_end_of_stream_inside_a_frame_is_truncation_and_between_frames_is_not() {
        let mut codec = FrameCodec::default();
        let mut half = BytesMut::from(&b"\0\0\0\x05\x03ab"[..]);
        assert!(matches!(
            codec.decode_eof(&mut half),
            Err(FrameError::Truncated { missing: 2 })
        ));
        assert!(codec.decode_eof(&mut BytesMut::new()).unwrap().is_none());
    }

    #[test]
    fn what_is_above_the_limit_is_neither_sent_nor_received() {
        let mut codec = FrameCodec::with_limit(3);
        let mut buffer = BytesMut::new();
        assert!(
            codec
                .encode(Envelope::Data(&b"abc"[..]), &mut buffer)
                .is_err()
        );
        assert!(buffer.is_empty());
        buffer.put_slice(&[0, 0, 0, 4]);
        assert!(matches!(
            codec.decode(&mut buffer),
            Err(FrameError::Oversize(_))
        ));
    }

    #[tokio::test]
    async fn a_stream_that_fails_fails_its_frames() {
        use futures_util::StreamExt;
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        drop(theirs);
        // Writing to an end that is closed is the failure.
        let mut framed = tokio_util::codec::Framed::new(ours, FrameCodec::default());
        let sent = futures_util::SinkExt::send(&mut framed, Envelope::Data(&b"late"[..])).await;
        assert!(matches!(sent, Err(FrameError::Io(_))), "{sent:?}");
        assert!(framed.next().await.is_none());
    }
}
