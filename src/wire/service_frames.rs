//! The frames about services (WIRE §10.5): what a peer offers, how loaded it is, and what has been seen of it.
//!
//! ```text
//! | 0xC0 OFFER | version | start ×8 | generation ×4 | flags | count | (name, instance, flags) … |
//! | 0xC1 LOAD  | version | generation ×4 | count | (index ×2, state, retry after ×4) … |
//! | 0xC3 SEEN  | version | generation ×4 |
//! ```
//!
//! Names and instances are a length of one byte and UTF-8.

use bytes::BufMut;

use super::frame::PREFIX_BYTES;

pub(super) const OFFER: u8 = 0xC0;
pub(super) const LOAD: u8 = 0xC1;
pub(super) const SEEN: u8 = 0xC3;

const VERSION: u8 = 1;
/// Bytes of an envelope that is written here, its type included: it fits every peer's frame limit.
const MAX_ENVELOPE_BYTES: usize = 4096;
/// Bytes of an OFFER in front of its services, from its type on.
const OFFER_HEAD_BYTES: usize = 2 + START_BYTES + 4 + 2;
const START_BYTES: usize = 8;
/// Bytes of one entry of a LOAD, and of what stands in front of the first.
const LOAD_ENTRY_BYTES: usize = 7;
const LOAD_HEAD_BYTES: usize = 7;
/// Services of one OFFER, and entries of one LOAD, which are counted by one byte.
const MOST_ENTRIES: usize = 255;

const MORE: u8 = 1;
const DRAINING: u8 = 2;

const READY: u8 = 0;
const BUSY: u8 = 1;
const DRAINS: u8 = 2;

/// One frame of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfferFrame<'a> {
    /// Random bytes that tell this start of the process from another.
    pub(crate) start: [u8; START_BYTES],
    pub(crate) generation: u32,
    /// Another frame of the same generation follows.
    pub(crate) more: bool,
    /// The peer is about to end.
    pub(crate) draining: bool,
    pub(crate) services: ServiceEntries<'a>,
}

/// One service of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceEntry<'a> {
    pub(crate) name: &'a str,
    pub(crate) instance: &'a str,
}

/// The services of an OFFER frame, which have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceEntries<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl ServiceEntries<'_> {
    /// Bytes that they take on the wire.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Iterator for ServiceEntries<'a> {
    type Item = ServiceEntry<'a>;

    fn next(&mut self) -> Option<ServiceEntry<'a>> {
        self.count = self.count.checked_sub(1)?;
        let (entry, rest) = read_service(self.bytes)?;
        self.bytes = rest;
        Some(entry)
    }
}

/// Loads of services, by their place in the offer of this generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadFrame<'a> {
    pub(crate) generation: u32,
    entries: &'a [u8],
}

/// The state of one service, as its provider tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadEntry {
    /// Its place in the offer.
    pub(crate) index: u16,
    pub(crate) state: OfferedState,
}

/// Whether a provider takes messages for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferedState {
    Ready,
    /// It has no room, and may have some after this time.
    Busy {
        retry_after_millis: u32,
    },
    /// It is about to end.
    Draining,
}

impl LoadFrame<'_> {
    /// Its entries. Those of a state that this version does not know are left out.
    pub(crate) fn entries(&self) -> impl Iterator<Item = LoadEntry> + '_ {
        self.entries
            .chunks_exact(LOAD_ENTRY_BYTES)
            .filter_map(|entry| {
                let (&index, rest) = entry.split_first_chunk()?;
                let (&[state], rest) = rest.split_first_chunk()?;
                let (&millis, _) = rest.split_first_chunk()?;
                let millis = u32::from_be_bytes(millis);
                let state = match state {
                    READY => OfferedState::Ready,
                    BUSY => OfferedState::Busy {
                        retry_after_millis: millis,
                    },
                    DRAINS => OfferedState::Draining,
                    _ => return None,
                };
                let index = u16::from_be_bytes(index);
                Some(LoadEntry { index, state })
            })
    }
}

/// Reads the body of an OFFER, all its services included.
pub(super) fn read_offer(body: &[u8]) -> Option<OfferFrame<'_>> {
    let (&start, rest) = body.split_first_chunk()?;
    let (&generation, rest) = rest.split_first_chunk()?;
    let (&[flags, count], bytes) = rest.split_first_chunk()?;
    let mut rest = bytes;
    for _ in 0..count {
        (_, rest) = read_service(rest)?;
    }
    let bytes = &bytes[..bytes.len() - rest.len()];
    Some(OfferFrame {
        start,
        generation: u32::from_be_bytes(generation),
        more: flags & MORE != 0,
        draining: flags & DRAINING != 0,
        services: ServiceEntries { count, bytes },
    })
}

