//! The place in line of a message that waits for room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;
use crate::limits::Overflow;
use crate::link::{Courtesy, Entry, Link};
use crate::routing::{Router, SendRefusal};
use crate::sync::Place;

/// How soon a published message that waits looks again at the links that are full, at most.
const SOONEST: Duration = Duration::from_millis(1);

/// Where a message waits for room.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    place: Place,
    at: At,
    /// The policy under which it waits.
    policy: Option<Overflow>,
    /// For how long, if there is a limit. Whoever publishes looks then at all links that are full.
    patience: Option<Pin<Box<Sleep>>>,
    /// Wakes it when the message expires.
    expiry: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
pub(super) enum At {
    /// For room on any link, or in the outbox while nobody is connected.
    Anywhere,
    /// For room in the outbox, where messages wait for a peer that is not connected.
    Outbox,
    /// For room on this link.
    Link(Arc<Link>),
}

/// Reason why a message left its place in line, and the rest of its patience.
pub(super) type Moved = (SendRefusal, Option<Pin<Box<Sleep>>>);

impl WaitingPlace {
    pub(super) const fn new(
        at: At,
        policy: Option<Overflow>,
        patience: Option<Pin<Box<Sleep>>>,
    ) -> Self {
        Self {
            place: Place::new(),
            at,
            policy,
            patience,
            expiry: None,
        }
    }

    /// Waits in line; leaves it when the outcome is known, the socket is closed, or the message has
    /// lost its patience or expired.
    pub(super) fn poll_end(
        &mut self,
        router: &Router,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Moved>> {
        let too_late = self.poll_patience(router, entry, cx).is_ready();
        if let Some(expires) = entry.expires() {
            let expiry = (self.expiry)
                .get_or_insert_with(|| Box::pin(sleep_until(Instant::from_std(expires))));
            // It only wakes: whether the message has expired is looked at below.
            let _ = expiry.as_mut().poll(cx);
        }
        let outcome = if !router.is_open() {
            Err(SendRefusal::Closed)
        } else if router.bury_if_expired(entry) {
            Ok(())
        } else if too_late {
            Err(SendRefusal::TooLate)
        } else {
            std::task::ready!(self.poll(router, entry, cx))
        };
        self.leave(router);
        Poll::Ready(outcome.map_err(|refusal| (refusal, self.patience.take())))
    }

    /// An attempt when it is this message's turn; a refusal that only more room here would change
    /// keeps it waiting.
    fn poll(
        &mut self,
        router: &Router,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendRefusal>> {
        let queue = match &self.at {
            At::Anywhere => router.room(),
            At::Outbox => router.outbox_room(),
            At::Link(link) => &link.room,
        };
        self.place.poll(queue, cx, || {
            let refusal = match router.try_take_with(entry, Courtesy::HasYielded) {
                Ok(_) => return Some(Ok(())),
                Err(refusal) => refusal,
            };
            let waits = match (&self.at, &refusal) {
                (At::Anywhere, SendRefusal::LinksFull | SendRefusal::OutboxFull)
                | (At::Outbox, SendRefusal::HeldFull(_)) => true,
                (At::Link(link), SendRefusal::LinkFull(full)) => full.serial() == link.serial(),
                (At::Anywhere | At::Outbox | At::Link(_), _) => false,
            };
            if waits && router.policy_for(entry, &refusal) == self.policy {
                return None;
            }
            Some(Err(refusal))
        })
    }

    /// Resolves when the message is to wait no longer. A published one waits as long as the links that are
    /// full are not stalled: those that are take it then.
    fn poll_patience(&mut self, router: &Router, entry: &Entry, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = &mut self.patience else {
            return Poll::Pending;
        };
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            let (At::Link(_), Some(Overflow::WaitFor(patience))) = (&self.at, self.policy) else {
                return Poll::Ready(());
            };
            if !router.publishes(entry) {
                return Poll::Ready(());
            }
            let again = router.give_up_stalled(entry, Some(patience));
            let again = clock::after(again.unwrap_or(patience).max(SOONEST));
            timer.as_mut().reset(Instant::from_std(again));
        }
    }

    pub(super) fn leave(&mut self, router: &Router) {
        match &self.at {
            At::Anywhere => self.place.leave(router.room()),
            At::Outbox => self.place.leave(router.outbox_room()),
            At::Link(link) => self.place.leave(&link.room),
        }
    }
}
