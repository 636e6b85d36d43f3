//! New limits for a socket that is in use.
//!
//! Each bound lives beside what it bounds, under the lock that is taken for that anyway, so that
//! looking at it costs a message nothing. Here they are set together. Raised ones are used by those
//! that wait, at once; lowered ones refuse new messages until enough of the old ones have gone, and
//! take nothing back.

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
