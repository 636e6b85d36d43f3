//! WebSocket frames (RFC 6455 §5), without IO: headers in and out, masking, close bodies.
//!
//! ```text
//!  byte 0                byte 1
//! +-+-+-+-+-------+     +-+-------------+   +------------------+   +----------+
//! |F|R|R|R|       |     |M|             |   | length, if 126:  |   | mask key |
//! |I|S|S|S| opcode|     |A|   length    |   | 2 bytes, if 127: |   | 4 bytes, |
//! |N|V|V|V|       |     |S| 0..125      |   | 8 bytes          |   | if MASK  |
//! |1|1|2|3|       |     |K|             |   |                  |   |          |
//! +-+-+-+-+-------+     +-+-------------+   +------------------+   +----------+
//! ```

use bytes::{BufMut, BytesMut};

use crate::address::{Role, WebSocketViolation as Violation};

/// The longest body of a control frame.
pub(super) const MAX_CONTROL_BYTES: usize = 125;

/// The longest header.
pub(super) const MAX_HEADER_BYTES: usize = 14;

/// Bytes that are copied before they are masked, while they are in the processor's nearest cache.
pub(super) const BLOCK_BYTES: usize = 4096;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// The header of a frame that was received, its rules checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) opcode: Opcode,
    /// The last frame of its message.
    pub(super) is_final: bool,
    pub(super) payload_bytes: u64,
    /// The key to unmask with; none at the client.
    pub(super) mask: Option<[u8; 4]>,
}

impl FrameHeader {
    /// Reads a header from what has come of it: `None` asks for more. `role` is ours. What is
    /// wrong is reported as soon as it is there, without waiting for the rest.
    pub(super) fn parse(bytes: &[u8], role: Role) -> Result<Option<Self>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::parse(first & OPCODE).ok_or(Violation::ReservedOpcode)?;
        let is_final = first & FIN != 0;
        let is_masked = second & MASK != 0;
        if is_masked != (role == Role::BindEnd) {
            return Err(Violation::Mask);
        }
        let short = second & !MASK;
        if opcode.is_control() {
            if !is_final {
                return Err(Violation::FragmentedControl);
            }
            if usize::from(short) > MAX_CONTROL_BYTES {
                return Err(Violation::LongControl);
            }
        }
        let Some((payload_bytes, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };
        let mask = match (is_masked, rest.first_chunk()) {
            (false, _) => None,
            (true, Some(key)) => Some(*key),
            (true, None) => return Ok(None),
        };
        Ok(Some(Self {
            opcode,
            is_final,
            payload_bytes,
            mask,
        }))
    }

    /// Length of a header, by its second byte.
    pub(super) fn bytes(second: u8) -> usize {
        let length = match second & !MASK {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & MASK == 0 { 0 } else { 4 };
        2 + length + mask
    }
}

/// The length, and what stands behind it.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    match short {
        126 => Ok(rest
            .split_first_chunk()
            .map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))),
        127 => {
            if rest.first().is_some_and(|top| top & 0x80 != 0) {
                return Err(Violation::Length);
            }
            let parts = rest.split_first_chunk();
            Ok(parts.map(|(length, rest)| (u64::from_be_bytes(*length), rest)))
        }
        _ => Ok(Some((u64::from(short), rest))),
    }
}

/// Appends a whole message of one frame, or a control frame.
pub(super) fn put_frame<'a>(
    out: &mut BytesMut,
    opcode: Opcode,
    role: Role,
    payload: impl Iterator<Item = &'a [u8]> + Clone,
) {
    put(out, FIN | opcode.bits(), role, payload);
}

/// Appends a frame of a message that goes on in the next one.
pub(super) fn put_fragment<'a>(
    out: &mut BytesMut,
    opcode: Opcode,
    role: Role,
    payload: impl Iterator<Item = &'a [u8]> + Clone,
) {
    put(out, opcode.bits(), role, payload);
}

/// A connect end masks what it sends, a bind end does not. The key is unpredictable, as RFC 6455 §10.3
/// wants it.
fn put<'a>(
    out: &mut BytesMut,
    first: u8,
    role: Role,
    payload: impl Iterator<Item = &'a [u8]> + Clone,
) {
    let length: usize = payload.clone().map(<[u8]>::len).sum();
    out.reserve(MAX_HEADER_BYTES + length);
    out.put_u8(first);
    let mask_bit = if role == Role::ConnectEnd { MASK } else { 0 };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.put_u8(mask_bit | short),
        (_, Ok(medium)) => {
            out.put_u8(mask_bit | 126);
            out.put_u16(medium);
        }
        (_, Err(_)) => {
            out.put_u8(mask_bit | 127);
            out.put_u64(length as u64);
        }
    }
    let key = (role == Role::ConnectEnd).then(|| {
        let mut key = [0; 4];
        getrandom::fill(&mut key).expect("the operating system provides random bytes");
        out.put_slice(&key);
        key
    });
    let Some(mut key) = key else {
        payload.for_each(|piece| out.put_slice(piece));
        return;
    };
    for block in payload.flat_map(|piece| piece.chunks(BLOCK_BYTES)) {
        let start = out.len();
        out.put_slice(block);
        apply_mask(&mut out[start..], &mut key);
    }
}

/// Masks or unmasks `bytes`, and turns `key` to where the next bytes of the frame begin.
pub(super) fn apply_mask(bytes: &mut [u8], key: &mut [u8; 4]) {
    let [a, b, c, d] = *key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    key.rotate_left(bytes.len() % 4);
}

/// The code of a close frame's body; none if the body is empty.
pub(super) fn parse_close(body: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() {
            Ok(None)
        } else {
            Err(Violation::Close)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_travel(code) {
        return Err(Violation::Close);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
    Ok(Some(code))
}

/// RFC 6455 §7.4 and the IANA registry: 1005, 1006 and 1015 are for a program's own use, 1004 and
/// the rest below 3000 are not assigned.
const fn may_travel(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
