//! The health of a socket.

use super::handle::Socket;
use crate::health::{Health, HealthCriteria};

impl Socket {
    /// Whether the socket is alive, whether it is ready, and why not: for the probes of an orchestrator. It is ready
    /// while it listens somewhere, is not draining, and nothing of it was given up.
    pub fn health(&self) -> Health {
        self.health_with(&HealthCriteria::new())
    }

    /// [`health`](Self::health) by other criteria. It takes a lock for a moment, as [`stats`](Self::stats) does.
    pub fn health_with(&self, criteria: &HealthCriteria) -> Health {
        self.core().health(criteria)
    }
}
