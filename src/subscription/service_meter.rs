//! The load of one offered service, as those who hand over its messages and those who handle them tell it.

use std::time::{Duration, Instant};

use crate::engine::service::{HandlingRate, LoadLimits, LoadState, ServiceAdmission, ServiceLoad};
use crate::sync::Mutex;

/// The load of one service, shared by the readers that bring its messages and the handlers.
#[derive(Debug)]
pub(crate) struct ServiceMeter {
    state: Mutex<Metered>,
}

#[derive(Debug)]
struct Metered {
    limits: LoadLimits,
    load: ServiceLoad,
    rate: HandlingRate,
    refused: u64,
}

impl ServiceMeter {
    pub(crate) fn new(limits: LoadLimits) -> Self {
        Self {
            state: Mutex::new(Metered {
                limits,
                load: ServiceLoad::new(limits),
                rate: HandlingRate::default(),
                refused: 0,
            }),
        }
    }

    /// A message of so many bytes has come that must be handled within `remaining`, if that is given.
    pub(crate) fn handle_arrival(
        &self,
        now: Instant,
        bytes: usize,
        remaining: Option<Duration>,
    ) -> ServiceAdmission {
        let mut state = self.state.lock();
        let admission = state.load.handle_arrival(bytes, remaining);
        match admission {
            ServiceAdmission::Accept => state.rate.handle_arrival(now),
            ServiceAdmission::Busy { .. } => state.refused += 1,
        }
        admission
    }

    /// A message that was accepted goes to its handler, or nobody waits for its answer any more.
    pub(crate) fn handle_taken(&self, bytes: usize) {
        self.state.lock().load.handle_taken(bytes);
    }

    /// A message that was taken before goes to its handler again.
    pub(crate) fn handle_again(&self, now: Instant) {
        self.state.lock().rate.handle_arrival(now);
    }

    /// A message that was taken is finished.
    pub(crate) fn handle_finished(&self, now: Instant) {
        let mut state = self.state.lock();
        if let Some(took) = state.rate.handle_finished(now) {
            state.load.handle_finished(took);
        }
    }

    /// When there is something to tell consumers, and what if that is now.
    pub(crate) fn announce(&self, now: Instant) -> (Option<LoadState>, Option<Instant>) {
        let mut state = self.state.lock();
        let told = state.load.announce(now);
        (told, state.load.next_announcement(now))
    }

    /// Messages that wait for a handler, their bytes, and messages that were refused so far.
    pub(crate) fn figures(&self) -> (usize, usize, u64) {
        let state = self.state.lock();
        let load = &state.load;
        (load.queued(), load.queued_bytes(), state.refused)
    }

    /// Changes how much may wait.
    pub(crate) fn change_limits(&self, change: impl FnOnce(&mut LoadLimits)) {
        let mut state = self.state.lock();
        change(&mut state.limits);
        let limits = state.limits;
        state.load.set_limits(limits);
    }
}
