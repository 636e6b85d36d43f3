//! The socket of a subscription, as far as subscriptions know it.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::event::{DeadLetterReason, SocketEvent};
use crate::id::Identity;
use crate::inbox::{Chunk, LetGo};
use crate::telemetry::Timings;

/// Hears of what becomes of received messages, and of subscribers.
pub(crate) trait SubscriptionHost: Debug + Send + Sync {
    /// Announces and counts a message of `peer` that no handler will handle.
    fn bury(
        &self,
        payload: Bytes,
        peer: Identity,
        reason: DeadLetterReason,
        detail: Option<String>,
    );

    /// Takes out of messages that have waited for a subscription what is no application's. `None` if nothing is left.
    fn take_out(&self, chunk: Chunk) -> Option<Chunk>;

    /// Counts a message that its sender keeps, because no handler will acknowledge it.
    fn note_returned(&self);

    /// Announces an event of the socket.
    fn announce(&self, event: &SocketEvent);
}

/// The settings and the outlets of a socket that all its subscriptions share.
#[derive(Debug)]
pub(crate) struct SubscriptionContext {
    host: Weak<dyn SubscriptionHost>,
    /// Deliveries of a message before it is given up.
    max_attempts: u32,
    timings: Arc<Timings>,
}

impl SubscriptionContext {
    pub(crate) fn new(
        host: Weak<dyn SubscriptionHost>,
        max_attempts: u32,
        timings: Arc<Timings>,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            max_attempts,
            timings,
        })
    }

    /// Where the times of handlers are counted.
    pub(super) const fn timings(&self) -> &Arc<Timings> {
        &self.timings
    }

    /// Deliveries of a message before it is given up; none for a socket that is gone.
    pub(super) fn max_attempts(&self) -> u32 {
        match self.host.strong_count() {
            0 => 0,
            _ => self.max_attempts,
        }
    }

    /// Announces a message that no handler will handle.
    pub(super) fn bury(
        &self,
        payload: Bytes,
        peer: Identity,
        reason: DeadLetterReason,
        detail: Option<String>,
    ) {
        if let Some(host) = self.host.upgrade() {
            host.bury(payload, peer, reason, detail);
        }
    }

    /// Takes out of messages that have waited for a subscription what is no application's. `None` if nothing is left.
    pub(super) fn take_out(&self, chunk: Chunk) -> Option<Chunk> {
        match self.host.upgrade() {
            Some(host) => host.take_out(chunk),
            None => Some(chunk),
        }
    }

    /// Counts a message that its sender keeps.
    fn note_returned(&self) {
        if let Some(host) = self.host.upgrade() {
            host.note_returned();
        }
    }

    /// Accounts for messages that came when the socket had ended its subscriptions: those that were
    /// sent at most once are dead letters, the others are sent again.
    pub(super) fn lose(&self, chunk: Chunk) {
        self.account_for(chunk, false);
    }

    /// The same for messages that were in an inbox: those that were acknowledged when they came nobody sends again.
    pub(super) fn lose_accepted(&self, chunk: Chunk) {
        let are_acknowledged = chunk.link().acknowledges_receipt();
        self.account_for(chunk, are_acknowledged);
    }

    fn account_for(&self, mut chunk: Chunk, are_acknowledged: bool) {
        if chunk.is_observed() {
            return;
        }
        chunk.link().handle_loss(&chunk.ids());
        let peer = chunk.link().peer();
        loop {
            let mark = chunk.bookmark();
            let Some(span) = chunk.next() else { break };
            if span.wants_ack() && !are_acknowledged {
                if chunk.give_up(mark) {
                    self.note_returned();
                }
            } else if chunk.let_go(mark) == LetGo::Unhandled {
                self.bury(chunk.payload(span), peer, DeadLetterReason::Closed, None);
            }
        }
    }

    /// Announces an event of the socket.
    pub(super) fn announce(&self, event: &SocketEvent) {
        if let Some(host) = self.host.upgrade() {
            host.announce(event);
        }
    }
}
