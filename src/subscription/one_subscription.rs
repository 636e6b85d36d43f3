//! One subscription: its inbox, its subscribers, and messages that were put off.

use std::fmt::Debug;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::host::SubscriptionContext;
use super::member::Member;
use super::report::{SubscriberReport, SubscriptionReport};
use super::spec::{Delivery, Key, SubscriptionSpec};
use crate::clock;
use crate::engine::{LogPermit, NeglectWatch};
use crate::event::SocketEvent;
use crate::id::Identity;
use crate::inbox::{Arrival, Chunk, Inbox};
use crate::limits::Capacity;
use crate::sync::{AtomicBool, Mutex, Ordering, Place};
use crate::telemetry::{self, Topic};

/// How long messages wait for an actor that has not subscribed again before the log says so.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// The other subscriptions of the socket, as far as one of them knows them.
pub(super) trait Siblings: Debug + Send + Sync {
    /// Takes over the messages that came into, or back to, a subscription that has left.
    fn adopt_from(&self, left: Arc<Subscription>);

    /// Ends a subscription whose subscribers are all gone.
    fn end_deserted(&self, subscription: &Subscription);
}

/// The way of a chunk into an inbox.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PushMode {
    /// So many bytes were reserved for it.
    Reserved(usize),
    /// The chunk was accepted before, or read ahead, and goes in whatever the room.
    Over,
    /// The same, of one that has waited elsewhere: it goes in before all that was read meanwhile.
    Moved,
}

impl PushMode {
    pub(super) const fn arrival(self) -> Arrival {
        match self {
            Self::Reserved(_) | Self::Over => Arrival::New,
            Self::Moved => Arrival::Moved,
        }
    }
}

/// One subscription. All of them get every message that they want; each gating one counts for
/// the acknowledgement.
pub(crate) struct Subscription {
    pub(super) spec: SubscriptionSpec,
    /// True for a subscription that takes everything and gates: most sockets have one, and only one.
    plain: bool,
    pub(crate) inbox: Inbox,
    /// Messages that a handler put off, and until when.
    delayed: Mutex<Vec<(Instant, Chunk)>>,
    /// Its subscribers, one or the members of a group, who may still come back for it. Empty
    /// if there is nobody whose end could be noticed.
    members: Mutex<Vec<Arc<Member>>>,
    /// Messages that wait while none of the subscribers is fed.
    unfed: Mutex<NeglectWatch>,
    /// Set while it is not among the socket's subscriptions.
    left: AtomicBool,
    /// Messages that an observer had no room for, or that a newer one superseded.
    skipped: AtomicU64,
    pub(super) context: Arc<SubscriptionContext>,
    siblings: Weak<dyn Siblings>,
    this: Weak<Self>,
}

