//! Takes metadata out of what was read, before anybody looks at a payload.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::announcements::Burial;
use crate::core::SocketCore;
use crate::engine::LogPermit;
use crate::event::DeadLetterReason;
use crate::id::{ID_BYTES, MessageId};
use crate::inbox::{Chunk, MetadataTable};
use crate::link::Link;
use crate::payload::{begins_as_envelope, read_envelope};
use crate::telemetry::{self, Topic};
use crate::wire::{self, EnvelopeType, NotHandled, Walk};

/// A chunk of these frames, without the envelopes of their metadata. Messages whose envelope is malformed are refused;
/// `None` if nothing is left.
#[cold]
pub(super) fn take_metadata(
    core: &SocketCore,
    link: &Arc<Link>,
    bytes: Bytes,
    messages: usize,
) -> Option<Chunk> {
    let cost = bytes.len();
    let unwrapped = unwrap_frames(bytes, |id, payload| {
        refuse(core, link, id, payload);
    });
    let messages = messages - unwrapped.refused;
    (messages > 0).then(|| {
        let chunk = Chunk::new(Arc::clone(link), unwrapped.bytes, messages, cost);
        let metadata = unwrapped.metadata;
        chunk.with_metadata((!metadata.is_empty()).then(|| Arc::new(metadata)))
    })
}

/// Frames without envelopes.
#[derive(Debug)]
struct Unwrapped {
    bytes: Bytes,
    metadata: MetadataTable,
    /// Messages that are none any more.
    refused: usize,
}

/// Takes the envelopes out of frames where these are: the header of each message moves to its payload, and what is left in
/// front of it becomes a heartbeat, which is no message. A message whose envelope is malformed becomes one as a whole.
fn unwrap_frames(bytes: Bytes, mut refuse: impl FnMut(Option<MessageId>, Bytes)) -> Unwrapped {
    let mut out = Unwrapped {
        metadata: Vec::new(),
        refused: 0,
        bytes,
    };
    let mut at = 0;
    // Only once there is an envelope does it have to be our own memory.
    while let Some((from, start, end)) = next_wrapped(&out.bytes, at) {
        at = end;
        let payload = &out.bytes[start..end];
        let read = read_envelope(payload);
        let length = match &read {
            Ok((_, length)) => *length,
            Err(_) => 0,
        };
        let header = from..start;
        let id = (header.len() > wire::DATA_HEADER_BYTES)
            .then(|| out.bytes[..start].last_chunk::<ID_BYTES>().copied())
            .flatten();
        let Ok((metadata, _)) = read else {
            refuse(
                id.map(MessageId::from_bytes),
                Bytes::copy_from_slice(payload),
            );
            out.refused += 1;
            let mut own = into_mut(std::mem::take(&mut out.bytes));
            own[from + wire::PREFIX_BYTES] = EnvelopeType::Heartbeat as u8;
            out.bytes = own.freeze();
            continue;
        };
        let inner = start + length;
        let mut own = into_mut(std::mem::take(&mut out.bytes));
        // An envelope is longer than a prefix and a type.
        let gap = length - wire::PREFIX_BYTES;
        put_prefix(&mut own, from, gap);
        own.copy_within(
            from + wire::PREFIX_BYTES..start,
            inner - header.len() + wire::PREFIX_BYTES,
        );
        let envelope = header.len() - wire::PREFIX_BYTES + (end - inner);
        put_prefix(&mut own, inner - header.len(), envelope);
        own[from + wire::PREFIX_BYTES] = EnvelopeType::Heartbeat as u8;
        out.bytes = own.freeze();
        if !metadata.is_empty() {
            out.metadata.push((inner, Arc::new(metadata)));
        }
    }
    out
}

/// The next message from `at` on whose payload begins as an envelope: where its frame, its payload and what is behind
/// it begin.
fn next_wrapped(bytes: &[u8], mut at: usize) -> Option<(usize, usize, usize)> {
    while let Ok(Walk::Frame(frame)) = wire::walk(&bytes[at..], u32::MAX) {
        let from = at;
        at += frame.len();
        if let Some(offset) = wire::payload_offset(frame.envelope)
            && begins_as_envelope(&frame.envelope[offset..])
        {
            return Some((from, from + wire::PREFIX_BYTES + offset, at));
        }
    }
    None
}

