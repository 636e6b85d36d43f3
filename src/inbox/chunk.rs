//! Received frames on their way to a handler, many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::id::MessageId;
use crate::link::Link;
use crate::wire::{self, Envelope, Walk};

/// Whole frames of one connection, as they were read.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    link: Arc<Link>,
    bytes: Bytes,
    /// Where the next frame begins.
    at: usize,
    /// Messages from `at` on.
    messages: usize,
    /// Messages before `at`.
    ordinal: usize,
    /// Memory that the chunk keeps alive.
    cost: usize,
    /// How often the message at `at` has been delivered in vain.
    attempts: u32,
    /// For each message, how many gating subscriptions have yet to finish it; absent where there
    /// is only one.
    open: Option<Arc<[AtomicU32]>>,
}

/// One message of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct RawMessage {
    /// Present when the sender wants an acknowledgement.
    pub(crate) id: Option<MessageId>,
    pub(crate) payload: Bytes,
}

/// Where a message is, so that it can be delivered again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    at: usize,
    messages: usize,
    ordinal: usize,
    attempts: u32,
}

impl Mark {
    /// How often the message has been delivered in vain.
    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Chunk {
    /// Frames that the reader has checked: `bytes` holds whole frames, `messages` of them DATA or
    /// DATA_REQ, and keeps `cost` bytes allocated.
    pub(crate) fn new(link: Arc<Link>, bytes: Bytes, messages: usize, cost: usize) -> Self {
        Self {
            link,
            bytes,
            at: 0,
            messages,
            ordinal: 0,
            cost,
            attempts: 0,
            open: None,
        }
    }

    /// The same frames for each of `subscriptions`, which share their acknowledgements.
    pub(crate) fn share(&mut self, subscriptions: u32) {
        self.open = Some(
            (0..self.messages)
                .map(|_| AtomicU32::new(subscriptions))
                .collect(),
        );
    }

    #[inline]
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    #[inline]
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Where the next message is.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            messages: self.messages,
            ordinal: self.ordinal,
            attempts: self.attempts,
        }
    }

    /// Goes back to a message, to deliver it once more.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.at = mark.at;
        self.messages = mark.messages;
        self.ordinal = mark.ordinal;
        self.attempts = mark.attempts + 1;
    }

    /// A chunk that holds only the message at `mark`. Its memory stays on the account of this one.
    pub(crate) fn only(&self, mark: Mark) -> Self {
        let mut one = self.clone();
        one.cost = 0;
        one.at = mark.at;
        one.messages = 1;
        one.ordinal = mark.ordinal;
        one.attempts = mark.attempts;
        one
    }

    /// Takes the next message out as a chunk of its own; the cost stays with the rest.
    pub(crate) fn split_first(&mut self) -> Self {
        let one = self.only(self.mark());
        let _ = self.next();
        one
    }

    /// Whether the message at `mark` is now finished by every subscription that it went to.
    pub(crate) fn finish(&self, mark: Mark) -> bool {
        self.open
            .as_ref()
            .and_then(|open| open.get(mark.ordinal))
            .is_none_or(|open| open.fetch_sub(1, Ordering::AcqRel) == 1)
    }

    /// The ids of its messages that want an acknowledgement.
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        let mut rest = self.clone();
        std::iter::from_fn(|| rest.next())
            .filter_map(|message| message.id)
            .collect()
    }

    /// Takes the next message, without copying it.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<RawMessage> {
        while self.messages > 0 {
            let Ok(Walk::Frame(frame)) = wire::walk(&self.bytes[self.at..], u32::MAX) else {
                // The reader handed over whole frames only.
                self.messages = 0;
                return None;
            };
            let (id, payload) = match Envelope::decode(frame.envelope) {
                Ok(Envelope::Data(payload)) => (None, payload),
                Ok(Envelope::DataReq(id, payload)) => (Some(id), payload),
                Ok(
                    Envelope::Hello { .. }
                    | Envelope::Heartbeat
                    | Envelope::Ack(_)
                    | Envelope::Unknown(_),
                )
                | Err(_) => {
                    self.at += frame.len();
                    continue;
                }
            };
            let end = self.at + frame.len();
            let payload = self.bytes.slice(end - payload.len()..end);
            self.at = end;
            self.messages -= 1;
            self.ordinal += 1;
            self.attempts = 0;
            return Some(RawMessage { id, payload });
        }
        None
    }
}
