//! News of the instances of a service.

use std::time::Duration;

use crate::engine::service::{InstanceChange, InstanceDown, InstanceUp};
use crate::id::Identity;

/// News of an instance of a service, as [`Service::events`](crate::service::Service::events) yields them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// It is asked from now on.
    Up {
        /// The name of the instance.
        instance: String,
        /// The peer that offers it.
        peer: Identity,
        /// The reason.
        reason: InstanceUpReason,
    },
    /// Its provider has no room, and says that it may have some after this time.
    Busy {
        /// The name of the instance.
        instance: String,
        /// The peer that offers it.
        peer: Identity,
        /// That time.
        retry_after: Duration,
    },
    /// Its provider is about to end: nothing more goes there.
    Draining {
        /// The name of the instance.
        instance: String,
        /// The peer that offers it.
        peer: Identity,
    },
    /// It is asked no more.
    Down {
        /// The name of the instance.
        instance: String,
        /// The peer that offered it.
        peer: Identity,
        /// The reason.
        reason: InstanceDownReason,
    },
    /// So many events were missed, because they were not taken fast enough.
    Lagged(u64),
}

/// Why an instance of a service is asked from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstanceUpReason {
    /// Its peer offers it.
    Offered,
    /// A new process offers it.
    Restarted,
    /// It has room again.
    Recovered,
    /// Its peer, which had been silent, has said something.
    Heard,
    /// It had failed several times, and has answered.
    Answered,
    /// The peer that held its name has left it.
    NameFree,
}

/// Why an instance of a service is asked no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstanceDownReason {
    /// Its peer no longer offers it.
    Withdrawn,
    /// The connection of its peer has ended.
    Disconnected,
    /// An ask timed out, and meanwhile nothing at all came from its peer.
    Silent,
    /// Five asks in a row timed out.
    Failing,
    /// Another peer holds its name.
    SecondHolder,
}

impl ServiceEvent {
    pub(super) fn of(instance: &str, peer: Identity, change: InstanceChange) -> Self {
        let instance = instance.to_owned();
        match change {
            InstanceChange::Up(up) => Self::Up {
                instance,
                peer,
                reason: match up {
                    InstanceUp::Offered => InstanceUpReason::Offered,
                    InstanceUp::Restarted => InstanceUpReason::Restarted,
                    InstanceUp::Recovered => InstanceUpReason::Recovered,
                    InstanceUp::Heard => InstanceUpReason::Heard,
                    InstanceUp::Answered => InstanceUpReason::Answered,
                    InstanceUp::NameFree => InstanceUpReason::NameFree,
                },
            },
            InstanceChange::Busy { retry_after } => Self::Busy {
                instance,
                peer,
                retry_after,
            },
            InstanceChange::Draining => Self::Draining { instance, peer },
            InstanceChange::Down(down) => Self::Down {
                instance,
                peer,
                reason: match down {
                    InstanceDown::Withdrawn => InstanceDownReason::Withdrawn,
                    InstanceDown::Disconnected => InstanceDownReason::Disconnected,
                    InstanceDown::Silent => InstanceDownReason::Silent,
                    InstanceDown::Failing => InstanceDownReason::Failing,
                    InstanceDown::SecondHolder => InstanceDownReason::SecondHolder,
                },
            },
        }
    }
}
