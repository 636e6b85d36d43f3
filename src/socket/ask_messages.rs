//! The payload of an ask, and the reading of its answer.

use std::time::Duration;

use bytes::Bytes;

use crate::ask::{AskRequest, Asks};
use crate::error::AskError;
use crate::payload::{AskEnvelope, AskKind, Codec, Payload, TraceContext};

/// The payload of an ask.
pub(super) fn question(
    asks: &Asks,
    number: u64,
    left: Duration,
    trace: Option<TraceContext>,
    body: &[u8],
) -> Bytes {
    let mut envelope = AskEnvelope::new(AskKind::Ask, asks.id_of(number));
    // Rounded up, so that nobody gives up on us while we still wait.
    let millis = left.as_nanos().div_ceil(1_000_000);
    envelope.patience_millis = u32::try_from(millis).unwrap_or(u32::MAX).max(1);
    envelope.trace = trace;
    envelope.write(body).into()
}

/// Reads an answer. Answers have no topic: what they are is known.
pub(super) fn decode_reply<Q: AskRequest>(body: Bytes, codec: Codec) -> Result<Q::Reply, AskError> {
    use crate::payload::Format;
    type FormatOf<P> = <P as Payload>::Format;
    FormatOf::<Q::Reply>::decode(body, codec).map_err(AskError::Decode)
}
