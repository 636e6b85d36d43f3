//! Received messages into a `Handler<Received<T>>`.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix::{Actor, Context as ActorContext, Handler};
use bytes::Bytes;

use super::delivery::{ChunkLease, Detached};
use super::failure::Failure;
use super::handle_cache::{CacheScope, CachedHandle};
use super::handled::{Ending, HandlerReturn, begin};
use super::in_flight::{Finished, PollEnd};
use super::one_subscription::Subscription;
use super::pump::{Dispatch, Dispatched, PendingResult};
use super::received::{Received, Ticket};
use super::settlement::{Settlement, SettlementCell};
use super::wrapping::{Bare, Wrapping};
use crate::inbox::MessageSpan;
use crate::payload::{Codec, Format, Payload, decode};
use crate::supervise::incarnation_end::on_incarnation_end;
use crate::trace::{Consumer, Incoming, Span};

/// Dispatches received messages of one type.
pub(crate) struct Receive<T, W = Bare> {
    codec: Codec,
    wrapping: W,
    /// Reused from message to message while no handler keeps it.
    settlement: Arc<SettlementCell>,
    consumer: Consumer,
    message: PhantomData<fn(T)>,
}

impl<T: Payload, W: Wrapping> Receive<T, W> {
    /// Values of serde types are decoded by this codec.
    pub(crate) fn new(codec: Codec, wrapping: W) -> Self {
        Self {
            codec,
            wrapping,
            settlement: Arc::new(SettlementCell::default()),
            consumer: Consumer::default(),
            message: PhantomData,
        }
    }

    /// Messages have these spans.
    pub(crate) fn traced(mut self, consumer: Consumer) -> Self {
        self.consumer = consumer;
        self
    }

    /// A place for the handler's decision: that of the last message, if its handler has not kept it.
    #[inline]
    fn lend_settlement(
        &mut self,
        cache: &CacheScope,
        acknowledged: bool,
        again: bool,
    ) -> CachedHandle<SettlementCell> {
        let left = cache.settle(&self.settlement);
        // The pump has one handle, and what was left is the other: nobody else is to decide by it.
        let unique = left.filter(|_| Arc::strong_count(&self.settlement) == 2);
        let lent = unique.unwrap_or_else(|| {
            self.settlement = Arc::new(SettlementCell::default());
            CachedHandle::new(Arc::clone(&self.settlement))
        });
        lent.renew(acknowledged, again);
        lent
    }

    #[inline]
    fn settlement_of(&self, ticketed: bool) -> Settlement {
        if ticketed {
            self.settlement.decision()
        } else {
            Settlement::Finished
        }
    }
}

/// True if the handler's decision comes back by a ticket: for messages that want an
/// acknowledgement, and for those that are rejected without having their bytes any more. Those that may have metadata
/// have one, too.
#[inline]
fn has_ticket<T: Payload>(span: MessageSpan) -> bool {
    !span.is_plain() || !T::Format::IS_RAW
}

impl<A, T, W> Dispatch<A> for Receive<T, W>
where
    A: Actor<Context = ActorContext<A>> + Handler<Received<T>>,
    A::Result: 'static,
    T: Payload,
    W: Wrapping,
{
    type Pending = PendingMessage<W::Handling>;

    #[inline]
    fn dispatch(
        &mut self,
        lease: &mut ChunkLease<'_>,
        span: MessageSpan,
        cache: &CacheScope,
        act: &mut A,
        ctx: &mut A::Context,
    ) -> Dispatched<PendingMessage<W::Handling>> {
        let raw = lease.chunk().payload(span);
        let handling = self.wrapping.begin(raw.len(), || lease.was_delivered());
        let mut trace = self.consumer.process(|| incoming::<W>(lease, span, &raw));
        let raw = W::unwrap(raw).unwrap_or_default();
        let payload = match decode::<T>(raw, self.codec) {
            Ok(payload) => payload,
            Err(error) => {
                trace.fail("undecodable", &error);
                lease.undecodable(&error);
                return Dispatched::Skipped;
            }
        };
        let ticketed = has_ticket::<T>(span);
        let ticket = match ticketed {
            true => {
                let settlement =
                    self.lend_settlement(cache, span.wants_ack(), lease.was_delivered());
                let ticket = self.wrapping.ticket(settlement, || lease.chunk().id(span));
                ticket.with_metadata(lease.chunk().metadata(span))
            }
            false => Ticket::None,
        };
        let received = Received::new(payload, cache.link(lease.chunk().link()), ticket);
        let returned = {
            let _entered = trace.enter();
            begin::<A, T>(act.handle(received, ctx), ctx, &trace)
        };
        let ending = match returned {
            HandlerReturn::Finished => {
                let settlement = self.settlement_of(ticketed);
                end_span(&mut trace, settlement, None);
                lease.settle(settlement);
                return Dispatched::Settled;
            }
            HandlerReturn::Failed(failure) => {
                let settlement = self.settlement_of(ticketed);
                end_span(&mut trace, settlement, Some(&failure));
                lease.fail(settlement, &failure);
                return Dispatched::Failed;
            }
            HandlerReturn::Awaited(ending) => ending,
        };
        Dispatched::Pending(PendingMessage {
            message: lease.detach(),
            settlement: ticketed.then(|| Arc::clone(&self.settlement)),
            ending,
            trace,
            handling,
        })
    }
}

