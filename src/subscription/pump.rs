//! The pump: carries messages from an inbox into a handler, in the handler's own context.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context as ActorContext, Handler};

use super::coop_budget::CoopBudget;
use super::delivery::{ChunkLease, Decision, Detached, Settle};
use super::handled::{Begun, Ending, begin};
use super::in_flight::{Finished, InFlightSet, Lands};
use super::{CachedHandle, Member, Subscription, Subscriptions, handle_cache};
use crate::id::MessageId;
use crate::inbox::{Chunk, MessageSpan, read_fairness};
use crate::payload::{Codec, Format, Payload, decode};
use crate::routing::SocketCore;
use crate::subscription::received::{Received, Ticket};
use crate::supervise::incarnation_end::on_incarnation_end;
use crate::sync::Place;

/// A message that an asynchronous handler has not finished.
struct InFlight {
    message: Option<Detached>,
    settle: Option<Arc<Settle>>,
    ending: Ending,
}

/// Feeds one handler. Messages are handled in the order of their arrival; at most
/// `max_in_flight` asynchronous results are awaited at a time.
pub(crate) struct Pump {
    core: std::sync::Weak<SocketCore>,
    subscription: Arc<Subscription>,
    member: Arc<Member>,
    place: Place,
    in_flight: InFlightSet<InFlight>,
    max_in_flight: usize,
    codec: Codec,
    acks: Vec<MessageId>,
    /// Reused from message to message while no handler keeps it.
    settle: Arc<Settle>,
    pace: CoopBudget,
}

/// Whether the pump goes on in this poll.
enum Turn {
    Again,
    Yield,
}

impl Pump {
    pub(crate) fn new(
        core: &Arc<SocketCore>,
        subscription: Arc<Subscription>,
        member: Arc<Member>,
        max_in_flight: usize,
    ) -> Self {
        Self {
            core: Arc::downgrade(core),
            subscription,
            member,
            place: Place::new(),
            in_flight: InFlightSet::new(),
            max_in_flight: max_in_flight.max(1),
            codec: core.config.codec,
            acks: Vec::new(),
            settle: Arc::new(Settle::default()),
            pace: CoopBudget::new(),
        }
    }

    /// Settles what asynchronous handlers have finished.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((flight, finished)) = self.in_flight.poll_landed(cx) {
            flight.land(&self.subscription, finished);
        }
    }

    /// A place for the handler's decision: that of the last message, if its handler has not kept it.
    #[inline]
    fn lend_settle(
        &mut self,
        tray: &handle_cache::Open,
        acknowledged: bool,
    ) -> CachedHandle<Settle> {
        let left = tray.settle(&self.settle);
        // The pump has one handle, and what was left is the other: nobody else is to decide by it.
        let unique = left.filter(|_| Arc::strong_count(&self.settle) == 2);
        let lent = unique.unwrap_or_else(|| {
            self.settle = Arc::new(Settle::default());
            CachedHandle::new(Arc::clone(&self.settle))
        });
        lent.renew(acknowledged);
        lent
    }

    /// Works through one chunk.
    fn work<A, T>(
        &mut self,
        lease: &mut ChunkLease<'_>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut Context<'_>,
    ) -> Turn
    where
        A: Actor<Context = ActorContext<A>> + Handler<Received<T>>,
        A::Result: 'static,
        T: Payload,
    {
        let tray = handle_cache::Open::new();
        loop {
            // As with a mailbox: an actor that waits, or is about to stop, is given nothing.
            if ctx.waiting() {
                return Turn::Yield;
            }
            let is_last = lease.chunk().messages() == 0;
            if !(is_last && self.pace.is_quick()) && self.pace.poll_next(cx).is_pending() {
                return Turn::Yield;
            }
            // The handler may have paused or ended its subscription, or answered more than its
            // peer reads: then the inbox sets the rest aside.
            if !self.member.is_running() || lease.chunk().link().is_in_debt() {
                return Turn::Again;
            }
            let Some(position) = lease.next() else {
                return Turn::Again;
            };
            let payload = match decode::<T>(lease.chunk().payload(position), self.codec) {
                Ok(payload) => payload,
                Err(error) => {
                    lease.undecodable(&error);
                    continue;
                }
            };
            let ticketed = has_ticket::<T>(position);
            let ticket = match ticketed {
                true => Ticket::Handler(self.lend_settle(&tray, position.wants_ack())),
                false => Ticket::None,
            };
            let received = Received::new(payload, tray.link(lease.chunk().link()), ticket);
            let ending = match begin::<A, T>(act.handle(received, ctx), ctx) {
                Begun::Finished => {
                    lease.settle(self.decision_of(ticketed));
                    continue;
                }
                Begun::Failed(failure) => {
                    // Whoever of a group is free gets it next.
                    lease.fail(self.decision_of(ticketed), &failure);
                    return Turn::Again;
                }
                Begun::Awaited(ending) => ending,
            };
            self.in_flight.push(InFlight {
                message: lease.detach(),
                settle: ticketed.then(|| Arc::clone(&self.settle)),
                ending,
            });
            self.poll_in_flight(cx);
            if self.in_flight.len() >= self.max_in_flight {
                return Turn::Yield;
            }
        }
    }

    #[inline]
    fn decision_of(&self, ticketed: bool) -> Decision {
        if ticketed {
            self.settle.decision()
        } else {
            Decision::Finished
        }
    }
}