/// A service, and the bytes behind it. A name that is empty is none.
fn read_service(bytes: &[u8]) -> Option<(ServiceEntry<'_>, &[u8])> {
    let (name, rest) = read_text(bytes)?;
    let (instance, rest) = read_text(rest)?;
    let (_flags, rest) = rest.split_first()?;
    (!name.is_empty()).then_some((ServiceEntry { name, instance }, rest))
}

fn read_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Reads the body of a LOAD.
pub(super) fn read_load(body: &[u8]) -> Option<LoadFrame<'_>> {
    let (&generation, rest) = body.split_first_chunk()?;
    let (&[count], rest) = rest.split_first_chunk()?;
    Some(LoadFrame {
        generation: u32::from_be_bytes(generation),
        entries: rest.get(..usize::from(count) * LOAD_ENTRY_BYTES)?,
    })
}

/// Reads the body of a SEEN: a generation.
pub(super) fn read_seen(body: &[u8]) -> Option<u32> {
    body.first_chunk()
        .map(|&generation| u32::from_be_bytes(generation))
}

/// An offer that is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferHead {
    pub(crate) start: [u8; START_BYTES],
    pub(crate) generation: u32,
    pub(crate) draining: bool,
}

/// Appends an offer, as so many OFFER frames as it takes, one at least. Names are at most 255 bytes; what is
/// longer is left out.
pub(crate) fn put_offer<'a>(
    out: &mut Vec<u8>,
    head: OfferHead,
    services: impl IntoIterator<Item = ServiceEntry<'a>>,
) {
    let mut part = OfferPart::begin(out, head);
    for service in services {
        let (Ok(name), Ok(instance)) = (
            u8::try_from(service.name.len()),
            u8::try_from(service.instance.len()),
        ) else {
            continue;
        };
        let bytes = 3 + service.name.len() + service.instance.len();
        if part.count == MOST_ENTRIES || out.len() - part.at + bytes > MAX_ENVELOPE_BYTES {
            part.end(out, MORE);
            part = OfferPart::begin(out, head);
        }
        part.count += 1;
        out.put_u8(name);
        out.put_slice(service.name.as_bytes());
        out.put_u8(instance);
        out.put_slice(service.instance.as_bytes());
        out.put_u8(0);
    }
    part.end(out, 0);
}

/// One OFFER frame that is being written.
struct OfferPart {
    /// Where its envelope begins.
    at: usize,
    count: usize,
    draining: bool,
}

impl OfferPart {
    fn begin(out: &mut Vec<u8>, head: OfferHead) -> Self {
        out.put_u32(0);
        let at = out.len();
        out.put_slice(&[OFFER, VERSION]);
        out.put_slice(&head.start);
        out.put_u32(head.generation);
        // Its flags and its count, which are known at its end.
        out.put_u16(0);
        Self {
            at,
            count: 0,
            draining: head.draining,
        }
    }

    fn end(&self, out: &mut [u8], more: u8) {
        let draining = if self.draining { DRAINING } else { 0 };
        let length = u32::try_from(out.len() - self.at).expect("a frame of an offer is short");
        out[self.at - PREFIX_BYTES..self.at].copy_from_slice(&length.to_be_bytes());
        let flags = self.at + OFFER_HEAD_BYTES - 2;
        out[flags] = more | draining;
        out[flags + 1] = u8::try_from(self.count).expect("they are at most 255");
    }
}

/// Appends loads, as so many LOAD frames as it takes; none without entries.
pub(crate) fn put_load(out: &mut Vec<u8>, generation: u32, entries: &[LoadEntry]) {
    for entries in entries.chunks(MOST_ENTRIES) {
        let length = LOAD_HEAD_BYTES + entries.len() * LOAD_ENTRY_BYTES;
        out.put_u32(u32::try_from(length).expect("a LOAD is short"));
        out.put_slice(&[LOAD, VERSION]);
        out.put_u32(generation);
        out.put_u8(u8::try_from(entries.len()).expect("they are at most 255"));
        for LoadEntry { index, state } in entries {
            let (state, retry_after) = match *state {
                OfferedState::Ready => (READY, 0),
                OfferedState::Busy { retry_after_millis } => (BUSY, retry_after_millis),
                OfferedState::Draining => (DRAINS, 0),
            };
            out.put_u16(*index);
            out.put_u8(state);
            out.put_u32(retry_after);
        }
    }
}

/// A whole SEEN frame.
pub(crate) fn seen_frame(generation: u32) -> [u8; PREFIX_BYTES + 6] {
    let [a, b, c, d] = generation.to_be_bytes();
    [0, 0, 0, 6, SEEN, VERSION, a, b, c, d]
}

#[cfg(test)]
#[path = "service_frames_tests.rs"]
mod tests;
