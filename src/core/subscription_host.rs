//! The socket as its subscriptions know it.

use bytes::Bytes;

use super::socket_core::SocketCore;
use crate::announcements::Burial;
use crate::event::{DeadLetterReason, SocketEvent};
use crate::id::Identity;
use crate::inbox::Chunk;
use crate::subscription::SubscriptionHost;

impl SubscriptionHost for SocketCore {
    fn bury(
        &self,
        payload: Bytes,
        peer: Identity,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        let is_nobodys = match reason {
            DeadLetterReason::Closed | DeadLetterReason::Unwanted | DeadLetterReason::Unclaimed => {
                self.inbound.asks.drop_cancel(&payload)
            }
            _ => false,
        };
        if is_nobodys {
            return;
        }
        if reason == DeadLetterReason::Closed {
            self.counters.note_unhandled();
        }
        let burial = Burial::received(payload, peer, reason);
        self.events.bury(Burial { detail, ..burial });
    }

    fn take_out(&self, chunk: Chunk) -> Option<Chunk> {
        let asks = &self.inbound.asks;
        match asks.are_active() {
            true => asks.intercept(chunk),
            false => Some(chunk),
        }
    }

    fn note_returned(&self) {
        self.counters.note_returned();
    }

    fn announce(&self, event: &SocketEvent) {
        self.events.announce(event);
    }
}
