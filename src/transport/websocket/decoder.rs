//! From WebSocket frames to the bytes that they carry, in place and without IO.

use super::frame::parse_close;
use super::frame::{
    BLOCK_BYTES, FrameHeader, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, Opcode, apply_mask,
};
use crate::address::{Role, WebSocketViolation as Violation};

/// Something between payload bytes that wants an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ControlEvent {
    /// Wants a pong with the same body.
    Ping(Vec<u8>),
    /// The peer is done; its code, if it gave one, is echoed.
    Close(Option<u16>),
    /// The peer broke a rule.
    Violation(Violation),
}

/// Where the decoder stands in a buffer: what it has read, and what it has written of it.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Bytes of the buffer that were taken in.
    pub(super) read: usize,
    /// Bytes at its beginning that are payload now; never more than `read`.
    pub(super) written: usize,
}

/// Decodes frames that arrive in pieces of any size. It keeps no payload, only a header that is
/// not whole yet or the body of a control frame: payload is passed on as it comes, however large
/// its frame (WIRE §8.10).
#[derive(Debug)]
pub(super) struct Decoder {
    role: Role,
    /// A data message has begun and its last frame has not come.
    in_message: bool,
    state: DecoderState,
}

#[derive(Debug)]
enum DecoderState {
    /// Inside of a header, or before it.
    FrameHeader {
        bytes: [u8; MAX_HEADER_BYTES],
        filled: u8,
    },
    /// Inside of the payload of a data frame.
    Payload { left: u64, mask: Option<[u8; 4]> },
    /// Inside of the body of a control frame.
    Control {
        opcode: Opcode,
        body: Vec<u8>,
        left: usize,
        mask: Option<[u8; 4]>,
    },
}

impl DecoderState {
    const START: Self = Self::FrameHeader {
        bytes: [0; MAX_HEADER_BYTES],
        filled: 0,
    };
}

impl Decoder {
    pub(super) const fn new(role: Role) -> Self {
        Self {
            role,
            in_message: false,
            state: DecoderState::START,
        }
    }

    /// Nothing of a frame has come without the rest of it.
    pub(super) const fn is_between_frames(&self) -> bool {
        matches!(self.state, DecoderState::FrameHeader { filled: 0, .. }) && !self.in_message
    }

    /// Reads on in `buffer` and gathers its payload at the beginning, until an event or the end:
    /// call it again after an event. After a close or a violation nothing more may be decoded.
    pub(super) fn decode(&mut self, buffer: &mut [u8], at: &mut Cursor) -> Option<ControlEvent> {
        // A frame without payload ends without a byte more, so the state is looked at first.
        loop {
            let event = match &mut self.state {
                DecoderState::FrameHeader { .. } if at.read == buffer.len() => return None,
                DecoderState::FrameHeader { .. } => self.read_header(buffer, at),
                DecoderState::Payload { left: 0, .. } => {
                    self.state = DecoderState::START;
                    None
                }
                DecoderState::Payload { .. } if at.read == buffer.len() => return None,
                DecoderState::Payload { left, mask } => {
                    read_payload(left, mask, buffer, at);
                    None
                }
                DecoderState::Control { left: 0, .. } => self.end_control(),
                DecoderState::Control { .. } if at.read == buffer.len() => return None,
                DecoderState::Control {
                    body, left, mask, ..
                } => {
                    read_control(body, left, mask, buffer, at);
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn read_header(&mut self, buffer: &[u8], at: &mut Cursor) -> Option<ControlEvent> {
        let DecoderState::FrameHeader { bytes, filled } = &mut self.state else {
            return None;
        };
        // Its second byte says how long a header is.
        let have = usize::from(*filled);
        let wanted = if have < 2 {
            2
        } else {
            FrameHeader::bytes(bytes[1])
        };
        let taken = (wanted - have).min(buffer.len() - at.read);
        bytes[have..have + taken].copy_from_slice(&buffer[at.read..at.read + taken]);
        at.read += taken;
        let have = have + taken;
        *filled = u8::try_from(have).unwrap_or(u8::MAX);
        match FrameHeader::parse(&bytes[..have], self.role) {
            Ok(None) => None,
            Ok(Some(header)) => self.begin(header).err().map(ControlEvent::Violation),
            Err(violation) => Some(ControlEvent::Violation(violation)),
        }
    }

    /// The rules that need more than one header.
    fn begin(&mut self, header: FrameHeader) -> Result<(), Violation> {
        match header.opcode {
            Opcode::Text => return Err(Violation::Text),
            Opcode::Binary if self.in_message => return Err(Violation::Interleaved),
            Opcode::Continuation if !self.in_message => return Err(Violation::LoneContinuation),
            Opcode::Binary | Opcode::Continuation => {
                self.in_message = !header.is_final;
                self.state = DecoderState::Payload {
                    left: header.payload_bytes,
                    mask: header.mask,
                };
            }
            opcode @ (Opcode::Close | Opcode::Ping | Opcode::Pong) => {
                let left = usize::try_from(header.payload_bytes).unwrap_or(MAX_CONTROL_BYTES);
                self.state = DecoderState::Control {
                    opcode,
                    body: Vec::with_capacity(left),
                    left,
                    mask: header.mask,
                };
            }
        }
        Ok(())
    }

    fn end_control(&mut self) -> Option<ControlEvent> {
        match std::mem::replace(&mut self.state, DecoderState::START) {
            DecoderState::Control {
                opcode: Opcode::Ping,
                body,
                ..
            } => Some(ControlEvent::Ping(body)),
            DecoderState::Control {
                opcode: Opcode::Close,
                body,
                ..
            } => Some(match parse_close(&body) {
                Ok(code) => ControlEvent::Close(code),
                Err(violation) => ControlEvent::Violation(violation),
            }),
            // Nobody asked for a pong, and none is wrong.
            DecoderState::Control { .. }
            | DecoderState::FrameHeader { .. }
            | DecoderState::Payload { .. } => None,
        }
    }
}

fn read_payload(left: &mut u64, mask: &mut Option<[u8; 4]>, buffer: &mut [u8], at: &mut Cursor) {
    let here = buffer.len() - at.read;
    let taken = usize::try_from(*left).map_or(here, |left| left.min(here));
    let end = at.read + taken;
    while at.read < end {
        let block = (end - at.read).min(BLOCK_BYTES);
        if at.read != at.written {
            buffer.copy_within(at.read..at.read + block, at.written);
        }
        if let Some(key) = mask {
            apply_mask(&mut buffer[at.written..at.written + block], key);
        }
        at.read += block;
        at.written += block;
    }
    *left -= taken as u64;
}

fn read_control(
    body: &mut Vec<u8>,
    left: &mut usize,
    mask: &mut Option<[u8; 4]>,
    buffer: &[u8],
    at: &mut Cursor,
) {
    let taken = (*left).min(buffer.len() - at.read);
    let start = body.len();
    body.extend_from_slice(&buffer[at.read..at.read + taken]);
    if let Some(key) = mask {
        apply_mask(&mut body[start..], key);
    }
    at.read += taken;
    *left -= taken;
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
