//! What keeps the messages of a socket beyond its process.

use parking_lot::Mutex;

use super::set_aside::SetAside;
use crate::outbox::{Journal, OutboxSettings};

/// The store of a socket's outbox.
#[derive(Debug)]
pub(super) struct MessageStore {
    pub(super) journal: Journal,
    pub(super) settings: OutboxSettings,
    pub(super) set_aside: Mutex<SetAside>,
}
