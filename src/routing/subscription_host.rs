//! The socket as its subscriptions know it.

use bytes::Bytes;

use super::SocketCore;
use crate::event::{DeadLetterReason, SocketEvent};
use crate::id::Identity;
use crate::subscription::SubscriptionHost;
use crate::sync::Ordering;

impl SubscriptionHost for SocketCore {
    fn bury(
        &self,
        payload: Bytes,
        peer: Identity,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        if reason == DeadLetterReason::Closed {
            self.counters.unhandled.fetch_add(1, Ordering::Relaxed);
        }
        self.bury_letter(payload, Some(peer), reason, detail);
    }

    fn note_returned(&self) {
        self.counters.returned.fetch_add(1, Ordering::Relaxed);
    }

    fn announce(&self, event: &SocketEvent) {
        self.socket_events.announce(event);
    }
}
