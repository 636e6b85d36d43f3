//! The envelope of asks and their answers, at the front of a payload (docs/ASK.md).

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// First bytes of every envelope. No text in UTF-8 begins with them.
const MAGIC: [u8; 4] = *b"\xa1ASK";

const ASK: u8 = 1;
const REPLY: u8 = 2;
const FAILURE: u8 = 3;
const CANCEL: u8 = 4;
const SERVICE_ASK: u8 = 5;
const SERVICE_TELL: u8 = 6;
const REFUSED: u8 = 7;

/// Flag: a trace context follows.
const TRACED: u8 = 1;

/// Bytes of an envelope without a trace context.
pub(crate) const ENVELOPE_BYTES: usize = 26;

/// Those that say for how long the asker waits.
const PATIENCE: Range<usize> = 22..26;

const TRACE_BYTES: usize = 25;

/// Identity of an ask, from its asker to whoever answers it and back.
pub(crate) type AskId = [u8; 16];

/// Kind of a payload with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskKind {
    Ask,
    Reply,
    /// The text of an error is the body.
    Failure,
    /// The asker no longer waits.
    Cancel,
    /// An ask of whoever offers a service. The [address](super::ServiceAddress) is in front of the body.
    ServiceAsk,
    /// A message to whoever offers a service, likewise. Nobody answers it.
    ServiceTell,
    /// The ask was surely not handled. The [refusal](super::AskRefusal) is the body.
    Refused,
}

impl AskKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            ASK => Self::Ask,
            REPLY => Self::Reply,
            FAILURE => Self::Failure,
            CANCEL => Self::Cancel,
            SERVICE_ASK => Self::ServiceAsk,
            SERVICE_TELL => Self::ServiceTell,
            REFUSED => Self::Refused,
            _ => return None,
        })
    }

    /// True if it ends the ask of its id.
    pub(crate) const fn is_answer(self) -> bool {
        match self {
            Self::Reply | Self::Failure | Self::Refused => true,
            Self::Ask | Self::Cancel | Self::ServiceAsk | Self::ServiceTell => false,
        }
    }

    const fn to_byte(self) -> u8 {
        match self {
            Self::Ask => ASK,
            Self::Reply => REPLY,
            Self::Failure => FAILURE,
            Self::Cancel => CANCEL,
            Self::ServiceAsk => SERVICE_ASK,
            Self::ServiceTell => SERVICE_TELL,
            Self::Refused => REFUSED,
        }
    }
}

/// A trace that an ask belongs to, as W3C's `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that asks.
    pub span_id: [u8; 8],
    /// The flags of the trace.
    pub flags: u8,
}

/// The front of an ask, or of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskEnvelope {
    pub(crate) kind: AskKind,
    pub(crate) id: AskId,
    /// For how long the asker waits from when it is sent, in milliseconds; 0 if it does not say.
    pub(crate) patience_millis: u32,
    pub(crate) trace: Option<TraceContext>,
}

impl AskEnvelope {
    pub(crate) const fn new(kind: AskKind, id: AskId) -> Self {
        Self {
            kind,
            id,
            patience_millis: 0,
            trace: None,
        }
    }

    /// For how long an asker waits, as an envelope says it. It is rounded up, so that nobody gives up on one that still waits.
    pub(crate) fn patience(left: Duration) -> u32 {
        let millis = left.as_nanos().div_ceil(1_000_000);
        u32::try_from(millis).unwrap_or(u32::MAX).max(1)
    }

    /// Writes into an ask for how long its asker waits now. One that does not say it stays as it is.
    pub(crate) fn note_patience(payload: &mut Bytes, left: Duration) {
        let patience = Self::patience(left).to_be_bytes();
        let Some(before) = payload.get(PATIENCE) else {
            return;
        };
        if *before == [0; 4] || *before == patience {
            return;
        }
        let mut bytes = match std::mem::take(payload).try_into_mut() {
            Ok(bytes) => bytes,
            Err(shared) => BytesMut::from(shared),
        };
        bytes[PATIENCE].copy_from_slice(&patience);
        *payload = bytes.freeze();
    }

