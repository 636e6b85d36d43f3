//! New limits for a socket that is in use.
//!
//! Each bound lives beside its queue, under the queue's own lock, so that checking it costs a message nothing.
//! Here they are set together. Senders that wait use a raised bound at once. A lowered one refuses new
//! messages until enough of the old ones have gone, and takes nothing back.

use std::sync::Arc;
use std::time::Duration;

use super::socket_core::SocketCore;
use crate::error::{Closed, ReconfigureError};
use crate::limits::Limits;

impl SocketCore {
    /// Changes bounds, policies and timers, or nothing. `change` edits a copy, under no lock; when
    /// somebody else has changed the limits meanwhile, it is called again with those.
    pub(crate) fn reconfigure(
        &self,
        mut change: impl FnMut(&mut Limits) -> Result<(), String>,
    ) -> Result<(), ReconfigureError> {
        loop {
            let known = self.limits.current();
            let mut limits = *known;
            change(&mut limits).map_err(ReconfigureError::Declined)?;
            limits.check().map_err(ReconfigureError::configuration)?;
            if self.replace_limits(&known, limits)? {
                if beats_of(&known) != beats_of(&limits) {
                    warn_of_timers(&limits);
                }
                return Ok(());
            }
        }
    }

    fn replace_limits(&self, known: &Arc<Limits>, limits: Limits) -> Result<bool, Closed> {
        if !self.lifecycle.is_open() {
            return Err(Closed);
        }
        Ok(self.limits.replace(known, limits, |limits| {
            self.router.handle_limits(limits);
            self.inbound.handle_limits(limits);
            self.services.handle_limits();
        }))
    }
}

const fn beats_of(limits: &Limits) -> (Duration, Duration) {
    (limits.heartbeat_interval, limits.heartbeat_timeout)
}

/// Warns of timers by which idle connections end: peers have the same ones more often than not.
pub(crate) fn warn_of_timers(limits: &Limits) {
    let (interval, timeout) = beats_of(limits);
    if interval >= timeout {
        tracing::warn!(
            ?interval,
            ?timeout,
            "heartbeats are sent more seldom than peers with the same timers wait for them, who then end \
             connections that are idle; choose an interval of a third of the timeout"
        );
    }
}
