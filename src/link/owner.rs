//! The socket of a link, as far as the link knows it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::dedupe::PeerDedupe;
use crate::id::{Identity, MessageId};
use crate::lifecycle::SweepClock;
use crate::limits::AckPolicy;
use crate::payload::Codec;
use crate::wire::Verdict;

/// Serves a link with what only its whole socket knows or can do. None of it is called with the lock of a
/// link held.
pub(crate) trait LinkOwner: Any + Debug + Send + Sync {
    /// The place for what all its links share.
    fn link_commons(&self) -> &OnceLock<Arc<LinkCommons>>;

    /// The settings that hold for the life of a link.
    fn link_settings(&self) -> LinkSettings;

    /// The socket's coarse clock, which the link keeps.
    fn sweep_clock(&self) -> Arc<SweepClock>;

    /// Tells the inboxes that a peer has read its replies, so that its messages need wait no longer.
    fn handle_debt_paid(&self);

    /// The dedupe window of a peer. `None` on a socket that delivers repetitions.
    fn dedupe_of(&self, peer: Identity) -> Option<Arc<PeerDedupe>>;

    /// Says what became of messages, by the link that their sender has now, if it has one.
    fn push_verdict_to(&self, peer: Identity, ids: &[MessageId], verdict: Verdict);

    /// Takes messages that were lost for new ones if their sender sends them again, by the link that it has now.
    fn forget_arrivals_from(&self, peer: Identity, ids: &[MessageId]);
}

/// What all links of a socket share, so that each keeps one handle of it.
#[derive(Debug)]
pub(crate) struct LinkCommons {
    owner: Weak<dyn LinkOwner>,
    pub(super) clock: Arc<SweepClock>,
    pub(super) settings: LinkSettings,
    /// Messages that went without their metadata, to peers that do not read it.
    metadata_left_out: AtomicU64,
}

impl LinkCommons {
    /// Those of the links of `owner`.
    pub(super) fn of(owner: Weak<impl LinkOwner>) -> Arc<Self> {
        let Some(present) = owner.upgrade() else {
            return Arc::new(Self {
                owner,
                clock: Arc::default(),
                settings: LinkSettings::default(),
                metadata_left_out: AtomicU64::new(0),
            });
        };
        let commons = present.link_commons().get_or_init(|| {
            Arc::new(Self {
                owner,
                clock: present.sweep_clock(),
                settings: present.link_settings(),
                metadata_left_out: AtomicU64::new(0),
            })
        });
        Arc::clone(commons)
    }

    #[cold]
    pub(super) fn note_metadata_left_out(&self, messages: usize) {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        self.metadata_left_out
            .fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that went without their metadata, to peers that do not read it.
    pub(crate) fn metadata_left_out(&self) -> u64 {
        self.metadata_left_out.load(Ordering::Relaxed)
    }

    /// The socket; `None` once that is gone.
    pub(super) fn owner(&self) -> Option<Arc<dyn LinkOwner>> {
        self.owner.upgrade()
    }
}

/// The settings of a socket that its links follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LinkSettings {
    /// Encodes replies.
    pub(crate) codec: Codec,
    /// True if replies are sent at least once or have spans, so that they never go without the lock.
    pub(crate) locked_replies: bool,
    pub(crate) ack_policy: AckPolicy,
    /// True if repetitions are found, and not delivered.
    pub(crate) dedupes: bool,
}

/// The owner of links in tests, which is never there.
#[cfg(test)]
#[derive(Debug)]
pub(super) enum Nobody {}

#[cfg(test)]
impl LinkOwner for Nobody {
    fn link_commons(&self) -> &OnceLock<Arc<LinkCommons>> {
        match *self {}
    }

    fn link_settings(&self) -> LinkSettings {
        match *self {}
    }

    fn sweep_clock(&self) -> Arc<SweepClock> {
        match *self {}
    }

    fn handle_debt_paid(&self) {
        match *self {}
    }

    fn dedupe_of(&self, _: Identity) -> Option<Arc<PeerDedupe>> {
        match *self {}
    }

    fn push_verdict_to(&self, _: Identity, _: &[MessageId], _: Verdict) {
        match *self {}
    }

    fn forget_arrivals_from(&self, _: Identity, _: &[MessageId]) {
        match *self {}
    }
}