    /// Reads the envelope of a payload, if it has one, and yields it with the body behind.
    pub(crate) fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let rest = payload.strip_prefix(&MAGIC)?;
        let (&[kind, flags], rest) = rest.split_first_chunk()?;
        let (&id, rest) = rest.split_first_chunk()?;
        let (&patience, mut body) = rest.split_first_chunk()?;
        let kind = AskKind::from_byte(kind)?;
        let mut trace = None;
        if flags & TRACED != 0 {
            let (&trace_id, rest) = body.split_first_chunk()?;
            let (&span_id, rest) = rest.split_first_chunk()?;
            let (&[flags], rest) = rest.split_first_chunk()?;
            trace = Some(TraceContext {
                trace_id,
                span_id,
                flags,
            });
            body = rest;
        }
        let envelope = Self {
            kind,
            id,
            patience_millis: u32::from_be_bytes(patience),
            trace,
        };
        Some((envelope, body))
    }

    /// A payload of this envelope and `body`.
    pub(crate) fn write(&self, body: &[u8]) -> Vec<u8> {
        let mut out = self.begin(body.len());
        out.extend_from_slice(body);
        out
    }

    /// The bytes in front of a body of so many bytes, with room for it.
    pub(super) fn begin(&self, body: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENVELOPE_BYTES + TRACE_BYTES + body);
        out.extend_from_slice(&MAGIC);
        out.push(self.kind.to_byte());
        out.push(if self.trace.is_some() { TRACED } else { 0 });
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.patience_millis.to_be_bytes());
        if let Some(trace) = &self.trace {
            out.extend_from_slice(&trace.trace_id);
            out.extend_from_slice(&trace.span_id);
            out.push(trace.flags);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_laid_out_as_documented() {
        let mut envelope = AskEnvelope::new(AskKind::Ask, *b"0123456789abcdef");
        envelope.patience_millis = 1500;
        let payload = envelope.write(b"body");
        let expected = b"\xa1ASK\x01\x000123456789abcdef\x00\x00\x05\xdcbody";
        assert_eq!(payload, expected);
        assert_eq!(AskEnvelope::read(&payload), Some((envelope, &b"body"[..])));

        envelope.kind = AskKind::Reply;
        envelope.patience_millis = 0;
        envelope.trace = Some(TraceContext {
            trace_id: [7; 16],
            span_id: [8; 8],
            flags: 1,
        });
        let payload = envelope.write(b"");
        assert_eq!(payload.len(), ENVELOPE_BYTES + TRACE_BYTES);
        assert_eq!(payload[4..6], [2, 1]);
        assert_eq!(AskEnvelope::read(&payload), Some((envelope, &b""[..])));
    }

    #[test]
    fn an_ask_says_for_how_long_its_asker_waits_now_unless_it_does_not_say_it() {
        let ask = |patience_millis| {
            let mut envelope = AskEnvelope::new(AskKind::Ask, [1; 16]);
            envelope.patience_millis = patience_millis;
            Bytes::from(envelope.write(b"body"))
        };
        for (left, expected) in [
            (Duration::from_secs(2), 2000),
            (Duration::from_micros(1), 1),
            (Duration::ZERO, 1),
            (Duration::MAX, u32::MAX),
        ] {
            let (mut alone, mut shared) = (ask(3000), ask(3000));
            let before = shared.clone();
            AskEnvelope::note_patience(&mut alone, left);
            AskEnvelope::note_patience(&mut shared, left);
            assert_eq!((&alone, &shared), (&ask(expected), &ask(expected)));
            assert_eq!(before, ask(3000));
        }
        let mut silent = ask(0);
        AskEnvelope::note_patience(&mut silent, Duration::from_secs(2));
        assert_eq!(silent, ask(0));
    }

    #[test]
    fn what_is_cut_short_or_of_an_unknown_kind_has_no_envelope() {
        for kind in [
            AskKind::Ask,
            AskKind::Reply,
            AskKind::Failure,
            AskKind::Cancel,
            AskKind::ServiceAsk,
            AskKind::ServiceTell,
            AskKind::Refused,
        ] {
            let mut envelope = AskEnvelope::new(kind, [1; 16]);
            for trace in [
                None,
                Some(TraceContext {
                    trace_id: [2; 16],
                    span_id: [3; 8],
                    flags: 0,
                }),
            ] {
                envelope.trace = trace;
                let payload = envelope.write(b"");
                assert_eq!(AskEnvelope::read(&payload), Some((envelope, &b""[..])));
                for length in 0..payload.len() {
                    assert_eq!(
                        AskEnvelope::read(&payload[..length]),
                        None,
                        "{length} bytes"
                    );
                }
                let mut unknown = payload.clone();
                unknown[4] = 9;
                assert_eq!(AskEnvelope::read(&unknown), None);
            }
        }
    }
}
