//! The receiving side of a socket.

use std::sync::Arc;

use crate::ask::Asks;
use crate::inbox::{FrameBudget, ReadAheadBudget};
use crate::limits::Limits;
use crate::routing::DebtListener;
use crate::subscription::{SubscriptionContext, Subscriptions};

/// All that a socket receives into.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) asks: Arc<Asks>,
    /// Budget of frames that have begun to arrive.
    pub(crate) frame_budget: Arc<FrameBudget>,
    /// Budget of chunks that are read past full inboxes.
    pub(crate) read_ahead: Arc<ReadAheadBudget>,
    /// Shared by what was read and is held back until a store knows of it.
    pub(crate) held_back: Arc<()>,
}

impl Inbound {
    pub(super) fn new(limits: &Limits, context: Arc<SubscriptionContext>) -> Self {
        Self {
            subscriptions: Subscriptions::new(limits.inbox_capacity, context),
            asks: Arc::new(Asks::new()),
            frame_budget: Arc::new(FrameBudget::new(limits.memory_budget / 2)),
            read_ahead: Arc::new(ReadAheadBudget::new(limits.memory_budget / 4)),
            held_back: Arc::new(()),
        }
    }

    /// True if nothing that was received waits for a handler, or is with one.
    pub(super) fn is_handled(&self) -> bool {
        Arc::strong_count(&self.held_back) == 1 && self.subscriptions.in_hand() == 0
    }

    /// The settings have changed: sets the bounds of all inboxes and of unfinished frames. Readers that
    /// wait look again.
    pub(super) fn handle_limits(&self, limits: &Limits) {
        self.subscriptions.set_limits(limits.inbox_capacity);
        self.frame_budget.set_limit(limits.memory_budget / 2);
        self.read_ahead.set_limit(limits.memory_budget / 4);
        self.subscriptions.tell_readers();
        self.frame_budget.tell_all();
        self.read_ahead.tell_all();
    }
}

impl DebtListener for Subscriptions {
    fn handle_debt_paid(&self) {
        self.relieve();
    }
}
