//! Messages of an outbox, as its socket lists them.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::journal::{Journal, Listing};
use super::record::Record;
use crate::clock;
use crate::error::StoreError;
use crate::excerpt::Excerpt;
use crate::id::{Identity, MessageId};

/// A message that an outbox keeps, because it is not acknowledged. `{:?}` shows the beginning of its payload.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingMessage {
    /// Its id, by which receivers know it.
    pub id: MessageId,
    /// The peer that it is for; `None` for whomever is next in turn.
    pub peer: Option<Identity>,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// When it is no longer worth sending, if ever.
    pub expires: Option<SystemTime>,
    /// The message.
    pub payload: Bytes,
}

impl Journal {
    /// The messages that are stored, in their order, at most so many.
    pub(crate) async fn list(&self, limit: usize) -> Result<Vec<Record>, StoreError> {
        let (found, answer) = oneshot::channel();
        let closed = || StoreError::new("the outbox is closed");
        {
            let mut state = self.shared.state.lock();
            if state.closing {
                return Err(closed());
            }
            state.work.listings.push(Listing { limit, found });
            state.awaited = true;
        }
        self.shared.work_or_end.notify_one();
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl From<Record> for PendingMessage {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            peer: record.peer,
            accepted: clock::of_wall(record.accepted),
            expires: record.expires.map(clock::of_wall),
            payload: record.payload,
        }
    }
}

impl fmt::Debug for PendingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingMessage")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("accepted", &self.accepted)
            .field("expires", &self.expires)
            .field("payload", &Excerpt(&self.payload))
            .finish()
    }
}