/// What its span tells of the message in hand.
fn incoming<W: Wrapping>(lease: &ChunkLease<'_>, span: MessageSpan, raw: &Bytes) -> Incoming {
    let chunk = lease.chunk();
    let metadata = chunk.metadata(span).and_then(|metadata| metadata.trace());
    Incoming {
        creation: metadata.or_else(|| W::creation(raw)),
        peer: chunk.link().peer(),
        bytes: W::unwrap(raw.clone()).map_or(0, |body| body.len()),
        id: chunk.id(span),
        ask: None,
    }
}

/// The handler has finished, or failed.
#[inline]
fn end_span(trace: &mut Span, settlement: Settlement, failure: Option<&Failure>) {
    match (settlement, failure) {
        (Settlement::Finished, None) => trace.succeed(),
        (Settlement::Finished, Some(failure)) => trace.fail("handler_failed", failure),
        (Settlement::Nack(_), _) => trace.fail("put_off", &"the handler put it off"),
        (Settlement::Reject, _) => trace.fail("rejected", &"the handler rejected it"),
    }
}

/// A message that an asynchronous handler has not finished.
pub(crate) struct PendingMessage<H> {
    message: Option<Detached>,
    settlement: Option<Arc<SettlementCell>>,
    ending: Ending,
    trace: Span,
    /// Dropped with this, when the message is handled.
    #[expect(dead_code, reason = "that it lives is all that counts")]
    handling: H,
}

impl<H: Unpin> PollEnd for PendingMessage<H> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        self.ending.poll_end(cx)
    }
}

impl<H: Send + Unpin + 'static> PendingResult for PendingMessage<H> {
    fn land(mut self, subscription: &Arc<Subscription>, finished: Finished) {
        let Some(message) = self.message else {
            return;
        };
        let settlement = self
            .settlement
            .map_or(Settlement::Finished, |settlement| settlement.decision());
        if finished || self.ending.failure().is_some() {
            end_span(&mut self.trace, settlement, self.ending.failure());
        }
        match self.ending.failure() {
            None if finished => message.settle(subscription, settlement),
            Some(_) if settlement != Settlement::Finished => {
                message.settle(subscription, settlement);
            }
            failure => message.fail(subscription, failure),
        }
    }

    /// The futures of a supervised actor are dropped when its incarnation ends, so that what they had
    /// is back in the inbox, in order, before anybody else runs.
    fn abandon(all: Vec<Self>, subscription: &Arc<Subscription>) {
        let subscription = Arc::clone(subscription);
        let settle = move || {
            // The last one first, so that the first one is the first to be delivered again.
            for pending in all.into_iter().rev() {
                pending.settle_alone(&subscription);
            }
        };
        if let Err(settle) = on_incarnation_end(Box::new(settle)) {
            settle();
        }
    }
}

impl<H: Send + Unpin + 'static> PendingMessage<H> {
    /// Its pump is gone.
    fn settle_alone(mut self, subscription: &Arc<Subscription>) {
        match self.ending.try_end() {
            // Its future is gone, if it has not finished.
            Some(finished) => self.land(subscription, finished),
            None => self.follow(Arc::clone(subscription)),
        }
    }

    /// A detached future still has the message: it is settled when that ends, and is never
    /// handled twice at a time.
    fn follow(self, subscription: Arc<Subscription>) {
        let mut followed = Followed {
            pending: Some(self),
            subscription,
        };
        // Without a runtime it is settled here, as it is dropped.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { poll_fn(|cx| followed.poll_landed(cx)).await });
        }
    }
}

/// A message whose pump is gone, and which a detached future still has. If the runtime ends before that future, it is
/// settled as well.
struct Followed<H: Send + Unpin + 'static> {
    pending: Option<PendingMessage<H>>,
    subscription: Arc<Subscription>,
}

impl<H: Send + Unpin + 'static> Followed<H> {
    fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pending) = &mut self.pending {
            let finished = ready!(pending.poll_end(cx));
            self.land(finished);
        }
        Poll::Ready(())
    }

    fn land(&mut self, finished: Finished) {
        if let Some(pending) = self.pending.take() {
            pending.land(&self.subscription, finished);
        }
    }
}

impl<H: Send + Unpin + 'static> Drop for Followed<H> {
    fn drop(&mut self) {
        // What has finished in the meantime is still handled.
        let ending = self.pending.as_mut().map(|pending| &mut pending.ending);
        let finished = ending.and_then(Ending::try_end).unwrap_or(false);
        self.land(finished);
    }
}
