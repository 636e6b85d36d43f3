//! Properties of the frame walk and of the codec, over any bytes and any split of them.

use actix_aiomsg::wire::{Envelope, FrameCodec, FrameError, Walk, walk};
use actix_aiomsg::{Identity, MessageId};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

const LIMIT: u32 = 300;

/// What a reader made of a stream: the envelopes in order, then how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    envelopes: Vec<Result<Envelope, usize>>,
    end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    BetweenFrames,
    InsideAFrame { missing: usize },
    Oversize { announced: u32 },
}

/// The naive model: reads a stream that is there as a whole, without the code under test.
fn naive(mut stream: &[u8]) -> Reading {
    let mut envelopes = Vec::new();
    loop {
        let end = match *stream {
            [] => Some(End::BetweenFrames),
            [a, b, c, d, ref rest @ ..] => {
                let announced = u32::from_be_bytes([a, b, c, d]);
                let length = announced as usize;
                if announced > LIMIT {
                    Some(End::Oversize { announced })
                } else if rest.len() < length {
                    let missing = length - rest.len();
                    Some(End::InsideAFrame { missing })
                } else {
                    envelopes.push(naive_envelope(&rest[..length]));
                    stream = &rest[length..];
                    None
                }
            }
            _ => Some(End::InsideAFrame {
                missing: 4 - stream.len(),
            }),
        };
        if let Some(end) = end {
            return Reading { envelopes, end };
        }
    }
}

fn naive_envelope(envelope: &[u8]) -> Result<Envelope, usize> {
    let id = |at: usize| -> [u8; 16] { envelope[at..at + 16].try_into().unwrap() };
    let rest = |at: usize| Bytes::copy_from_slice(&envelope[at..]);
    match envelope {
        [1, version, ..] if envelope.len() >= 18 => Ok(Envelope::Hello {
            version: *version,
            identity: Identity::from_bytes(id(2)),
        }),
        [2, ..] => Ok(Envelope::Heartbeat),
        [3, ..] => Ok(Envelope::Data(rest(1))),
        [4, ..] if envelope.len() >= 17 => Ok(Envelope::DataReq(id(1).into(), rest(17))),
        [5, ..] if envelope.len() >= 17 => Ok(Envelope::Ack(id(1).into())),
        [] | [1 | 4 | 5, ..] => Err(envelope.len()),
        [kind, ..] => Ok(Envelope::Unknown(*kind)),
    }
}

/// Reads a stream that comes in pieces, as a connection does: by walking one growing buffer.
fn walked(pieces: &[&[u8]]) -> Reading {
    let mut envelopes = Vec::new();
    let mut buffer = Vec::new();
    let mut end = End::BetweenFrames;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        end = loop {
            let unread = &buffer[start..];
            match walk(unread, LIMIT) {
                Ok(Walk::Frame(frame)) => {
                    assert_eq!(frame.len(), 4 + frame.envelope.len());
                    assert_eq!(frame.is_empty(), frame.envelope.is_empty());
                    let owned = Bytes::copy_from_slice(frame.envelope);
                    let decoded = Envelope::decode(&owned);
                    envelopes.push(decoded.map(|e| e.into_owned(&owned)).map_err(|m| m.length));
                    start += frame.len();
                }
                Ok(Walk::Partial(_)) if unread.is_empty() => break End::BetweenFrames,
                Ok(Walk::Partial(whole)) => {
                    let missing = whole - unread.len();
                    break End::InsideAFrame { missing };
                }
                Err(oversize) => {
                    assert_eq!(oversize.limit, LIMIT);
                    let announced = oversize.announced;
                    let end = End::Oversize { announced };
                    return Reading { envelopes, end };
                }
            }
        };
        buffer.drain(..start);
    }
    Reading { envelopes, end }
}

/// The same through the codec.
fn decoded(pieces: &[&[u8]]) -> Reading {
    let mut envelopes = Vec::new();
    let mut buffer = BytesMut::new();
    let mut codec = FrameCodec::with_limit(LIMIT);
    let mut pieces = pieces.iter();
    let end = loop {
        let piece = pieces.next();
        let read = match piece {
            Some(piece) => {
                buffer.extend_from_slice(piece);
                read_all(&mut envelopes, || codec.decode(&mut buffer))
            }
            None => read_all(&mut envelopes, || codec.decode_eof(&mut buffer)),
        };
        match (read, piece) {
            (Ok(()), Some(_)) => {}
            (Ok(()), None) => break End::BetweenFrames,
            (Err(FrameError::Truncated { missing }), None) => break End::InsideAFrame { missing },
            (Err(FrameError::Oversize(oversize)), _) => {
                let announced = oversize.announced;
                break End::Oversize { announced };
            }
            (Err(other), _) => panic!("{other}"),
        }
    };
    Reading { envelopes, end }
}

