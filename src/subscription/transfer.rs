//! Moves of messages from where they wait to the subscriptions that want them now.
//!
//! One thread at a time moves messages. While it does, new messages wait in the inboxes behind those that are moved, so that none
//! overtakes an older one of its connection.

use std::sync::Arc;

use super::one_subscription::Subscription;
use crate::sync::{Mutex, MutexGuard};

/// The moves of one socket.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Set while somebody moves messages.
    busy: bool,
    /// Messages may have come since the mover looked last.
    again: bool,
    /// Subscriptions that have left, whose messages are to be moved.
    left: Vec<Arc<Subscription>>,
    /// Subscriptions in whose inboxes new messages wait for those that are moved.
    held: Vec<Arc<Subscription>>,
}

impl Transfers {
    /// The list of subscriptions changes only under this.
    pub(super) fn lock(&self) -> TransferLock<'_> {
        TransferLock {
            transfers: self,
            state: self.state.lock(),
        }
    }
}

/// The right to change the list of subscriptions, and to have messages moved.
pub(super) struct TransferLock<'a> {
    transfers: &'a Transfers,
    state: MutexGuard<'a, State>,
}

impl<'a> TransferLock<'a> {
    /// From now on, and until the move has ended, new messages for this subscription wait for those that are moved.
    pub(super) fn hold(&mut self, subscription: &Arc<Subscription>) {
        if subscription.inbox.hold() {
            self.state.held.push(Arc::clone(subscription));
        }
    }

    /// Begins a move, also of the messages of a subscription that has left. `None` if somebody is at work, who will look again.
    pub(super) fn begin(mut self, left: Option<Arc<Subscription>>) -> Option<Mover<'a>> {
        let state = &mut *self.state;
        let is_known = |new: &Arc<Subscription>| state.left.iter().any(|old| Arc::ptr_eq(old, new));
        let new = left.filter(|new| !is_known(new));
        state.left.extend(new);
        state.again = true;
        match std::mem::replace(&mut state.busy, true) {
            true => None,
            false => Some(Mover {
                transfers: self.transfers,
                ended: false,
            }),
        }
    }
}

/// The only one that moves messages. The move ends when it is dropped.
#[must_use = "whoever has it moves the messages"]
pub(super) struct Mover<'a> {
    transfers: &'a Transfers,
    ended: bool,
}

impl Mover<'_> {
    /// The subscriptions that have left since the last look; the unclaimed messages are to be moved after theirs. `None` when nothing is
    /// left to be moved, and the move has ended.
    pub(super) fn next(&mut self) -> Option<Vec<Arc<Subscription>>> {
        let mut state = self.transfers.state.lock();
        if std::mem::take(&mut state.again) {
            return Some(std::mem::take(&mut state.left));
        }
        self.ended = true;
        end(state);
        None
    }
}

impl Drop for Mover<'_> {
    /// If it is cut short by a panic, new messages go on all the same.
    fn drop(&mut self) {
        if !self.ended {
            end(self.transfers.state.lock());
        }
    }
}

/// Ends the move: new messages are no longer held back.
fn end(mut state: MutexGuard<'_, State>) {
    state.busy = false;
    let held = std::mem::take(&mut state.held);
    for subscription in &held {
        subscription.inbox.unhold();
    }
    drop(state);
    for subscription in held {
        subscription.inbox.consumers.notify();
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "transfer_tests.rs"]
mod tests;
