//! Messages of the socket in the hand of the bridge.

use std::collections::VecDeque;
use std::time::Duration;

use actix_aiomsg::{Identity, Received};
use bytes::Bytes;

use crate::ids::outbound_id;
use crate::shared::Shared;
use crate::stats::{Holding, add};

/// A message of the socket that the bridge has. Dropped without a word, it is back in the inbox if its sender wants an acknowledgement, and a
/// dead letter if not.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    message: Option<Received>,
    pub(crate) payload: Bytes,
    pub(crate) peer: Identity,
    /// The `Nats-Msg-Id`, of a message that was sent at least once.
    pub(crate) id: Option<String>,
    shared: &'a Shared,
    _holding: Holding<'a>,
}

impl<'a> Held<'a> {
    pub(crate) fn new(shared: &'a Shared, message: Received) -> Self {
        let payload = message.payload().clone();
        let counters = &shared.counters;
        Self {
            peer: message.peer(),
            id: message.origin().map(outbound_id),
            shared,
            _holding: Holding::new(&counters.storing, &counters.storing_bytes, payload.len()),
            payload,
            message: Some(message),
        }
    }

    /// True if it is to be published until it is taken.
    pub(crate) fn is_at_least_once(&self) -> bool {
        self.id.is_some()
    }

    /// The sender has its acknowledgement now.
    pub(crate) fn acknowledge(mut self) {
        if let Some(message) = self.message.take() {
            message.ack();
        }
    }

    /// The sender is told that this message will never be taken.
    pub(crate) fn refuse(mut self, reason: &str) {
        if let Some(message) = self.message.take() {
            add(&self.shared.counters.refused);
            message.reject();
            self.shared.refused(Some(self.peer), reason);
        }
    }

    /// It could not be published: at least once, it goes back to the inbox; at most once, it is a dead letter.
    pub(crate) fn fail(self) {
        if !self.is_at_least_once() {
            self.give_up();
        }
    }

    /// A message at most once is not published again: a dead letter.
    pub(crate) fn give_up(mut self) {
        if let Some(message) = self.message.take() {
            add(&self.shared.counters.given_up);
            message.reject();
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            message.nack(Duration::ZERO);
        }
    }
}

/// Messages in the order in which they came, and in which they go back.
#[derive(Debug, Default)]
pub(crate) struct Row<'a>(pub(crate) VecDeque<Held<'a>>);

impl Drop for Row<'_> {
    fn drop(&mut self) {
        // Each goes to the front of the inbox, so the last one first.
        while self.0.pop_back().is_some() {}
    }
}
