//! New bounds for a socket that is in use.
//!
//! Each bound lives beside what it bounds, under the lock that is taken for that anyway, so that
//! looking at it costs a message nothing. Here they are set together. Raised ones are used by those
//! that wait, at once; lowered ones refuse new messages until enough of the old ones have gone, and
//! take nothing back.

use std::sync::Arc;

use super::SocketCore;
use crate::config::{Changes, Timers, Tuning};
use crate::error::{Closed, ReconfigureError};
use crate::link::LinkLimits;

impl SocketCore {
    /// The settings that may change, as they are now.
    pub(crate) fn tuning(&self) -> Arc<Tuning> {
        self.tuning.load_full()
    }

    /// What connections are judged by, until it is replaced.
    pub(crate) fn timers(&self) -> Arc<Timers> {
        self.timers.load_full()
    }

    /// What a link may hold now, its share of the budget apart.
    pub(crate) fn link_limits(&self) -> Arc<LinkLimits> {
        self.link_limits.load_full()
    }

    /// Changes bounds, policies and timers, or nothing.
    pub(crate) fn reconfigure(&self, changes: &Changes) -> Result<(), ReconfigureError> {
        let links = {
            // One at a time, and no link joins with bounds that are out of date.
            self.hand_out_batch();
            let mut table = self.table.lock();
            if !self.is_open() {
                return Err(Closed.into());
            }
            let tuning = changes.applied_to(*self.tuning());
            tuning.check().map_err(ReconfigureError::configuration)?;
            self.tuning.store(Arc::new(tuning));
            let limits = Arc::new(tuning.link_limits(self.config.max_frame_bytes));
            self.link_limits.store(Arc::clone(&limits));
            self.timers.swap(Arc::new(tuning.timers())).replace();
            table.outbox.set_room(tuning.outbox);
            table.share = self.share_of(table.members.len());
            for link in table.members.iter() {
                link.set_limits(Arc::clone(&limits), table.share);
            }
            self.subscriptions.set_limits(tuning.inbox);
            self.unfinished.set_limit(tuning.memory_budget / 2);
            table.members.list().clone()
        };
        // There may be room now, and those who wait for it may be under another policy.
        links.iter().for_each(|link| link.room.notify_all());
        self.note_room();
        self.room.notify_all();
        self.outbox_room.notify_all();
        self.subscriptions.tell_readers();
        self.unfinished.tell_all();
        Ok(())
    }
}
