//! The answers to what comes by a link: when a message is acknowledged, and what becomes of one that
//! has come before.

use std::sync::{Arc, OnceLock};

use super::dedupe::PeerDedupe;
use super::{Link, LinkOwner, LinkSettings};
use crate::engine::Sighting;
use crate::id::MessageId;
use crate::limits::AckPolicy;

/// How a link that has more to do than to acknowledge what is finished answers.
#[derive(Debug)]
pub(crate) struct Incoming {
    policy: AckPolicy,
    /// What the peer has sent lately, once it has sent anything that wants an acknowledgement.
    memory: OnceLock<Arc<PeerDedupe>>,
}

impl Incoming {
    /// What the settings of the socket ask for; `None` where finished messages are acknowledged,
    /// and nothing else.
    pub(super) fn of(settings: &LinkSettings) -> Option<Self> {
        let policy = settings.ack_policy;
        let plain = policy == AckPolicy::OnHandled && !settings.dedupes;
        (!plain).then(|| Self {
            policy,
            memory: OnceLock::new(),
        })
    }
}

impl Link {
    /// Whether messages that come by this link are looked at before they are handed on.
    #[inline]
    pub(crate) fn screens(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether what comes by this link is acknowledged when it enters the inbox.
    #[inline]
    pub(crate) fn acknowledges_receipt(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.is_some_and(|incoming| incoming.policy == AckPolicy::OnReceipt)
    }

    /// A message that wants an acknowledgement has come.
    pub(crate) fn handle_arrival(&self, owner: &dyn LinkOwner, id: MessageId) -> Sighting {
        let Some(incoming) = &self.incoming else {
            return Sighting::New;
        };
        let memory = match incoming.memory.get() {
            Some(memory) => memory,
            None => {
                let Some(memory) = owner.dedupe_of(self.peer) else {
                    return Sighting::New;
                };
                incoming.memory.get_or_init(|| memory)
            }
        };
        memory.handle_arrival(owner.uptime(), id)
    }

    /// Messages enter the inboxes of all that get them, under a policy that acknowledges that.
    pub(crate) fn handle_receipt(&self, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        self.remember_finished(ids);
        self.push_acks(ids);
    }

    /// Messages are dropped before anybody could handle them, and without an acknowledgement: if
    /// they come again, they are to be delivered.
    pub(crate) fn handle_loss(&self, ids: &[MessageId]) {
        if let Some(memory) = self.incoming.as_ref().and_then(|i| i.memory.get()) {
            ids.iter().for_each(|&id| memory.handle_loss(id));
        }
    }

    /// Messages are finished: acknowledges them.
    #[inline]
    pub(crate) fn handle_finished(&self, ids: &[MessageId]) {
        match &self.incoming {
            None => {
                self.push_acks(ids);
            }
            Some(incoming) => self.finish_screened(incoming.policy, ids),
        }
    }

    #[cold]
    fn finish_screened(&self, policy: AckPolicy, ids: &[MessageId]) {
        if policy == AckPolicy::OnReceipt {
            return;
        }
        let remembered = self.remember_finished(ids);
        if self.push_acks(ids) || !remembered {
            return;
        }
        // The connection is gone. If the peer is back, it may have resent them by its new one, where
        // they were absorbed; if it has not, it ignores the acknowledgements.
        if let Some(owner) = self.owner() {
            owner.push_acks_to(self.peer, ids);
        }
    }

    /// False where nothing is remembered.
    fn remember_finished(&self, ids: &[MessageId]) -> bool {
        let memory = self.incoming.as_ref().and_then(|i| i.memory.get());
        let (Some(memory), Some(owner)) = (memory, self.owner()) else {
            return false;
        };
        memory.handle_finish(owner.uptime(), ids);
        true
    }
}
