//! An ask on its way into a link.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::sending::Sending;
use crate::clock;
use crate::error::SendError;
use crate::limits::DeliveryGuarantee;
use crate::payload::AskEnvelope;

/// Sends an ask. However long it has to wait for room, it says for how long its asker waits from when it is taken.
pub(crate) struct SendingAsk<'a> {
    sending: Sending<'a>,
    deadline: Instant,
}

impl<'a> SendingAsk<'a> {
    /// An ask whose asker waits until this deadline.
    pub(crate) fn new(sending: Sending<'a>, deadline: Instant) -> Self {
        let sending = sending
            .guarantee(DeliveryGuarantee::AtMostOnce)
            .expires_at(deadline);
        Self { sending, deadline }
    }

    /// Sends it without waiting.
    pub(crate) fn try_now(mut self) -> Result<(), SendError> {
        self.note_patience();
        self.sending.try_now()
    }

    fn note_patience(&mut self) {
        if let Some(payload) = self.sending.payload_mut() {
            let left = self.deadline.saturating_duration_since(clock::now());
            AskEnvelope::note_patience(payload, left);
        }
    }
}

impl Future for SendingAsk<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Each turn may be the one in which it is taken.
        self.note_patience();
        Pin::new(&mut self.sending).poll(cx)
    }
}
