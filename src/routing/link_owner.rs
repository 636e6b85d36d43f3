//! The router as links know it: it is the socket that owns them.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::dedupe::DedupeWindows;
use super::router::Router;
use crate::id::{Identity, MessageId};
use crate::limits::Dedupe;
use crate::link::{Link, LinkOwner, LinkSettings, PeerDedupe, Uptime};

/// Hears that peers have read the replies that they owed us to read, so that what they have sent need wait no
/// longer.
pub(crate) trait DebtListener: Debug + Send + Sync {
    fn handle_debt_paid(&self);
}

/// What the links of a socket need of its receiving side.
#[derive(Debug)]
pub(super) struct Receiving {
    /// What peers have sent lately; `None` where repetitions are delivered.
    dedupe: Option<DedupeWindows>,
    debts: Arc<dyn DebtListener>,
}

impl Receiving {
    pub(super) fn new(dedupe: Option<Dedupe>, debts: Arc<dyn DebtListener>) -> Self {
        let dedupe = dedupe.map(DedupeWindows::new);
        Self { dedupe, debts }
    }

    pub(super) const fn dedupe(&self) -> Option<&DedupeWindows> {
        self.dedupe.as_ref()
    }
}

impl LinkOwner for Router {
    fn link_settings(&self) -> LinkSettings {
        LinkSettings {
            codec: self.config.codec,
            guarantee: self.config.guarantee,
            ack_policy: self.config.ack_policy,
            dedupes: self.receiving.dedupe.is_some(),
        }
    }

    fn uptime(&self) -> Uptime {
        self.lifecycle.uptime()
    }

    fn note_restless(&self) {
        Self::note_restless(self);
    }

    fn handle_debt_paid(&self) {
        self.receiving.debts.handle_debt_paid();
    }

    fn dedupe_of(&self, peer: Identity) -> Option<Arc<PeerDedupe>> {
        self.receiving.dedupe().map(|windows| windows.of(peer))
    }

    fn push_acks_to(&self, peer: Identity, ids: &[MessageId]) {
        if let Some(present) = self.link_to(peer) {
            present.push_acks(ids);
        }
    }
}

impl Router {
    /// The router of the socket that a link belongs to; `None` once that is gone.
    pub(crate) fn of(link: &Link) -> Option<Arc<Self>> {
        let owner: Arc<dyn Any + Send + Sync> = link.owner()?;
        owner.downcast().ok()
    }
}
