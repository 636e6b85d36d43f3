//! The answer of an authorizer.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use actix::MessageResponse;

use super::service_rights::{ServiceNames, ServiceRights};
use crate::id::Identity;

/// An authorizer's decision: the peer comes in under some identity, or is refused.
#[derive(Clone, Debug, MessageResponse)]
#[must_use = "an admission decides nothing until an authorizer answers with it"]
pub struct Admission {
    pub(crate) verdict: Verdict,
    pub(crate) principal: Option<Principal>,
    pub(crate) rights: ServiceRights,
}

/// Decision about a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Under the identity that it says it has.
    Admit,
    /// Under this one.
    AdmitAs(Identity),
    /// For this reason not.
    Refuse(String),
    /// The authorizer could not decide.
    Failed,
}

/// The authorizer's own value for a peer, for the handlers of its messages.
#[derive(Clone)]
pub(crate) struct Principal(Arc<dyn Any + Send + Sync>);

impl Principal {
    pub(crate) fn downcast<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Principal")
    }
}

impl Admission {
    /// The peer may come in, as who it says it is. That is not proved: a peer that may choose its
    /// identity can choose one that another peer is waited for under.
    pub fn admit() -> Self {
        Self::of(Verdict::Admit)
    }

    /// The peer may come in under this identity, whatever it says. Messages from it carry this
    /// one, and messages to this one reach it; the peer itself notices nothing.
    ///
    /// Where all identities are given like this, from what a peer has proved, nobody can take
    /// another's. A second connection under an identity that is connected is refused like any
    /// duplicate (WIRE §4.3).
    pub fn admit_as(identity: Identity) -> Self {
        Self::of(Verdict::AdmitAs(identity))
    }

    /// The peer may not come in. The reason is for our own events and logs; of our connections, a
    /// WebSocket peer is told that it was refused (close code 1008), and others find their
    /// connection closed before our HELLO.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self::of(Verdict::Refuse(reason.into()))
    }

    /// Keeps a value with the peer, as long as it is connected: its user, or what it may do. Every
    /// message from it has it, see [`Received::principal`](crate::Received::principal).
    pub fn with_principal<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.principal = Some(Principal(Arc::new(value)));
        self
    }

    /// The [services](mod@crate::service) that the peer may offer to us. Default: none, where there is an authorizer. What else it
    /// offers is not known here, and gets nothing.
    pub fn may_offer(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rights.offer = ServiceNames::of(names);
        self
    }

    /// The [services](mod@crate::service) of ours that the peer may ask, and tell anything. Default: none, where there is an
    /// authorizer. It is refused the others.
    pub fn may_ask(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rights.ask = ServiceNames::of(names);
        self
    }

    pub(crate) fn failed() -> Self {
        Self::of(Verdict::Failed)
    }

    fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            principal: None,
            rights: ServiceRights::none(),
        }
    }
}
