//! The pump: carries messages from an inbox into a handler, in the handler's own context.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context as ActorContext};

use super::coop_budget::CoopBudget;
use super::delivery::ChunkLease;
use super::handle_cache::CacheScope;
use super::handling_watch::HandlingWatch;
use super::in_flight::{Finished, InFlightSet, PollEnd};
use super::member::Member;
use super::one_subscription::Subscription;
use crate::clock;
use crate::id::MessageId;
use crate::inbox::{Chunk, MessageSpan, read_fairness};
use crate::sync::Place;
use crate::telemetry::{self, ActorName};

/// The way of one kind of message into its handler.
pub(crate) trait Dispatch<A: Actor>: Unpin + 'static {
    /// A message that an asynchronous handler has not finished.
    type Pending: PendingResult;

    /// Calls the handler with the message in hand. When this returns the message is settled, or has
    /// left the lease.
    fn dispatch(
        &mut self,
        lease: &mut ChunkLease<'_>,
        span: MessageSpan,
        cache: &CacheScope,
        act: &mut A,
        ctx: &mut A::Context,
    ) -> Dispatched<Self::Pending>;
}

/// Result of handing a message to its handler.
pub(crate) enum Dispatched<P> {
    /// The message is settled.
    Settled,
    /// It is settled, and no handler was called.
    Skipped,
    /// Its handler failed at once: whoever of a group is free gets the next.
    Failed,
    /// Its handler has not finished.
    Pending(P),
}

/// A message whose handler has not finished.
pub(crate) trait PendingResult: PollEnd + Sized + 'static {
    /// Settles the message: its handler has finished, or has let go of it.
    fn land(self, subscription: &Arc<Subscription>, finished: Finished);

    /// Looks after messages whose pump is gone, the oldest first.
    fn abandon(all: Vec<Self>, subscription: &Arc<Subscription>);
}

/// Feeds one handler, as a future of its context. Messages are handled in the order of their arrival;
/// at most `max_in_flight` asynchronous results are awaited at a time.
pub(crate) struct Pump<A: Actor, D: Dispatch<A>> {
    dispatch: D,
    subscription: Arc<Subscription>,
    member: Arc<Member>,
    place: Place,
    in_flight: InFlightSet<D::Pending>,
    max_in_flight: usize,
    /// Reused from chunk to chunk.
    acks: Vec<MessageId>,
    name: ActorName,
    budget: CoopBudget,
    watch: HandlingWatch,
    /// Messages that were taken, and those of them that the watch does not count: asynchronous handlers were given them, or
    /// none was called.
    taken: u64,
    awaited: u64,
    actor: PhantomData<fn(A)>,
}

/// Next step of the pump after a chunk.
enum Next {
    TakeChunk,
    EndPoll,
}

impl<A: Actor, D: Dispatch<A>> Pump<A, D> {
    pub(crate) fn new(
        subscription: Arc<Subscription>,
        member: Arc<Member>,
        max_in_flight: usize,
        dispatch: D,
    ) -> Self {
        let timings = Arc::clone(subscription.context.timings());
        member.note_pump();
        Self {
            dispatch,
            subscription,
            member,
            place: Place::new(),
            in_flight: InFlightSet::new(),
            max_in_flight: max_in_flight.max(1),
            acks: Vec::new(),
            name: ActorName::of::<A>(),
            budget: CoopBudget::new(),
            watch: HandlingWatch::new(timings),
            taken: 0,
            awaited: 0,
            actor: PhantomData,
        }
    }

    /// Settles the messages that asynchronous handlers have finished.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((pending, finished, begun)) = self.in_flight.poll_ended(cx) {
            self.watch.note_finished(begun);
            pending.land(&self.subscription, finished);
        }
        self.member.note_held_since(self.in_flight.oldest());
    }

    /// Takes the next messages: all of a chunk, or one at a time where others compete for them,
    /// so that whoever has the least to do gets the next one.
    fn poll_take(
        &mut self,
        subscription: &Subscription,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Chunk>> {
        if !self.member.is_running() {
            // Whoever is paused stands in nobody's way.
            self.place.leave(&subscription.inbox.consumers);
            if !ready!(self.member.poll_running(cx)) {
                return Poll::Ready(None);
            }
        }
        let inbox = &subscription.inbox;
        let chunk = if subscription.is_group() {
            ready!(inbox.poll_take_one(cx, &mut self.place))
        } else {
            ready!(inbox.poll_take(cx, &mut self.place))
        };
        Poll::Ready(chunk.ok())
    }
}

