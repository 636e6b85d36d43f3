//! The router as links know it: it is the socket that owns them.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::router::Router;
use crate::id::{Identity, MessageId};
use crate::lifecycle::SweepClock;
use crate::limits::DeliveryGuarantee;
use crate::link::{Link, LinkCommons, LinkOwner, LinkSettings, PeerDedupe};
use crate::wire::Verdict;

impl LinkOwner for Router {
    fn link_commons(&self) -> &OnceLock<Arc<LinkCommons>> {
        &self.link_commons
    }

    fn link_settings(&self) -> LinkSettings {
        LinkSettings {
            codec: self.config.codec,
            locked_replies: self.config.guarantee == DeliveryGuarantee::AtLeastOnce
                || self.config.tracing.is_on(),
            ack_policy: self.config.ack_policy,
            dedupes: self.receiving.dedupe().is_some(),
        }
    }

    fn sweep_clock(&self) -> Arc<SweepClock> {
        Arc::clone(self.lifecycle.sweep_clock())
    }

    fn handle_debt_paid(&self) {
        self.receiving.handle_debt_paid();
    }

    fn dedupe_of(&self, peer: Identity) -> Option<Arc<PeerDedupe>> {
        self.receiving.dedupe().map(|windows| windows.of(peer))
    }

    fn push_verdict_to(&self, peer: Identity, ids: &[MessageId], verdict: Verdict) {
        if let Some(present) = self.link_to(peer) {
            present.push_verdict(ids, verdict);
        }
    }

    fn forget_arrivals_from(&self, peer: Identity, ids: &[MessageId]) {
        if let Some(present) = self.link_for_no_message(peer) {
            present.forget_arrivals(ids);
        }
    }
}

impl Router {
    /// Messages that went without their metadata, to peers that do not read it.
    pub(crate) fn metadata_left_out(&self) -> u64 {
        let commons = self.link_commons.get();
        commons.map_or(0, |commons| commons.metadata_left_out())
    }

    /// The router of the socket that a link belongs to; `None` once that is gone.
    pub(crate) fn of(link: &Link) -> Option<Arc<Self>> {
        let owner: Arc<dyn Any + Send + Sync> = link.owner()?;
        owner.downcast().ok()
    }
}
