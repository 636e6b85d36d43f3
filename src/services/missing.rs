//! Who waits for a service, and what the log says if nobody offers it.

use std::sync::Arc;
use std::time::Instant;

use super::followed::Followed;
use super::services::Services;
use crate::engine::LogPermit;
use crate::engine::service::{Demand, MissingLine};
use crate::excerpt::beginning;
use crate::telemetry::{self, Topic};

/// Names of services that a line has, at most.
const MAX_NAMES: usize = 8;
/// Bytes that it has of the name that is waited for.
const SHOWN: usize = 255;

/// Somebody waits for an instance of a service, until this is dropped.
#[derive(Debug)]
pub(crate) struct ServiceWait {
    followed: Arc<Followed>,
}

impl Drop for ServiceWait {
    fn drop(&mut self) {
        self.followed.state.lock().waiting -= 1;
    }
}

impl Services {
    /// Somebody begins to wait for an instance of a service.
    pub(crate) fn wait_for(&self, followed: &Arc<Followed>) -> ServiceWait {
        let mut state = followed.state.lock();
        state.waiting += 1;
        let is_first = state.waiting == 1;
        drop(state);
        if is_first {
            self.wake();
        }
        ServiceWait {
            followed: Arc::clone(followed),
        }
    }

    /// Says that a service is missed, or is no longer. Yields when to look again.
    pub(super) fn look_for_missing(&self, followed: &Followed, now: Instant) -> Option<Instant> {
        let (line, waiting, next) = followed.handle_missing(now, || self.has_peers());
        match line {
            None => {}
            Some(MissingLine::Found) => {
                tracing::info!(service = ?beginning(followed.name(), SHOWN), "a service that was waited for is offered");
            }
            Some(MissingLine::Missed(missed)) => {
                if let Some(LogPermit { unlogged }) =
                    telemetry::line(Topic::MissingService, followed.name())
                {
                    let (offered, others) = self.directory.offered_names(MAX_NAMES);
                    tracing::warn!(
                        service = ?beginning(followed.name(), SHOWN),
                        ?offered,
                        others,
                        waiting,
                        since = ?missed,
                        unlogged,
                        "nobody offers a service that is waited for; peers offer others, or none: perhaps the name is mistyped"
                    );
                }
            }
        }
        next
    }

    fn has_peers(&self) -> bool {
        !self.router().links().is_empty()
    }
}

impl Followed {
    /// Looks whether it is missed. Yields the line that is due, how many wait, and when to look again.
    fn handle_missing(
        &self,
        now: Instant,
        has_peers: impl FnOnce() -> bool,
    ) -> (Option<MissingLine>, usize, Option<Instant>) {
        let has_peers = self.is_waited_for() && has_peers();
        let mut state = self.state.lock();
        let waiting = state.waiting;
        let demand = match (state.members.is_empty(), waiting) {
            (false, _) => Demand::Offered,
            (true, 0) => Demand::None,
            (true, _) if has_peers => Demand::Missed,
            (true, _) => Demand::Alone,
        };
        let (line, next) = state.missing.handle_time(now, demand);
        (line, waiting, next)
    }

    fn is_waited_for(&self) -> bool {
        self.state.lock().waiting > 0
    }
}
