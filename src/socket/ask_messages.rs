//! The payload of an ask, and the reading of its answer.

use std::time::Duration;

use bytes::Bytes;

use crate::ask::{AskRequest, Asks};
use crate::error::AskError;
use crate::payload::{AskEnvelope, AskId, AskKind, Codec, Payload, ServiceAddress, TraceContext};
use crate::trace::Span;

/// The payload of an ask.
pub(super) fn question(
    asks: &Asks,
    number: u64,
    left: Duration,
    trace: Option<TraceContext>,
    body: &[u8],
) -> Bytes {
    envelope(AskKind::Ask, asks.id_of(number), left, trace)
        .write(body)
        .into()
}

/// The payload of an ask of a service.
pub(super) fn service_question(
    address: &ServiceAddress<'_>,
    id: AskId,
    left: Duration,
    trace: Option<TraceContext>,
    body: &[u8],
) -> Bytes {
    let envelope = envelope(AskKind::ServiceAsk, id, left, trace);
    address.write(&envelope, body).into()
}

fn envelope(kind: AskKind, id: AskId, left: Duration, trace: Option<TraceContext>) -> AskEnvelope {
    let mut envelope = AskEnvelope::new(kind, id);
    envelope.patience_millis = AskEnvelope::patience(left);
    envelope.trace = trace;
    envelope
}

/// An answer that is not read yet, or why there is none; and the span of the ask, which lasts until it is.
pub(super) type EndedAsk = (Result<Bytes, AskError>, Span);

/// Reads the answer to an ask, and ends its span.
pub(super) fn read_answer<Q: AskRequest>(
    (body, mut span): EndedAsk,
    codec: Codec,
) -> Result<Q::Reply, AskError> {
    let answer = body.and_then(|body| decode_reply::<Q>(body, codec));
    span.end_ask(&answer);
    answer
}

/// Reads an answer. Answers have no topic: what they are is known.
pub(super) fn decode_reply<Q: AskRequest>(body: Bytes, codec: Codec) -> Result<Q::Reply, AskError> {
    use crate::payload::Format;
    type FormatOf<P> = <P as Payload>::Format;
    FormatOf::<Q::Reply>::decode(body, codec).map_err(AskError::Decode)
}
