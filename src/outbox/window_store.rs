//! The way of a dedupe window into the store of the outbox.

use std::fmt;
use std::sync::Arc;

use super::journal::{Shared, WINDOW};
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

impl Shared {
    /// The dedupe window changes. What nobody waits for may take a while.
    pub(super) fn change_window(&self, change: WindowChange) {
        let mut state = self.state.lock();
        if state.closing {
            return;
        }
        if change.when_done.is_some() {
            state.awaited = true;
        } else {
            state.due.get_or_insert_with(|| clock::machine() + WINDOW);
        }
        state.work.window.push(change);
        drop(state);
        self.work_or_end.notify_one();
    }
}
