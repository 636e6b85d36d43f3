//! New bounds for a socket that is in use.
//!
//! Each bound lives beside what it bounds, under the lock that is taken for that anyway, so that
//! looking at it costs a message nothing. Here they are set together. Raised ones are used by those
//! that wait, at once; lowered ones refuse new messages until enough of the old ones have gone, and
//! take nothing back.

use tokio::sync::watch;

use super::Exchange;
use crate::config::{Changes, Tuning};
use crate::error::{Closed, ReconfigureError};
use crate::link::LinkLimits;

impl Exchange {
    /// The settings that may change, as they are now.
    pub(crate) fn tuning(&self) -> Tuning {
        *self.tuning.borrow()
    }

    /// Follows the settings that may change.
    pub(crate) fn follow_tuning(&self) -> watch::Receiver<Tuning> {
        self.tuning.subscribe()
    }

    /// What a link may hold now, its share of the budget apart.
    pub(crate) fn link_limits(&self) -> LinkLimits {
        self.tuning().link_limits(self.config.max_frame_bytes)
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
            let tuning = changes.applied_to(self.tuning());
            tuning.check().map_err(ReconfigureError::configuration)?;
            self.tuning.send_replace(tuning);
            table.outbox.set_room(tuning.outbox);
            table.share = self.share_of(table.members.len());
            let limits = self.link_limits();
            for link in table.members.iter() {
                link.set_limits(limits, table.share);
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
