//! The end of an incarnation, as watchers are told.

use std::fmt;
use std::sync::Arc;

use super::panics::PanicReport;
use super::policy::{Cause, Escalation};

/// The end of an incarnation that was watched.
#[derive(Clone, Debug, PartialEq, Eq, actix::Message)]
#[rtype(result = "()")]
pub struct Down {
    /// The name of the actor.
    pub actor: Arc<str>,
    /// The cause.
    pub reason: ExitReason,
}

/// The cause of the end of an incarnation, or of an actor or tree for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// A panic. Unless its policy says otherwise, the actor is being restarted.
    Panicked(PanicReport),
    /// A stop: by itself, by its tree or its handle, or because its arbiter ended.
    Stopped,
    /// The failure of the actor with this name, to which it was linked.
    Linked(Arc<str>),
    /// Its supervisor gave it up; it stays down.
    Escalated(Escalation),
    /// No incarnation to watch: the address does not lead to a supervised actor, or the actor had ended before.
    Unsupervised,
}

impl From<&Cause> for ExitReason {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Stopped | Cause::Unaddressed | Cause::Halted => Self::Stopped,
            Cause::Panicked(panic) => Self::Panicked(panic.clone()),
            Cause::Linked(peer) => Self::Linked(Arc::clone(peer)),
            Cause::Escalated(escalation) => Self::Escalated(escalation.clone()),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => panic.fmt(f),
            Self::Stopped => f.write_str("stopped"),
            Self::Linked(peer) => write!(f, "was linked to {peer}, which failed"),
            Self::Escalated(escalation) => escalation.fmt(f),
            Self::Unsupervised => f.write_str("is not supervised"),
        }
    }
}
