//! The health of a socket, by what its parts know.

use std::time::Duration;

use super::socket_core::SocketCore;
use crate::health::{Health, HealthCriteria, HealthFacts};
use crate::limits::Capacity;
use crate::timer::longest_blocked;

impl SocketCore {
    /// True if a thread of the socket has not had its turn for so long.
    pub(crate) fn is_blocked_for(&self, time: Duration) -> bool {
        longest_blocked(&self.standing.threads()).is_some_and(|blocked| blocked.since >= time)
    }

    /// The health of the socket now.
    pub(crate) fn health(&self, criteria: &HealthCriteria) -> Health {
        let closed = self.lifecycle.is_closed().then(|| {
            let reason = self.lifecycle.reason();
            reason.unwrap_or_default().to_owned()
        });
        let totals = self.router.totals();
        // Of a closed socket nobody wants anything any more.
        let blocked = match closed.is_some() {
            true => None,
            false => longest_blocked(&self.standing.threads()),
        };
        criteria.judge(HealthFacts {
            listens: self.standing.listens(),
            closed,
            draining: !self.lifecycle.is_open() || !self.lifecycle.is_receiving(),
            given_up: self.standing.given_up(),
            peers: totals.peers,
            outbox: Capacity::new(totals.outbox.0, totals.outbox.1),
            blocked: blocked.map(|blocked| (blocked.actor(), blocked.since)),
        })
    }
}
