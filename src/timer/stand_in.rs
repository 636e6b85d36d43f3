//! Somebody who does the most necessary for a thread that is blocked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

thread_local! {
    static HERE: Arc<Place> = Arc::new(Place::default());
}

/// Does the most necessary while a thread is blocked, on the thread that ticks. Must not block.
pub(crate) trait StandIn: Send + Sync {
    /// The thread has not come for `since`. The last call, if it has been blocked then, was at `before`.
    fn handle_blocked(&self, since: Duration, before: Duration);
}

/// Where the stand-in of a thread is, if there is one.
#[derive(Default)]
pub(super) struct Place(OnceLock<Arc<dyn StandIn>>);

impl Place {
    /// That of the thread that asks.
    pub(super) fn here() -> Arc<Self> {
        HERE.with(Arc::clone)
    }

    pub(super) fn get(&self) -> Option<&Arc<dyn StandIn>> {
        self.0.get()
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place")
            .field(&self.0.get().is_some())
            .finish()
    }
}

/// From now on somebody stands in for this thread while it is blocked. The first to be named does.
pub(crate) fn stand_in(who: Arc<dyn StandIn>) {
    HERE.with(|here| drop(here.0.set(who)));
}