fn read_all(
    envelopes: &mut Vec<Result<Envelope, usize>>,
    mut read: impl FnMut() -> Result<Option<Envelope>, FrameError>,
) -> Result<(), FrameError> {
    loop {
        match read() {
            Ok(Some(envelope)) => envelopes.push(Ok(envelope)),
            Ok(None) => return Ok(()),
            Err(FrameError::Malformed(malformed)) => envelopes.push(Err(malformed.length)),
            Err(other) => return Err(other),
        }
    }
}

fn split_at<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([stream.len()]);
    starts.zip(ends).map(|(a, b)| &stream[a..b]).collect()
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let payload = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    prop_oneof![
        1 => (any::<u8>(), any::<[u8; 16]>()).prop_map(|(version, identity)| Envelope::Hello {
            version,
            identity: identity.into(),
        }),
        1 => Just(Envelope::Heartbeat),
        4 => payload().prop_map(Envelope::Data),
        4 => (any::<[u8; 16]>(), payload())
            .prop_map(|(id, payload)| Envelope::DataReq(MessageId::from_bytes(id), payload)),
        2 => any::<[u8; 16]>().prop_map(|id| Envelope::Ack(MessageId::from_bytes(id))),
        1 => prop_oneof![Just(0), 6..=255_u8].prop_map(Envelope::Unknown),
    ]
}

/// Frames of which most are sound and some are too short, too long, unknown or cut off.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let sound = envelopes().prop_map(|envelope| encoded(&[envelope]));
    let shaped = (0..40_u8, 0..8_u8, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(length, kind, rest)| [&[0, 0, 0, length, kind][..], &rest].concat());
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    let piece = prop_oneof![12 => sound, 2 => shaped, 1 => noise];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn encoded(envelopes: &[Envelope]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    for envelope in envelopes {
        FrameCodec::default()
            .encode(envelope.clone(), &mut buffer)
            .unwrap();
    }
    buffer.to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_split_of_any_stream_gives_the_same_frames(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let expected = naive(&stream);
        let pieces = split_at(&stream, &cuts);
        prop_assert_eq!(walked(&pieces), expected.clone());
        prop_assert_eq!(decoded(&pieces), expected);
    }

    #[test]
    fn one_byte_at_a_time_gives_the_same_frames(stream in streams()) {
        let pieces: Vec<_> = stream.chunks(1).collect();
        let expected = naive(&stream);
        prop_assert_eq!(walked(&pieces), expected.clone());
        prop_assert_eq!(decoded(&pieces), expected);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), limit in any::<u32>()) {
        let _ = walk(&bytes, limit);
        let _ = Envelope::decode(&bytes);
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut codec = FrameCodec::with_limit(limit);
        while let Ok(Some(_)) | Err(FrameError::Malformed(_)) = codec.decode_eof(&mut buffer) {}
        prop_assert!(buffer.capacity() <= bytes.len().max(64));
    }

    #[test]
    fn what_is_written_is_read_back(sent in prop::collection::vec(envelopes(), 0..20)) {
        let stream = encoded(&sent);
        let lengths: usize = sent.iter().map(|envelope| 4 + envelope.encoded_len()).sum();
        prop_assert_eq!(stream.len(), lengths);
        let read = decoded(&[&stream]);
        let received: Vec<_> = read.envelopes.into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(received, sent);
        prop_assert_eq!(read.end, End::BetweenFrames);
    }

    #[test]
    fn the_limit_is_the_same_for_both_ends(envelope in envelopes(), limit in 0..250_u32) {
        let length = envelope.encoded_len();
        let mut codec = FrameCodec::with_limit(limit);
        let mut buffer = BytesMut::new();
        match codec.encode(envelope.clone(), &mut buffer) {
            Ok(()) => {
                prop_assert!(length <= limit as usize);
                prop_assert_eq!(codec.decode(&mut buffer).unwrap(), Some(envelope));
            }
            Err(FrameError::Oversize(oversize)) => {
                prop_assert!(length > limit as usize);
                prop_assert_eq!(oversize.announced as usize, length);
                prop_assert!(buffer.is_empty(), "a refused envelope leaves nothing behind");
                let prefix = oversize.announced.to_be_bytes();
                prop_assert!(walk(&prefix, limit).is_err());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
}
