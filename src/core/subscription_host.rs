//! The socket as its subscriptions know it.

use bytes::Bytes;

use super::socket_core::SocketCore;
use crate::event::{DeadLetterReason, SocketEvent};
use crate::id::Identity;
use crate::subscription::SubscriptionHost;

impl SubscriptionHost for SocketCore {
    fn bury(
        &self,
        payload: Bytes,
        peer: Identity,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        if reason == DeadLetterReason::Closed {
            self.counters.note_unhandled();
        }
        self.events.bury_with(payload, Some(peer), reason, detail);
    }

    fn note_returned(&self) {
        self.counters.note_returned();
    }

    fn announce(&self, event: &SocketEvent) {
        self.events.announce(event);
    }
}
