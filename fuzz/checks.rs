//! What each fuzz target checks. `tests/corpus.rs` runs the same checks over the committed corpora.
#![allow(dead_code)]

use actix_aiomsg::wire::{Envelope, FrameCodec, FrameError, Walk, walk};
use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

/// Small, so that inputs reach both sides of it.
const LIMIT: u32 = 1024;

/// The frames that a walk finds tile the input: they are in order, without gap or overlap, and
/// what is left is less than a frame or above the limit.
pub(crate) fn frame_walk(input: &[u8]) {
    let mut rest = input;
    loop {
        match walk(rest, LIMIT) {
            Ok(Walk::Frame(frame)) => {
                assert!(frame.envelope.len() <= LIMIT as usize);
                assert_eq!(frame.envelope.as_ptr(), rest[4..].as_ptr());
                if let Ok(envelope) = Envelope::decode(frame.envelope) {
                    assert!(envelope.encoded_len() <= frame.envelope.len());
                }
                rest = &rest[frame.len()..];
            }
            Ok(Walk::Partial(whole)) => {
                assert!(rest.len() < whole && whole <= 4 + LIMIT as usize);
                return;
            }
            Err(oversize) => {
                assert!(oversize.announced > oversize.limit);
                return;
            }
        }
    }
}

/// The first byte says where the rest is split in two. Both readings are the same, what was read
/// is written back shorter or equal, and what was written is read as the same again.
pub(crate) fn codec(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else {
        return;
    };
    let (head, tail) = stream.split_at(stream.len().min(cut.into()));
    let envelopes = decoded(&[head, tail]);
    assert_eq!(envelopes, decoded(&[stream]));
    let mut codec = FrameCodec::with_limit(LIMIT);
    let mut written = BytesMut::new();
    for envelope in envelopes.iter().cloned() {
        codec
            .encode(envelope, &mut written)
            .expect("it was within the limit");
    }
    assert!(written.len() <= stream.len());
    assert_eq!(envelopes, decoded(&[&written]));
}

fn decoded(pieces: &[&[u8]]) -> Vec<Envelope> {
    let mut codec = FrameCodec::with_limit(LIMIT);
    let mut buffer = BytesMut::new();
    let mut envelopes = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(envelope)) => envelopes.push(envelope),
                Ok(None) => break,
                Err(FrameError::Malformed(_)) => {}
                Err(_) => return envelopes,
            }
        }
    }
    envelopes
}
