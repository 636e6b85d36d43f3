//! The limits of a socket that hold now.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Limits, Timers};
use crate::sync::Mutex;

/// The current limits of one socket, shared by all its parts.
#[derive(Debug)]
pub(crate) struct CurrentLimits {
    limits: ArcSwap<Limits>,
    /// Follow from the limits, and are shared by all connections.
    timers: ArcSwap<Timers>,
    /// Held while limits are replaced and applied; comes before all other locks.
    replacing: Mutex<()>,
}

impl CurrentLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            timers: ArcSwap::from_pointee(limits.timers()),
            limits: ArcSwap::from_pointee(limits),
            replacing: Mutex::new(()),
        }
    }

    /// The limits that hold now.
    pub(crate) fn current(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// The timers that connections are judged by, until they are replaced.
    pub(crate) fn timers(&self) -> Arc<Timers> {
        self.timers.load_full()
    }

    /// Sets other limits and has them applied, if those that hold are still the ones that are `known`.
    /// False if they are not.
    pub(crate) fn replace(
        &self,
        known: &Arc<Limits>,
        limits: Limits,
        apply: impl FnOnce(&Limits),
    ) -> bool {
        let _replacing = self.replacing.lock();
        if !Arc::ptr_eq(known, &self.current()) {
            return false;
        }
        self.limits.store(Arc::new(limits));
        self.timers.swap(Arc::new(limits.timers())).replace();
        apply(&limits);
        true
    }
}
