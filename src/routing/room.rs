//! The door for everything that makes room at a link: whoever waits for it is told, on every path.

use std::task::Waker;

use super::router::Router;
use crate::id::MessageId;
use crate::link::{Entry, Link, NextWrite, WriteBatch};
use crate::wire::NotHandled;

/// Tells those who wait for room at a link, when it is dropped and there is some: the outbox first, then
/// senders. It is dropped with no lock held.
#[must_use]
pub(super) struct RoomGuard<'a> {
    router: &'a Router,
    link: &'a Link,
    freed: bool,
}

impl RoomGuard<'_> {
    /// There is room, if `freed` says so.
    #[inline]
    pub(super) fn note(&mut self, freed: bool) {
        self.freed |= freed;
    }
}

impl Drop for RoomGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.freed {
            self.link.room.notify();
            self.router.note_room();
        }
    }
}

impl Router {
    /// Begins something that may make room at a link.
    #[inline]
    pub(super) const fn room_at<'a>(&'a self, link: &'a Link) -> RoomGuard<'a> {
        RoomGuard {
            router: self,
            link,
            freed: false,
        }
    }

    /// The writer of a link has written all of `hand` and wants more. It parks only when nothing that was
    /// published waits for it.
    pub(crate) fn next_write(
        &self,
        link: &Link,
        batch: &mut WriteBatch,
        waker: &Waker,
    ) -> NextWrite {
        loop {
            let mut room = self.room_at(link);
            let (next, freed) = link.next_write(batch, waker);
            room.note(freed);
            drop(room);
            if next != NextWrite::Park || !self.flush_batch() {
                return next;
            }
        }
    }

    /// The peer of a link has acknowledged these messages: resolves their receipts.
    pub(crate) fn acknowledge(&self, link: &Link, ids: &[MessageId]) {
        let mut room = self.room_at(link);
        let (freed, extras) = link.acknowledge(ids, self.lifecycle.uptime());
        room.note(freed);
        for extras in extras {
            extras.end(Ok(()));
        }
    }
}

impl Router {
    /// The peer of a link has refused these messages: fails their receipts. They need no ACK any more. Yields
    /// messages to services that another instance may handle.
    #[cold]
    pub(crate) fn handle_refused(
        &self,
        link: &Link,
        refused: &[(MessageId, NotHandled)],
    ) -> Vec<(Entry, NotHandled)> {
        let mut room = self.room_at(link);
        let outcome = link.handle_refused(refused, self.lifecycle.uptime());
        room.note(outcome.freed);
        for (extras, reason) in outcome.closed {
            if let Some(extras) = extras {
                extras.end(Err(reason.into()));
            }
        }
        outcome.elsewhere
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::task::{Context, Waker};

    use super::super::tests::{Wakes, core, join};
    use crate::sync::Place;

    #[test]
    fn who_waits_is_told_of_room_even_if_what_made_it_panics_and_not_without_room() {
        let core = core(|_| {});
        let link = join(&core, 1);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut place = Place::new();
        let waiting = place.poll(&link.room, &mut Context::from_waker(&waker), || None::<()>);
        assert!(waiting.is_pending());
        drop(core.router.room_at(&link));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            core.router.room_at(&link).note(true);
            let mut room = core.router.room_at(&link);
            room.note(true);
            panic!("on demand");
        }));
        assert!(panicked.is_err());
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    }
}
