//! The socket as its links know it.

use std::any::Any;
use std::sync::Arc;

use super::SocketCore;
use crate::id::{Identity, MessageId};
use crate::link::{Link, LinkOwner, LinkSettings, PeerDedupe, Uptime};

impl LinkOwner for SocketCore {
    fn link_settings(&self) -> LinkSettings {
        LinkSettings {
            codec: self.config.codec,
            guarantee: self.config.guarantee,
            ack_policy: self.config.ack_policy,
            dedupes: self.memories.is_some(),
        }
    }

    fn uptime(&self) -> Uptime {
        Self::uptime(self)
    }

    fn note_restless(&self) {
        Self::note_restless(self);
    }

    fn handle_debt_paid(&self) {
        self.subscriptions.relieve();
    }

    fn dedupe_of(&self, peer: Identity) -> Option<Arc<PeerDedupe>> {
        self.memories.as_ref().map(|windows| windows.of(peer))
    }

    fn push_acks_to(&self, peer: Identity, ids: &[MessageId]) {
        if let Some(present) = self.link_to(peer) {
            present.push_acks(ids);
        }
    }
}

impl SocketCore {
    /// The socket that a link belongs to; `None` once that is gone.
    pub(crate) fn of(link: &Link) -> Option<Arc<Self>> {
        let owner: Arc<dyn Any + Send + Sync> = link.owner()?;
        owner.downcast().ok()
    }
}
