//! Subscriptions: who gets what a socket receives.

mod coop_budget;
mod deliver;
mod delivery;
mod handle_cache;
mod handled;
mod in_flight;
mod member;
mod pump;
mod received;
mod registry;
mod report;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Instant;

#[cfg(all(test, aiomsg_loom))]
pub(crate) use delivery::ChunkLease;
pub(crate) use delivery::{Decision, Detached, Settle};
pub(crate) use handle_cache::CachedHandle;
pub use handled::{ActorHandled, Handled};
pub(crate) use in_flight::{Finished, InFlightSet, Lands};
pub(crate) use member::Member;
pub(crate) use pump::Pump;
pub use received::Received;
pub(crate) use registry::{List, Subscriptions};
pub use report::{SubscriberReport, SubscriptionReport};

use crate::inbox::{Chunk, Inbox};
use crate::limits::Capacity;
use crate::link::Link;
use crate::payload::Filter;
use crate::routing::SocketCore;
use crate::sync::{AtomicBool, Mutex, Ordering, Place};

/// What tells one subscription of a socket from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Nobody's: what arrives before anybody subscribed waits here.
    Unclaimed,
    /// `recv` and `messages`, which compete.
    Calls,
    /// A handler: the actor's address, the type that it receives, and what it wants of it.
    Handler {
        address: u64,
        message: &'static str,
        filter: String,
    },
    /// A group of handlers that compete.
    Group {
        name: String,
        message: &'static str,
        filter: String,
    },
    /// A recipient, by number.
    Recipient(u64),
}

/// What messages mean to a subscription that gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It gets every message, and counts for the acknowledgement; peers wait for it.
    Gating,
    /// It gets what there is room for, counts for nothing, and nobody waits for it.
    Observing,
    /// It gets the last message only: a new one supersedes those that it has not taken, which
    /// count as handled. Nobody waits for it.
    Conflating,
}

/// What a new subscription is to be.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionSpec {
    pub(crate) key: Key,
    pub(crate) filter: Filter,
    pub(crate) delivery: Delivery,
    /// Asks that it gets go to nobody else who gates.
    pub(crate) serves: bool,
}

impl SubscriptionSpec {
    /// Everything, gating.
    pub(crate) const fn all(key: Key) -> Self {
        Self {
            key,
            filter: Filter::all(),
            delivery: Delivery::Gating,
            serves: false,
        }
    }

    /// Asks that it gets go to nobody else who gates.
    pub(crate) fn serving(mut self) -> Self {
        self.serves = true;
        self
    }
}

/// One subscription. All of them get every message that they want; each gating one counts for
/// the acknowledgement.
pub(crate) struct Subscription {
    spec: SubscriptionSpec,
    /// It takes everything and gates: what most sockets have, and only one of.
    plain: bool,
    pub(crate) inbox: Inbox,
    /// Messages that a handler put off, and until when.
    delayed: Mutex<Vec<(Instant, Chunk)>>,
    /// Its subscribers, one or the members of a group, who may still come back for it. Empty
    /// if there is nobody whose end could be noticed.
    members: Mutex<Vec<Arc<Member>>>,
    /// It is not among the socket's subscriptions.
    left: AtomicBool,
    /// Messages that an observer had no room for, or that a newer one superseded.
    skipped: AtomicU64,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("spec", &self.spec)
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    fn new(spec: SubscriptionSpec, limits: Capacity) -> Arc<Self> {
        let plain = spec.filter.takes_all() && spec.delivery == Delivery::Gating;
        Arc::new(Self {
            plain: plain && spec.key != Key::Unclaimed,
            spec,
            inbox: Inbox::new(limits),
            delayed: Mutex::new(Vec::new()),
            members: Mutex::new(Vec::new()),
            left: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        })
    }

    fn gates(&self) -> bool {
        self.spec.delivery == Delivery::Gating
    }

    fn is_group(&self) -> bool {
        matches!(self.spec.key, Key::Group { .. })
    }

    /// Whether it is no longer, or not at the moment, among the socket's subscriptions.
    #[inline]
    fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Room for what a reader is about to push. Only where peers wait for the subscription.
    pub(crate) fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
        bytes: usize,
    ) -> Poll<()> {
        if self.gates() {
            self.inbox.poll_reserve(cx, place, bytes)
        } else {
            Poll::Ready(())
        }
    }

    pub(crate) fn unreserve(&self, bytes: usize) {
        if self.gates() {
            self.inbox.unreserve(bytes);
        }
    }

    /// Returns what was taken and not handled: it is the first to be taken again.
    pub(crate) fn give_back(&self, chunk: Chunk) {
        let link = Arc::clone(chunk.link());
        self.inbox.give_back(chunk);
        self.pass_on(&link);
    }

    /// Delivers a message again at `when`.
    pub(crate) fn delay(&self, chunk: Chunk, when: Instant) {
        let link = Arc::clone(chunk.link());
        self.delayed.lock().push((when, chunk));
        self.pass_on(&link);
    }

    /// What comes back after the subscription has left is somebody else's.
    fn pass_on(&self, link: &Link) {
        if self.has_left()
            && let Some(core) = SocketCore::of(link)
        {
            core.subscriptions.adopt_from(self);
        }
    }

    /// Whether nobody will come back for it.
    fn is_deserted(&self) -> bool {
        let members = self.members.lock();
        !members.is_empty() && !members.iter().any(|member| member.is_alive())
    }

    fn handle_sweep(&self, now: Instant) {
        self.inbox.handle_sweep();
        let due: Vec<Chunk> = {
            let mut delayed = self.delayed.lock();
            let (due, later) = std::mem::take(&mut *delayed)
                .into_iter()
                .partition(|(when, _)| *when <= now);
            *delayed = later;
            let mut due: Vec<(Instant, Chunk)> = due;
            due.sort_by_key(|(when, _)| *when);
            due.into_iter().map(|(_, chunk)| chunk).collect()
        };
        for chunk in due.into_iter().rev() {
            self.give_back(chunk);
        }
    }
}
