//! Whom messages to a service go to: the choice of an instance, and the way into its link.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::core::SocketCore;
use crate::engine::service::KeyHash;
use crate::link::{Entry, Link, Refused};
use crate::payload::{AskEnvelope, ServiceAddress};
use crate::services::{Followed, Pick, Picked};
use crate::sync::Place;

/// How often a tell that stands in line at an instance looks whether another one has room.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A service by its name, whoever offers it; or the instance that holds a key.
#[derive(Debug, Clone)]
pub(super) struct ServiceTarget {
    pub(super) core: Arc<SocketCore>,
    pub(super) followed: Arc<Followed>,
    pub(super) key: Option<KeyHash>,
}

/// For how long a message waits for an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct PickPatience {
    pub(super) deadline: Option<Instant>,
    /// It waits for an instance to come.
    pub(super) for_offer: bool,
    /// It waits for one that is busy.
    pub(super) for_room: bool,
}

/// Why there is no instance for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotPicked {
    Closed,
    Nobody,
    Busy,
}

impl ServiceTarget {
    /// The address in a message.
    pub(super) fn address(&self) -> ServiceAddress<'_> {
        ServiceAddress {
            name: self.followed.name(),
            key: self.key.map(|key| key.0),
        }
    }

    /// Chooses an instance by `choose`; waits for one to come.
    pub(super) async fn pick(
        &self,
        patience: PickPatience,
        choose: impl Fn() -> Pick,
    ) -> Result<Picked, NotPicked> {
        let core = &self.core;
        if let Pick::Instance(picked) = choose() {
            return Ok(picked);
        }
        let mut state = core.lifecycle.state();
        let mut wait = None;
        loop {
            let changed = self.followed.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !core.lifecycle.is_open() {
                return Err(NotPicked::Closed);
            }
            let (room_at, over) = match choose() {
                Pick::Instance(picked) => return Ok(picked),
                Pick::Busy { until } if patience.for_room => (Some(until), NotPicked::Busy),
                Pick::Busy { .. } => return Err(NotPicked::Busy),
                Pick::Nobody if patience.for_offer => {
                    wait.get_or_insert_with(|| core.services.wait_for(&self.followed));
                    (None, NotPicked::Nobody)
                }
                Pick::Nobody => return Err(NotPicked::Nobody),
            };
            if patience
                .deadline
                .is_some_and(|deadline| deadline <= clock::now())
            {
                return Err(over);
            }
            let until = match (room_at, patience.deadline) {
                (Some(room_at), Some(deadline)) => Some(room_at.min(deadline)),
                (room_at, deadline) => room_at.or(deadline),
            };
            let look_again = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = look_again => core.services.refresh(&self.followed),
                ended = state.changed() => if ended.is_err() {
                    return Err(NotPicked::Closed);
                },
            }
        }
    }

    /// Queues a tell for an instance that had no room for it; waits for room there, and looks whether another one has some
    /// meanwhile.
    pub(super) async fn push_tell(
        &self,
        picked: &Picked,
        entry: &mut Entry,
    ) -> Result<(), Refused> {
        let (services, link) = (&self.core.services, &**picked.link());
        let mut line = Line::for_room_on(link);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll_fn(|cx| {
            let pushed = line.poll(cx, || services.push(link, entry));
            if pushed.is_ready() {
                return pushed;
            }
            while looks.poll_tick(cx).is_ready() {
                let is_full = |serial| serial == picked.serial();
                let choice = self.followed.choose_behind_returned(self.key, is_full);
                if let Pick::Instance(other) = choice
                    && services.push(other.link(), entry).is_ok()
                {
                    return Poll::Ready(Ok(()));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Queues an ask for an instance; waits for room there. Its asker waits until `deadline`, and it says how long that is when it
    /// is taken.
    pub(super) async fn push_ask(
        &self,
        link: &Link,
        entry: &mut Entry,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let services = &self.core.services;
        match services.push(link, entry) {
            Err(Refused::Full) => {}
            done => return done,
        }
        let mut line = Line::for_room_on(link);
        poll_fn(|cx| {
            line.poll(cx, || {
                let left = deadline.saturating_duration_since(clock::now());
                AskEnvelope::note_patience(&mut entry.payload, left);
                services.push(link, entry)
            })
        })
        .await
    }
}

/// A place in the line for room on a link, which is given up when this is dropped.
struct Line<'a> {
    link: &'a Link,
    place: Place,
}

impl<'a> Line<'a> {
    const fn for_room_on(link: &'a Link) -> Self {
        Self {
            link,
            place: Place::new(),
        }
    }

    /// Tries `push` when it is its turn, until there is room or the link is closed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut push: impl FnMut() -> Result<(), Refused>,
    ) -> Poll<Result<(), Refused>> {
        self.place.poll(&self.link.room, cx, || match push() {
            Err(Refused::Full) => None,
            done => Some(done),
        })
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.place.leave(&self.link.room);
    }
}
