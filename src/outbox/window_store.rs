//! The way of a dedupe window into the store of the outbox.

use std::fmt;
use std::sync::Arc;

use super::journal::Shared;
use super::window::{WhenCommitted, WindowChange, WindowMark};
use crate::clock;
use crate::id::{Identity, MessageId};

/// The way of a dedupe window into the store. While the store fails, what is to be done stays undone.
#[derive(Clone)]
pub(crate) struct WindowStore(Arc<Shared>);

impl WindowStore {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Messages of a peer are marked. Once that is committed, `when_done` is called, by the thread that has the store;
    /// never if the socket ends before.
    pub(crate) fn mark(
        &self,
        peer: Identity,
        ids: Vec<MessageId>,
        mark: WindowMark,
        when_done: Option<WhenCommitted>,
    ) {
        if !ids.is_empty() {
            self.0.change_window(WindowChange {
                peer,
                ids,
                mark,
                wall: clock::wall(),
                when_done,
            });
        }
    }
}

impl fmt::Debug for WindowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowStore").finish_non_exhaustive()
    }
}
