//! New limits for a socket that is in use.
//!
//! Each bound lives beside its queue, under the queue's own lock, so that checking it costs a message nothing.
//! Here they are set together. Senders that wait use a raised bound at once. A lowered one refuses new
//! messages until enough of the old ones have gone, and takes nothing back.

use std::sync::Arc;

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
        }))
    }
}
