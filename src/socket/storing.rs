//! A message on its way into the store of its socket's outbox.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep};

use crate::error::SendError;
use crate::limits::Overflow;
use crate::link::Entry;
use crate::routing::{Commit, Router, StoreRefusal, Storing};
use crate::sync::Place;

/// How far a message has come.
#[derive(Debug)]
pub(super) enum StoringStep {
    /// It waits for room; for a time, if there is a limit.
    Room {
        place: Place,
        patience: Option<Pin<Box<Sleep>>>,
    },
    /// It waits for its commit.
    Commit(Commit),
}

/// One attempt, by a sender that cannot wait.
pub(super) fn store_now(router: &Arc<Router>, entry: &mut Entry) -> Result<(), SendError> {
    match router.store_message(entry, false) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refused(entry, refusal)),
    }
}

/// Stores a message, and resolves when it is accepted.
pub(super) fn poll_storing(
    router: &Arc<Router>,
    step: &mut Option<StoringStep>,
    entry: &mut Entry,
    cx: &mut Context<'_>,
) -> Poll<Result<(), SendError>> {
    loop {
        let next = match step.as_mut() {
            None => first_attempt(router, entry),
            Some(StoringStep::Room { place, patience }) => {
                let next = std::task::ready!(poll_room(router, place, patience, entry, cx));
                leave(router, step);
                next
            }
            Some(StoringStep::Commit(commit)) => {
                let outcome = std::task::ready!(Pin::new(commit).poll(cx));
                *step = None;
                return Poll::Ready(match outcome {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(failed)) => {
                        let (back, error) = *failed;
                        let payload = back.payload;
                        Err(SendError::NotStored { payload, error })
                    }
                    // The socket is gone, and has forgotten whom to tell.
                    Err(_) => Err(SendError::Closed(std::mem::take(&mut entry.payload))),
                });
            }
        };
        match next? {
            Some(waits) => *step = Some(waits),
            None => return Poll::Ready(Ok(())),
        }
    }
}

/// A future that is dropped gives up its place in line.
pub(super) fn leave(router: &Router, step: &mut Option<StoringStep>) {
    if let Some(StoringStep::Room { place, .. }) = step.as_mut()
        && let Some((room, _)) = router.store_room()
    {
        place.leave(room);
    }
    *step = None;
}

/// What the message waits for next, if it is not accepted.
type Next = Result<Option<StoringStep>, SendError>;

fn first_attempt(router: &Arc<Router>, entry: &mut Entry) -> Next {
    let Some((room, overflow)) = router.store_room() else {
        return Err(refused(entry, StoreRefusal::Closed));
    };
    let refusal = match room.is_empty() {
        true => match router.store_message(entry, true) {
            Ok(storing) => return Ok(step_of(storing)),
            Err(refusal) => refusal,
        },
        false => StoreRefusal::Full,
    };
    let patience = match (refusal, overflow) {
        (StoreRefusal::Full, Overflow::Wait) => None,
        (StoreRefusal::Full, Overflow::WaitFor(time)) => Some(Box::pin(sleep(time))),
        (refusal, _) => return Err(refused(entry, refusal)),
    };
    let place = Place::new();
    Ok(Some(StoringStep::Room { place, patience }))
}

fn poll_room(
    router: &Arc<Router>,
    place: &mut Place,
    patience: &mut Option<Pin<Box<Sleep>>>,
    entry: &mut Entry,
    cx: &mut Context<'_>,
) -> Poll<Next> {
    let Some((room, _)) = router.store_room().filter(|_| router.is_open()) else {
        return Poll::Ready(Err(refused(entry, StoreRefusal::Closed)));
    };
    if router.bury_if_expired(entry) {
        return Poll::Ready(Ok(None));
    }
    if let Some(patience) = patience
        && patience.as_mut().poll(cx).is_ready()
    {
        return Poll::Ready(Err(refused(entry, StoreRefusal::Full)));
    }
    place
        .poll(room, cx, || match router.store_message(entry, true) {
            Err(StoreRefusal::Full) => None,
            outcome => Some(outcome),
        })
        .map(|outcome| match outcome {
            Ok(storing) => Ok(step_of(storing)),
            Err(refusal) => Err(refused(entry, refusal)),
        })
}

fn step_of(storing: Storing) -> Option<StoringStep> {
    match storing {
        Storing::Accepted => None,
        Storing::Waits(commit) => Some(StoringStep::Commit(commit)),
    }
}

fn refused(entry: &mut Entry, refusal: StoreRefusal) -> SendError {
    let payload = std::mem::take(&mut entry.payload);
    match refusal {
        StoreRefusal::Full => SendError::Full(payload),
        StoreRefusal::Closed => SendError::Closed(payload),
        StoreRefusal::Failing(error) => SendError::NotStored { payload, error },
    }
}
