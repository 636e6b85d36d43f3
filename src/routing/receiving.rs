//! The receiving side of a socket, as far as its links need it.

use std::fmt::Debug;
use std::sync::Arc;

use super::dedupe::DedupeWindows;
use crate::limits::Dedupe;

/// Listener for peers that have read the replies they were behind with: their own messages need wait no
/// longer.
pub(crate) trait DebtListener: Debug + Send + Sync {
    fn handle_debt_paid(&self);
}

/// The receiving side of a socket, as its links need it.
#[derive(Debug)]
pub(super) struct ReceivingSide {
    /// Memory of the peers' messages; `None` where repetitions are delivered.
    dedupe: Option<DedupeWindows>,
    debts: Arc<dyn DebtListener>,
}

impl ReceivingSide {
    pub(super) fn new(dedupe: Option<Dedupe>, debts: Arc<dyn DebtListener>) -> Self {
        let dedupe = dedupe.map(DedupeWindows::new);
        Self { dedupe, debts }
    }

    pub(super) const fn dedupe(&self) -> Option<&DedupeWindows> {
        self.dedupe.as_ref()
    }

    pub(super) const fn dedupe_mut(&mut self) -> Option<&mut DedupeWindows> {
        self.dedupe.as_mut()
    }

    pub(super) fn handle_debt_paid(&self) {
        self.debts.handle_debt_paid();
    }
}