impl Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("spec", &self.spec)
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(
        spec: SubscriptionSpec,
        limits: Capacity,
        context: &Arc<SubscriptionContext>,
        siblings: Weak<dyn Siblings>,
    ) -> Arc<Self> {
        let plain = spec.filter.takes_all() && spec.gates();
        Arc::new_cyclic(|this| Self {
            plain: plain && spec.key != Key::Unclaimed,
            spec,
            inbox: Inbox::new(limits),
            delayed: Mutex::new(Vec::new()),
            members: Mutex::new(Vec::new()),
            unfed: Mutex::new(NeglectWatch::new()),
            left: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            context: Arc::clone(context),
            siblings,
            this: Weak::clone(this),
        })
    }

    /// True if it takes everything and gates.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(super) fn is_group(&self) -> bool {
        self.spec.group().is_some()
    }

    /// True if it is no longer, or not at the moment, among the socket's subscriptions.
    #[inline]
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Takes it out of the socket's subscriptions, or puts it back.
    pub(super) fn set_left(&self, left: bool) {
        self.left.store(left, Ordering::SeqCst);
    }

    /// Room for what a reader is about to push. Only where peers wait for the subscription.
    pub(crate) fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
        bytes: usize,
    ) -> Poll<()> {
        if self.spec.gates() {
            self.inbox.poll_reserve(cx, place, bytes)
        } else {
            Poll::Ready(())
        }
    }

    pub(crate) fn unreserve(&self, bytes: usize) {
        if self.spec.gates() {
            self.inbox.unreserve(bytes);
        }
    }

    /// Hands a chunk over, by the subscription's kind of delivery. False if the socket is closing.
    pub(super) fn push(&self, chunk: Chunk, mode: PushMode) -> bool {
        match self.spec.delivery {
            Delivery::Gating => self.push_all(chunk, mode),
            Delivery::Observing => self.observe(chunk.observed(), mode.arrival()),
            Delivery::Conflating => self.supersede(chunk, mode.arrival()),
        }
    }

    #[inline]
    pub(super) fn push_all(&self, chunk: Chunk, mode: PushMode) -> bool {
        let pushed = match mode {
            PushMode::Reserved(bytes) => self.inbox.push(chunk, bytes),
            PushMode::Over | PushMode::Moved => self.inbox.push_over(chunk, mode.arrival()),
        };
        let lose = |late| match mode {
            PushMode::Moved => self.context.lose_accepted(late),
            PushMode::Reserved(_) | PushMode::Over => self.context.lose(late),
        };
        pushed.map_err(lose).is_ok()
    }

    /// Skips what there is no room for.
    fn observe(&self, chunk: Chunk, arrival: Arrival) -> bool {
        if let Err(chunk) = self.inbox.try_push(chunk, arrival) {
            self.note_skipped(chunk.messages());
        }
        true
    }

    /// Keeps the last message only; the others are finished.
    fn supersede(&self, chunk: Chunk, arrival: Arrival) -> bool {
        if arrival == Arrival::Moved && self.inbox.holds_newer() {
            self.note_skipped(chunk.messages());
            finish_down_to(chunk, 0);
            return true;
        }
        for old in self.inbox.drain() {
            self.note_skipped(old.messages());
            finish_down_to(old, 0);
        }
        self.note_skipped(chunk.messages() - 1);
        let mode = match arrival {
            Arrival::New => PushMode::Over,
            Arrival::Moved => PushMode::Moved,
        };
        self.push_all(finish_down_to(chunk, 1), mode)
    }

    fn note_skipped(&self, messages: usize) {
        self.skipped.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Returns what was taken and not handled: it is the first to be taken again.
    pub(crate) fn give_back(&self, chunk: Chunk) {
        match self.inbox.give_back(chunk) {
            Ok(()) => self.pass_on(),
            Err(late) => self.context.lose_accepted(late),
        }
    }

    /// Delivers a message again at `when`.
    pub(super) fn delay(&self, chunk: Chunk, when: Instant) {
        self.delayed.lock().push((when, chunk));
        match self.inbox.is_closed() {
            // Nobody looks after it any more.
            true => self.return_delayed(),
            false => self.pass_on(),
        }
    }

    /// Gives back the messages that were put off, which a closed inbox does not take: their senders send them again.
    fn return_delayed(&self) {
        let delayed = std::mem::take(&mut *self.delayed.lock());
        for (_, chunk) in delayed {
            self.give_back(chunk);
        }
    }

    /// Gives messages that come back after the subscription has left to somebody else.
    fn pass_on(&self) {
        if self.has_left()
            && let (Some(siblings), Some(this)) = (self.siblings.upgrade(), self.this.upgrade())
        {
            siblings.adopt_from(this);
        }
    }

    /// Ends the inbox. What it still held is accounted for.
    pub(super) fn close(&self) {
        for chunk in self.inbox.close() {
            self.context.lose_accepted(chunk);
        }
    }

    /// Takes out all messages that no consumer has in hand, also those that were put off.
    pub(super) fn take_all(&self) -> Vec<Chunk> {
        self.with_delayed(self.inbox.drain())
    }

    /// Ends the inbox, and yields the same. Whoever brings more from now on gets it back.
    pub(crate) fn end(&self) -> Vec<Chunk> {
        self.with_delayed(self.inbox.close())
    }

    fn with_delayed(&self, mut chunks: Vec<Chunk>) -> Vec<Chunk> {
        let delayed = std::mem::take(&mut *self.delayed.lock());
        chunks.extend(delayed.into_iter().map(|(_, chunk)| chunk));
        chunks
    }

    /// Adds a subscriber, or finds it if it comes again.
    pub(super) fn add_member(&self, member: Member) -> Arc<Member> {
        let mut members = self.members.lock();
        members.retain(|other| other.is_alive());
        let mut others = members.iter();
        if let Some(again) = others.find(|other| other.subscriber == member.subscriber) {
            return Arc::clone(again);
        }
        let member = Arc::new(member);
        members.push(Arc::clone(&member));
        member
    }

    /// True if it takes a payload of this peer.
    pub(crate) fn takes(&self, peer: Identity, payload: &[u8]) -> bool {
        self.spec.filter.takes(peer, payload)
    }

    /// True if nobody will come back for it.
    pub(crate) fn is_deserted(&self) -> bool {
        let members = self.members.lock();
        !members.is_empty() && !members.iter().any(|member| member.is_alive())
    }

    /// Warns of a handler that has had a message for very long.
    pub(super) fn warn_of_held(&self, now: Instant) {
        let members = self.members.lock();
        for member in members.iter() {
            if let Some(held_for) = member.take_held_too_long(now)
                && let Some(LogPermit { unlogged }) =
                    telemetry::line(Topic::HeldTooLong, member.actor)
            {
                tracing::warn!(
                    actor = member.actor,
                    ?held_for,
                    unlogged,
                    "a handler has not finished a message for more than a minute; it keeps its place in flight, \
                     and its sender sends it again"
                );
            }
        }
    }

    /// Reports the members that are gone, and ends the subscription with the last of them.
    pub(crate) fn notice_the_dead(&self) {
        let deserted = self.is_deserted();
        let gone: Vec<Arc<Member>> = {
            let mut members = self.members.lock();
            let gone = members.iter().filter(|member| !member.is_alive()).cloned();
            let gone = gone.collect();
            // The last ones stay, so that it is known that there was somebody.
            if !deserted {
                members.retain(|member| member.is_alive());
            }
            gone
        };
        if deserted && let Some(siblings) = self.siblings.upgrade() {
            siblings.end_deserted(self);
        }
        for member in gone.iter().filter(|member| !member.has_left()) {
            member.leave();
            if !self.inbox.is_closed()
                && let Some(LogPermit { unlogged }) =
                    telemetry::line(Topic::SubscriberGone, member.actor)
            {
                let subscription = self.spec.describe();
                tracing::info!(
                    actor = member.actor,
                    subscription,
                    unlogged,
                    "a subscriber is gone"
                );
            }
            self.context.announce(&SocketEvent::SubscriberGone {
                actor: member.actor.to_owned(),
                subscription: self.spec.describe(),
            });
        }
    }

    /// Warns of an actor that was restarted and has not subscribed again: what waits for it holds up all other subscriptions
    /// when the inbox is full.
    pub(super) fn warn_of_unfed(&self, now: Instant) {
        let members = self.members.lock();
        let alive = members.iter().filter(|member| member.is_alive());
        let unfed = alive.map(|member| (!member.is_fed()).then_some(member.actor));
        // Of a group, one that is fed is enough; where nobody is left, others are told.
        let actor = unfed.reduce(Option::and).flatten();
        drop(members);
        let waiting = actor.map_or(0, |_| self.inbox.load().0);
        let mut watch = self.unfed.lock();
        let neglected = watch.handle_sweep(now, waiting, 0, FORGOTTEN_AFTER);
        drop(watch);
        if let (Some(waited), Some(actor)) = (neglected, actor) {
            let subscription = self.spec.describe();
            tracing::warn!(
                actor,
                subscription,
                waiting,
                ?waited,
                "messages wait for an actor that was restarted and has not subscribed again; they hold up all other \
                 subscriptions when their queue is full: subscribe in started, to the same type with the same filter and group"
            );
        }
    }

    pub(super) fn handle_sweep(&self, now: Instant) {
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

    pub(super) fn report(&self) -> SubscriptionReport {
        let now = clock::now();
        let members = self.members.lock();
        let subscribers = members.iter().map(|member| SubscriberReport {
            actor: member.actor,
            taken: member.taken(),
            running_for: member.held_for(now),
            is_paused: member.is_paused(),
        });
        SubscriptionReport {
            description: self.spec.describe(),
            delivery: self.spec.delivery,
            group: self.spec.group().map(str::to_owned),
            subscribers: subscribers.collect(),
            waiting: self.inbox.load().0,
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}

/// Finishes all but the last `keep` messages of a chunk.
fn finish_down_to(mut chunk: Chunk, keep: usize) -> Chunk {
    let mut acks = Vec::new();
    while chunk.messages() > keep {
        let mark = chunk.bookmark();
        let Some(span) = chunk.next() else { break };
        if let Some(id) = chunk.id(span) {
            match chunk.finish(mark, Ok(())) {
                Some(Ok(())) => acks.push(id),
                Some(Err(reason)) => chunk.link().refuse(&[id], reason),
                None => {}
            }
        }
    }
    if !acks.is_empty() {
        chunk.link().handle_finished(&acks);
    }
    chunk
}
