//! New bounds for a socket that is in use.
//!
//! Each bound lives beside what it bounds, under the lock that is taken for that anyway, so that
//! looking at it costs a message nothing. Here they are set together. Raised ones are used by those
//! that wait, at once; lowered ones refuse new messages until enough of the old ones have gone, and
//! take nothing back.

use std::sync::Arc;

use super::SocketCore;
use crate::error::{Closed, ReconfigureError};
use crate::limits::{Limits, Timers};
use crate::link::LinkLimits;

impl SocketCore {
    /// The settings that may change, as they are now.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// What connections are judged by, until it is replaced.
    pub(crate) fn timers(&self) -> Arc<Timers> {
        self.timers.load_full()
    }

    /// What a link may hold now, its share of the budget apart.
    pub(crate) fn link_limits(&self) -> Arc<LinkLimits> {
        self.link_limits.load_full()
    }

    /// Changes bounds, policies and timers, or nothing. `change` edits a copy, under no lock; when
    /// somebody else has changed the limits meanwhile, it is called again with those.
    pub(crate) fn reconfigure(
        &self,
        mut change: impl FnMut(&mut Limits) -> Result<(), String>,
    ) -> Result<(), ReconfigureError> {
        loop {
            let known = self.limits();
            let mut limits = *known;
            change(&mut limits).map_err(ReconfigureError::Declined)?;
            limits.check().map_err(ReconfigureError::configuration)?;
            if self.set_limits(&known, limits)? {
                return Ok(());
            }
        }
    }

    /// Sets other limits, if those that hold are still the ones that are `known`.
    fn set_limits(&self, known: &Arc<Limits>, limits: Limits) -> Result<bool, Closed> {
        let links = {
            // One at a time, and no link joins with bounds that are out of date.
            self.hand_out_batch();
            let mut table = self.table.lock();
            if !self.is_open() {
                return Err(Closed);
            }
            if !Arc::ptr_eq(known, &self.limits()) {
                return Ok(false);
            }
            self.limits.store(Arc::new(limits));
            let bounds = Arc::new(LinkLimits::new(&limits, self.config.max_frame_bytes));
            self.link_limits.store(Arc::clone(&bounds));
            self.timers.swap(Arc::new(limits.timers())).replace();
            table.outbox.set_room(limits.outbox_capacity);
            table.share = self.share_of(table.members.len());
            for link in table.members.iter() {
                link.set_limits(Arc::clone(&bounds), table.share);
            }
            self.subscriptions.set_limits(limits.inbox_capacity);
            self.unfinished.set_limit(limits.memory_budget / 2);
            self.read_ahead.set_limit(limits.memory_budget / 4);
            table.members.list().clone()
        };
        // There may be room now, and those who wait for it may be under another policy.
        links.iter().for_each(|link| link.room.notify_all());
        self.note_room();
        self.room.notify_all();
        self.outbox_room.notify_all();
        self.subscriptions.tell_readers();
        self.unfinished.tell_all();
        self.read_ahead.tell_all();
        Ok(true)
    }
}
