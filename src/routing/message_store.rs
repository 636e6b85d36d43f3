//! What keeps the messages of a socket beyond its process.

use crate::outbox::{Journal, OutboxSettings};

/// The store of a socket's outbox.
#[derive(Debug)]
pub(super) struct MessageStore {
    pub(super) journal: Journal,
    pub(super) settings: OutboxSettings,
}
