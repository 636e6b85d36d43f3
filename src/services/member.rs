//! One instance of a service that is followed.

use std::sync::Arc;
use std::time::Instant;

use super::event::ServiceEvent;
use super::report::{InstanceReport, InstanceStatus};
use crate::engine::service::{Candidate, Instance, InstanceChange, InstanceState, ProcessStart};
use crate::link::Link;

/// Whether an instance is chosen for an ask or for a tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Ask,
    /// Nobody answers it, so that it shows nothing of an instance that has failed, and leaves the trial of it to asks.
    Tell,
}

impl Purpose {
    /// True of an instance that is chosen only if there is no other one.
    pub(super) const fn is_last_resort(self, member: &Member) -> bool {
        matches!(self, Self::Tell) && member.instance.is_left_out()
    }
}

/// One instance, and the way to it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) link: Arc<Link>,
    pub(super) name: Arc<str>,
    pub(super) start: ProcessStart,
    pub(super) instance: Instance,
    pub(super) outstanding: usize,
    /// Asks of ours that it has answered; it may wrap.
    pub(super) answers: u32,
    /// Reads of the connection when the peer was found silent.
    pub(super) reads: u32,
}

impl Member {
    /// An instance that is about to be offered.
    pub(super) fn new(
        link: &Arc<Link>,
        name: &Arc<str>,
        start: ProcessStart,
        now: Instant,
    ) -> Self {
        Self {
            link: Arc::clone(link),
            name: Arc::clone(name),
            start,
            instance: Instance::new(now),
            outstanding: 0,
            answers: 0,
            reads: 0,
        }
    }

    pub(super) fn candidate(&self, tried: bool) -> Candidate {
        let outstanding = self.outstanding;
        match self.instance.state() {
            _ if self.instance.may_be_asked() && tried => Candidate::Tried { outstanding },
            _ if self.instance.may_be_asked() => Candidate::Open { outstanding },
            InstanceState::Busy { until } => Candidate::Busy { until },
            InstanceState::Ready
            | InstanceState::Draining
            | InstanceState::LeftOut(_)
            | InstanceState::Down { .. } => Candidate::Closed,
        }
    }

    /// What a change of it is to those who listen.
    pub(super) fn news(&self, change: InstanceChange) -> ServiceEvent {
        ServiceEvent::of(&self.name, self.link.peer(), change)
    }

    pub(super) fn report(&self, now: Instant) -> InstanceReport {
        let status = match self.instance.state() {
            InstanceState::Ready => InstanceStatus::Ready,
            InstanceState::Busy { until } => InstanceStatus::Busy {
                retry_after: until.saturating_duration_since(now),
            },
            InstanceState::Draining => InstanceStatus::Draining,
            InstanceState::LeftOut(_) => InstanceStatus::LeftOut,
            InstanceState::Down { .. } => InstanceStatus::Down,
        };
        InstanceReport {
            name: self.name.to_string(),
            peer: self.link.peer(),
            status,
            outstanding: self.outstanding,
        }
    }
}