/// Whether the handler's decision comes back by a ticket: for messages that want an
/// acknowledgement, and for those that are rejected without having their bytes any more.
#[inline]
fn has_ticket<T: Payload>(position: MessageSpan) -> bool {
    position.wants_ack() || !T::Format::IS_RAW
}

/// The pump as a future of the handler's context.
pub(crate) struct PumpFuture<T> {
    pump: Pump,
    message: std::marker::PhantomData<fn(T)>,
}

impl Pump {
    /// Values of serde types are decoded by this codec.
    pub(crate) fn with_codec(mut self, codec: Option<Codec>) -> Self {
        self.codec = codec.unwrap_or(self.codec);
        self
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

    /// The future that the handler's context runs.
    pub(crate) fn into_future<T>(self) -> PumpFuture<T> {
        PumpFuture {
            pump: self,
            message: std::marker::PhantomData,
        }
    }
}

impl<A, T> ActorFuture<A> for PumpFuture<T>
where
    A: Actor<Context = ActorContext<A>> + Handler<Received<T>>,
    A::Result: 'static,
    T: Payload,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let pump = &mut self.pump;
        pump.pace.begin();
        let subscription = Arc::clone(&pump.subscription);
        loop {
            if !pump.in_flight.is_empty() {
                pump.poll_in_flight(cx);
                if pump.in_flight.len() >= pump.max_in_flight {
                    return Poll::Pending;
                }
            }
            let Some(chunk) = ready!(pump.poll_take(&subscription, cx)) else {
                return Poll::Ready(());
            };
            let acks = std::mem::take(&mut pump.acks);
            let waiting = chunk.messages();
            let mut lease = ChunkLease::new(&subscription, chunk, acks);
            let turn = pump.work::<A, T>(&mut lease, act, ctx, cx);
            pump.member.note_taken(waiting - lease.chunk().messages());
            pump.acks = lease.end();
            read_fairness::start_over();
            match turn {
                Turn::Again => {}
                Turn::Yield => return Poll::Pending,
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.place.leave(&self.subscription.inbox.consumers);
        let orphans = Orphans {
            subscription: Arc::clone(&self.subscription),
            flights: self.in_flight.take_all(),
        };
        if !orphans.flights.is_empty() {
            // The futures of a supervised actor are dropped by then, so that what they had is back
            // in the inbox, in order, before anybody else runs.
            let settle = on_incarnation_end(Box::new(move || orphans.settle()));
            if let Err(settle) = settle {
                settle();
            }
        }
        if let Some(core) = self.core.upgrade() {
            let subscriptions: &Subscriptions = &core.subscriptions;
            subscriptions.notice_the_dead(&self.subscription, &core);
        }
    }
}

/// Messages of a handler that is gone, whose results had not come.
struct Orphans {
    subscription: Arc<Subscription>,
    flights: Vec<InFlight>,
}

impl Orphans {
    fn settle(self) {
        // The last one first, so that the first one is the first to be delivered again.
        for mut flight in self.flights.into_iter().rev() {
            match flight.ending.try_end() {
                // Its future is gone, if it has not finished.
                Some(finished) => flight.land(&self.subscription, finished),
                None => flight.follow(Arc::clone(&self.subscription)),
            }
        }
    }
}

impl Lands for InFlight {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        self.ending.poll_end(cx)
    }
}

impl InFlight {
    fn land(self, subscription: &Arc<Subscription>, finished: bool) {
        let Some(message) = self.message else {
            return;
        };
        let decision = self
            .settle
            .map_or(Decision::Finished, |settle| settle.decision());
        match self.ending.failure() {
            None if finished => message.settle(subscription, decision),
            Some(_) if decision != Decision::Finished => message.settle(subscription, decision),
            failure => message.fail(subscription, failure),
        }
    }

    /// A detached future still has the message: it is settled when that ends, and is never
    /// handled twice at a time.
    fn follow(mut self, subscription: Arc<Subscription>) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                let finished = std::future::poll_fn(|cx| self.ending.poll_end(cx)).await;
                self.land(&subscription, finished);
            })),
            Err(_) => self.land(&subscription, false),
        }
    }
}
