//! The published list of links, and each thread's own copy of it.

#[cfg(not(aiomsg_loom))]
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::routes::Routes;
use crate::sync::fence;

/// Tells lists of different sockets, and successive ones of the same, from each other.
static NEXT_VERSION: AtomicU64 = AtomicU64::new(1);

#[cfg(not(aiomsg_loom))]
thread_local! {
    /// The list that this thread sent by last, with its version. Comparing versions is an order
    /// of magnitude cheaper than taking the list anew for each message.
    static LAST: RefCell<(u64, Arc<Routes>)> = RefCell::new((0, Arc::new(Routes::new())));
}

/// An immutable list of links that is replaced as a whole.
#[derive(Debug)]
pub(super) struct RouteCache {
    routes: ArcSwap<Routes>,
    version: AtomicU64,
    /// Set when a sender has looked at the list. While none has, it need not be replaced.
    seen: AtomicBool,
}

impl RouteCache {
    pub(super) fn new() -> Self {
        Self {
            routes: ArcSwap::from_pointee(Routes::new()),
            version: AtomicU64::new(NEXT_VERSION.fetch_add(1, Ordering::Relaxed)),
            seen: AtomicBool::new(false),
        }
    }

    /// Replaces the list. Callers hold the lock of the table, so that versions only grow; they tell those
    /// who wait for room afterwards, who may have looked at the list as it was.
    pub(super) fn store(&self, routes: Routes) {
        self.seen.store(false, Ordering::SeqCst);
        self.routes.store(Arc::new(routes));
        let version = NEXT_VERSION.fetch_add(1, Ordering::Relaxed);
        self.version.store(version, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// The version of the list: no other list of this process ever has it.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// True if a sender has looked at the list.
    #[inline]
    pub(super) fn is_seen(&self) -> bool {
        self.seen.load(Ordering::SeqCst)
    }

    /// A sender is about to look at it.
    pub(super) fn note_seen(&self) {
        self.seen.store(true, Ordering::SeqCst);
    }

    pub(super) fn load(&self) -> arc_swap::Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// The list, to keep.
    pub(super) fn load_full(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// Runs `send` with the list and its version. A list that is replaced meanwhile is one that was read a moment
    /// too early: its closed links refuse.
    ///
    /// `send` runs no code but ours: it may not come back here.
    #[inline]
    #[cfg(not(aiomsg_loom))]
    pub(super) fn with<R>(&self, send: impl FnOnce(&Routes, u64) -> R) -> R {
        LAST.with_borrow_mut(|(known, routes)| {
            let version = self.version();
            if *known != version {
                *routes = self.routes.load_full();
                *known = version;
            }
            send(routes, version)
        })
    }

    /// The models run several threads as one, which would share the copy.
    #[cfg(aiomsg_loom)]
    pub(super) fn with<R>(&self, send: impl FnOnce(&Routes, u64) -> R) -> R {
        let version = self.version();
        send(&self.routes.load(), version)
    }
}