/// Memory of our own: the same if nobody else has it, or a copy.
fn into_mut(bytes: Bytes) -> BytesMut {
    bytes
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

fn put_prefix(bytes: &mut [u8], at: usize, length: usize) {
    let length = u32::try_from(length).expect("it is a part of a frame");
    bytes[at..at + wire::PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// The metadata of a message is malformed: nobody can say what of it is payload.
#[cold]
fn refuse(core: &SocketCore, link: &Arc<Link>, id: Option<MessageId>, payload: Bytes) {
    let peer = link.peer();
    core.counters.note_bad_envelope();
    if let Some(LogPermit { unlogged }) = telemetry::line(Topic::BadMetadata, link.log_source()) {
        tracing::warn!(%peer, unlogged, "a peer sends messages with malformed metadata, which are refused");
    }
    let detail = read_envelope(&payload).err().map(|bad| bad.to_string());
    let reason = DeadLetterReason::Undecodable;
    let burial = Burial::received(payload, peer, reason);
    core.events.bury(Burial { detail, ..burial });
    if let Some(id) = id {
        link.finish_unread(&[id], Err(NotHandled::Undecodable));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payload::Metadata;

    fn framed(id: Option<u8>, payload: &[u8]) -> Vec<u8> {
        match id {
            None => [&wire::data_header(payload.len())[..], payload].concat(),
            Some(id) => {
                let id = MessageId::from_bytes([id; 16]);
                [&wire::data_req_header(id, payload.len())[..], payload].concat()
            }
        }
    }

    /// The messages of frames: their ids, and where their payloads are.
    fn messages(bytes: &[u8]) -> Vec<(Option<MessageId>, std::ops::Range<usize>)> {
        let (mut at, mut all) = (0, Vec::new());
        while let Ok(Walk::Frame(frame)) = wire::walk(&bytes[at..], u32::MAX) {
            let begin = at + wire::PREFIX_BYTES;
            at += frame.len();
            if let Some(offset) = wire::payload_offset(frame.envelope) {
                let id = (offset > 1).then(|| frame.envelope[1..17].try_into().unwrap());
                all.push((id.map(MessageId::from_bytes), begin + offset..at));
            }
        }
        assert_eq!(at, bytes.len(), "whole frames");
        all
    }

    proptest! {
        #[test]
        fn what_is_wrapped_comes_out_bare_in_order_with_its_metadata(
            drawn in prop::collection::vec(
                (prop::option::of(0..9u8), 0..4, prop::collection::vec(any::<u8>(), 0..40)), 0..12,
            ),
        ) {
            let (mut stream, mut expected, mut bad) = (Vec::new(), Vec::new(), Vec::new());
            for (number, (id, kind, body)) in drawn.iter().enumerate() {
                let metadata = Metadata::new().with_header("n", &number.to_string());
                let (envelope, metadata) = match kind {
                    0 => (Bytes::new(), None),
                    1 => (Bytes::from_static(crate::payload::EMPTY_ENVELOPE), None),
                    2 => (metadata.clone().envelope().unwrap(), Some(metadata)),
                    _ => (Bytes::from_static(b"\xa1ENV\x01\x00\x00\x00"), None),
                };
                let payload = [&envelope[..], body].concat();
                stream.extend(framed(*id, &payload));
                let id = id.map(|id| MessageId::from_bytes([id; 16]));
                match kind {
                    0 if begins_as_envelope(body) => return Ok(()),
                    3 => bad.push((id, Bytes::from(payload))),
                    _ => expected.push((id, body.clone(), metadata)),
                }
            }
            let mut refused = Vec::new();
            let out = unwrap_frames(stream.into(), |id, payload| refused.push((id, payload)));
            prop_assert_eq!(out.refused, bad.len());
            prop_assert_eq!(refused, bad);
            let table: std::collections::HashMap<_, _> = out.metadata.iter().cloned().collect();
            let got: Vec<_> = messages(&out.bytes)
                .into_iter()
                .map(|(id, range)| {
                    let metadata = table.get(&range.start).map(|metadata| (**metadata).clone());
                    (id, out.bytes[range].to_vec(), metadata)
                })
                .collect();
            prop_assert_eq!(got, expected);
            prop_assert!(out.metadata.is_sorted_by_key(|(start, _)| *start));
        }
    }
}