impl<A, D> Pump<A, D>
where
    A: Actor<Context = ActorContext<A>>,
    D: Dispatch<A>,
{
    /// Works through one chunk.
    fn work(
        &mut self,
        lease: &mut ChunkLease<'_>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut Context<'_>,
    ) -> Next {
        let cache = CacheScope::new();
        let waiting = lease.chunk().messages();
        loop {
            // As with a mailbox: an actor that waits, or is about to stop, is given nothing.
            if ctx.waiting() {
                return Next::EndPoll;
            }
            let left = lease.chunk().messages();
            let is_last = left == 0;
            if !(is_last && self.budget.skips_last()) {
                let before = self.taken.wrapping_sub(self.awaited);
                let taken = || waiting.saturating_sub(lease.chunk().messages()) as u64;
                let handled = || before.wrapping_add(taken());
                let next = self.budget.poll_next(cx, &mut self.watch, handled);
                if next.is_pending() {
                    return Next::EndPoll;
                }
            }
            // The handler may have paused or ended its subscription, or answered more than its
            // peer reads: then the inbox sets the rest aside.
            if !self.member.is_running() || lease.chunk().link().is_in_debt() {
                return Next::TakeChunk;
            }
            let Some(span) = lease.next() else {
                return Next::TakeChunk;
            };
            match self.dispatch.dispatch(lease, span, &cache, act, ctx) {
                Dispatched::Settled => continue,
                Dispatched::Skipped => {
                    self.awaited = self.awaited.wrapping_add(1);
                    continue;
                }
                Dispatched::Failed => {
                    // One that comes again is back in its chunk, and was handled all the same.
                    if lease.chunk().messages() == left {
                        self.awaited = self.awaited.wrapping_sub(1);
                    }
                    return Next::TakeChunk;
                }
                Dispatched::Pending(pending) => {
                    self.awaited = self.awaited.wrapping_add(1);
                    self.in_flight.push(pending, clock::now());
                }
            }
            self.poll_in_flight(cx);
            if self.in_flight.len() >= self.max_in_flight {
                return Next::EndPoll;
            }
        }
    }

    /// Works through chunks for as long as there are some, and it has the time.
    fn poll_inbox(&mut self, act: &mut A, ctx: &mut A::Context, cx: &mut Context<'_>) -> Poll<()> {
        let pump = self;
        let subscription = Arc::clone(&pump.subscription);
        loop {
            if !pump.in_flight.is_empty() {
                pump.poll_in_flight(cx);
                if pump.in_flight.len() >= pump.max_in_flight {
                    return Poll::Pending;
                }
            }
            let Some(chunk) = ready!(pump.poll_take(&subscription, cx)) else {
                // Messages that handlers have in hand are still theirs.
                return match pump.in_flight.is_empty() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                };
            };
            let acks = std::mem::take(&mut pump.acks);
            let waiting = chunk.messages();
            let mut lease = ChunkLease::new(&subscription, chunk, acks);
            pump.member.set_at_work(true);
            let next = pump.work(&mut lease, act, ctx, cx);
            let taken = waiting - lease.chunk().messages();
            pump.taken += taken as u64;
            pump.member.note_taken(taken);
            pump.acks = lease.end();
            pump.member.set_at_work(false);
            if pump.member.has_left() {
                // The handler has unsubscribed: what it gave back is in front of the rest again.
                subscription.notice_the_dead();
            }
            read_fairness::start_over();
            match next {
                Next::TakeChunk => {}
                Next::EndPoll => return Poll::Pending,
            }
        }
    }
}

impl<A, D> ActorFuture<A> for Pump<A, D>
where
    A: Actor<Context = ActorContext<A>>,
    D: Dispatch<A>,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let pump = &mut *self;
        let _busy = telemetry::enter(pump.name);
        pump.budget.begin();
        pump.watch.begin();
        let polled = pump.poll_inbox(act, ctx, cx);
        pump.watch.end(pump.taken.wrapping_sub(pump.awaited));
        polled
    }
}

impl<A: Actor, D: Dispatch<A>> Drop for Pump<A, D> {
    fn drop(&mut self) {
        self.place.leave(&self.subscription.inbox.consumers);
        self.member.note_end_of_pump();
        self.member.note_held_since(None);
        self.member.set_at_work(false);
        if !self.in_flight.is_empty() {
            D::Pending::abandon(self.in_flight.take_all(), &self.subscription);
        }
        self.subscription.notice_the_dead();
    }
}
