//! Answers to messages that come by a link: the acknowledgement of a new one, and the reply to a
//! repetition.

use std::sync::{Arc, OnceLock};

use super::dedupe::PeerDedupe;
use super::owner::{LinkOwner, LinkSettings};
use crate::engine::Sighting;
use crate::id::{Identity, MessageId};
use crate::limits::AckPolicy;
use crate::wire::Verdict;

/// The answers of a link that has more to do than to acknowledge finished messages.
#[derive(Debug)]
pub(super) struct Answers {
    policy: AckPolicy,
    /// Memory of the peer's messages, once it has sent one that wants an acknowledgement.
    seen: OnceLock<Arc<PeerDedupe>>,
    /// Who is told, in place of the peer, of a link that is not one of a connection.
    redelivery: Option<Redelivery>,
}

/// What is done when messages have come to their end.
type OnEnd = dyn Fn(&[MessageId], Verdict) + Send + Sync;

/// Is told what became of messages that are delivered once more.
pub(crate) struct Redelivery(Box<OnEnd>);

impl Redelivery {
    pub(crate) fn new(end: impl Fn(&[MessageId], Verdict) + Send + Sync + 'static) -> Self {
        Self(Box::new(end))
    }

    /// Messages have come to their end.
    pub(super) fn end(&self, ids: &[MessageId], verdict: Verdict) {
        (self.0)(ids, verdict);
    }
}

impl std::fmt::Debug for Redelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redelivery")
    }
}

impl Answers {
    /// Follows the settings of the socket; `None` where finished messages are acknowledged,
    /// and nothing else.
    pub(super) fn of(settings: &LinkSettings) -> Option<Box<Self>> {
        let policy = settings.ack_policy;
        let plain = policy == AckPolicy::OnHandled && !settings.dedupes;
        (!plain).then(|| {
            Box::new(Self {
                policy,
                seen: OnceLock::new(),
                redelivery: None,
            })
        })
    }

    /// Those of messages that are delivered once more, of whose end `redelivery` is told.
    pub(super) fn of_redelivery(redelivery: Redelivery) -> Box<Self> {
        Box::new(Self {
            policy: AckPolicy::OnHandled,
            seen: OnceLock::new(),
            redelivery: Some(redelivery),
        })
    }

    pub(super) fn redelivery(&self) -> Option<&Redelivery> {
        self.redelivery.as_ref()
    }

    pub(super) const fn policy(&self) -> AckPolicy {
        self.policy
    }

    /// A message that wants an acknowledgement has come from `peer`.
    pub(super) fn handle_arrival(
        &self,
        owner: &dyn LinkOwner,
        peer: Identity,
        id: MessageId,
    ) -> Sighting {
        let seen = match self.seen.get() {
            Some(seen) => seen,
            None => match owner.dedupe_of(peer) {
                Some(seen) => self.seen.get_or_init(|| seen),
                None => return Sighting::New,
            },
        };
        seen.handle_arrival(owner.sweep_clock().uptime(), id)
    }

    /// The window in which the messages of the peer are remembered, if any are.
    pub(super) fn seen(&self) -> Option<&PeerDedupe> {
        self.seen.get().map(|seen| &**seen)
    }
}
