//! Turns of links in round-robin.

use super::routes::Routes;
use crate::sync::{AtomicUsize, Ordering};

/// The turns of a socket's links, shared by all its handles.
#[derive(Debug)]
pub(super) struct Turns {
    next: AtomicUsize,
    /// Where a link was last found too full for a published message.
    full_at: AtomicUsize,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicUsize::new(0),
            full_at: AtomicUsize::new(0),
        }
    }

    /// The place of the next link in turn, of so many. One at least is there.
    #[inline]
    pub(super) fn take(&self, count: usize) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % count
    }

    /// The message of a turn went to the link at `place` and not to the one at `first`: the turn is with
    /// the one behind it. Else the link behind those that are full would have their turns.
    #[inline]
    pub(super) fn pass(&self, first: usize, place: usize, count: usize) {
        if place != first {
            let passed = (place + count - first) % count;
            self.next.fetch_add(passed, Ordering::Relaxed);
        }
    }

    /// Looks at all links of a list that is not empty, until one is refused. The look begins where the last
    /// one ended: those before that have had room, and whoever waits for them one after the other looks at
    /// each about twice.
    pub(super) fn look_at_each<E>(
        &self,
        routes: &Routes,
        mut look: impl FnMut(&std::sync::Arc<crate::link::Link>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.full_at.load(Ordering::Relaxed) % routes.len();
        for (passed, link) in routes.in_turn(first).enumerate() {
            look(link).inspect_err(|_| {
                let place = (first + passed) % routes.len();
                self.full_at.store(place, Ordering::Relaxed);
            })?;
        }
        Ok(())
    }
}
