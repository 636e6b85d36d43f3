//! Asks into a `Handler<Ask<Q>>`, whose result is the answer.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix::dev::MessageResponse;
use actix::{Actor, Context as ActorContext, Handler};
use tokio::sync::oneshot;

use super::incoming::Ask;
use super::request::{Answer, AskRequest};
use super::table::Asks;
use crate::clock;
use crate::engine::LogPermit;
use crate::error::{AskFailure, DecodeError};
use crate::inbox::MessageSpan;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target};
use crate::payload::{
    AskEnvelope, AskId, AskKind, Codec, Filter, Format, Payload, ServiceAddress, decode,
};
use crate::routing::{Router, SendRefusal};
use crate::subscription::{
    CacheScope, ChunkLease, Detached, Dispatch, Dispatched, Finished, PendingResult, PollEnd,
    ServiceHandling, ServiceMeter, Settlement, Subscription,
};
use crate::telemetry::{self, Topic};
use crate::trace::{Consumer, Incoming, Span};

/// Failure of an answer for which a frame has no room.
const TOO_LARGE: &str = "the answer is too large";

/// Asks whose request is of this type.
pub(crate) fn asks_for<Q: AskRequest>() -> Filter {
    let name = format!("ask {}", std::any::type_name::<Q>());
    let inner = Q::filter();
    Filter::matching(name, move |payload: &[u8]| {
        AskEnvelope::read(payload).is_some_and(|(envelope, body)| {
            envelope.kind == AskKind::Ask && inner.takes_payload(body)
        })
    })
}

/// Dispatches asks of one type.
pub(crate) struct Serve<Q> {
    asks: Arc<Asks>,
    subscription: Arc<Subscription>,
    codec: Codec,
    /// Of the service that the asks are for, if they are for one.
    meter: Option<Arc<ServiceMeter>>,
    consumer: Consumer,
    request: PhantomData<fn(Q)>,
}

impl<A, Q> Dispatch<A> for Serve<Q>
where
    A: Actor<Context = ActorContext<A>> + Handler<Ask<Q>>,
    A::Result: 'static,
    Q: AskRequest,
{
    type Pending = Answering<Q>;

    fn dispatch(
        &mut self,
        lease: &mut ChunkLease<'_>,
        span: MessageSpan,
        _: &CacheScope,
        act: &mut A,
        ctx: &mut A::Context,
    ) -> Dispatched<Answering<Q>> {
        let Some((mut answering, ask)) = self.begin(lease, span) else {
            return Dispatched::Skipped;
        };
        let (sender, mut answer) = oneshot::channel();
        {
            let _entered = answering.trace.enter();
            let result = act.handle(ask, ctx);
            let result = answering.trace.wrap_result::<A, _, Answer<Q>>(result);
            result.handle(ctx, Some(sender));
        }
        match answer.try_recv() {
            Ok(answer) => answering.answer(answer),
            Err(oneshot::error::TryRecvError::Closed) => drop(answering),
            Err(oneshot::error::TryRecvError::Empty) => {
                answering.answer = Some(answer);
                return Dispatched::Pending(answering);
            }
        }
        Dispatched::Settled
    }
}

impl<Q: AskRequest> Serve<Q> {
    pub(crate) fn new(asks: Arc<Asks>, subscription: Arc<Subscription>, codec: Codec) -> Self {
        Self {
            asks,
            subscription,
            codec,
            meter: None,
            consumer: Consumer::default(),
            request: PhantomData,
        }
    }

    /// Asks have these spans.
    pub(crate) fn traced(mut self, consumer: Consumer) -> Self {
        self.consumer = consumer;
        self
    }

    /// The asks are for a service, whose load counts them.
    pub(crate) fn metered(mut self, meter: Arc<ServiceMeter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// The envelope of an ask, and the request behind it.
    fn read<'a>(&self, raw: &'a [u8]) -> Option<(AskEnvelope, &'a [u8])> {
        let (envelope, body) = AskEnvelope::read(raw)?;
        match self.meter {
            None => Some((envelope, body)),
            Some(_) => Some((envelope, ServiceAddress::read(body)?.1)),
        }
    }

    /// Takes the ask in hand out of its lease. `None` if nobody waits for an answer, or it was
    /// answered at once.
    fn begin(
        &self,
        lease: &mut ChunkLease<'_>,
        span: MessageSpan,
    ) -> Option<(Answering<Q>, Ask<Q>)> {
        let raw = lease.chunk().payload(span);
        // Its drop tells the meter that the ask is finished, whatever becomes of it.
        let handling = self.meter.as_ref();
        let handling = handling.map(|meter| ServiceHandling::first(meter, raw.len()));
        let Some((envelope, body)) = self.read(&raw) else {
            // The filter lets nothing else pass.
            lease.settle(Settlement::Reject);
            return None;
        };
        let link = Arc::clone(lease.chunk().link());
        let peer = link.peer();
        let metadata = lease.chunk().metadata(span);
        let patience = Duration::from_millis(envelope.patience_millis.into());
        let arrival = lease.chunk().arrival().unwrap_or_else(clock::now);
        let deadline = (!patience.is_zero()).then(|| arrival + patience);
        let is_over = deadline.is_some_and(|deadline| deadline <= clock::now());
        let begun = match is_over {
            true => {
                self.asks.pass_over(peer, envelope.id);
                None
            }
            false => self.asks.begin(peer, envelope.id),
        };
        let Some(cancel) = begun else {
            // The asker has given up, or its time is over: no answer, and it is finished.
            tracing::debug!(%peer, is_over, "an ask that nobody waits for is not handled");
            lease.settle(Settlement::Finished);
            return None;
        };
        let trace = self.consumer.answer(|| Incoming {
            creation: envelope.trace,
            peer,
            bytes: body.len(),
            id: None,
            ask: Some(envelope.id),
        });
        let mut answering = Answering {
            asks: Arc::clone(&self.asks),
            link,
            id: envelope.id,
            deadline,
            subscription: Arc::clone(&self.subscription),
            message: lease.detach(),
            answer: None,
            codec: self.codec,
            trace,
            handling,
        };
        match decode::<Q>(raw.slice_ref(body), self.codec) {
            Ok(request) => {
                let ask = Ask {
                    request,
                    deadline,
                    trace: envelope.trace,
                    cancel,
                    link: Arc::clone(&answering.link),
                    metadata,
                };
                Some((answering, ask))
            }
            Err(error) => {
                answering.refuse(&error);
                None
            }
        }
    }
}

/// An ask that a handler has. Dropped without an answer, as when the handler panics, it says so to
/// the asker.
pub(crate) struct Answering<Q: AskRequest> {
    asks: Arc<Asks>,
    link: Arc<Link>,
    id: AskId,
    deadline: Option<Instant>,
    subscription: Arc<Subscription>,
    message: Option<Detached>,
    answer: Option<oneshot::Receiver<Answer<Q>>>,
    codec: Codec,
    trace: Span,
    /// Of an ask of a service, until it is finished.
    handling: Option<ServiceHandling>,
}

impl<Q: AskRequest> Answering<Q> {
    fn answer(&mut self, answer: Answer<Q>) {
        if let Some(message) = self.message.take() {
            self.reply(answer);
            message.settle(&self.subscription, Settlement::Finished);
            self.handling = None;
        }
    }

    /// The request is not of the type that the handler handles.
    #[cold]
    fn refuse(&mut self, error: &DecodeError) {
        if let Some(message) = self.message.take() {
            self.trace.fail("undecodable", error);
            self.reply(Err(AskFailure::new(error)));
            message.bury_undecodable(&self.subscription, error);
            self.handling = None;
        }
    }

    /// Sends the answer, or why there is none: it may be none that can be sent.
    fn reply(&mut self, answer: Answer<Q>) {
        let router = Router::of(&self.link);
        let limit = router.as_ref().map_or(usize::MAX, |router| {
            let max_frame_bytes = router.config().max_frame_bytes;
            Link::max_payload(DeliveryGuarantee::AtMostOnce, max_frame_bytes)
        });
        let payload = match answer.and_then(|reply| self.write(&reply, limit)) {
            Ok(payload) => {
                self.trace.succeed();
                payload
            }
            Err(failure) => {
                self.trace.fail("handler_failed", &failure.text());
                self.write_failure(&failure, limit)
            }
        };
        if let Some(router) = router {
            send(&router, &self.link, payload, self.deadline);
        }
        self.asks.finish(self.link.peer(), self.id);
    }

    fn write(&self, reply: &Q::Reply, limit: usize) -> Result<Vec<u8>, AskFailure> {
        let mut body = Vec::new();
        <Q::Reply as Payload>::Format::encode(reply, self.codec, &mut body)?;
        let payload = AskEnvelope::new(AskKind::Reply, self.id).write(&body);
        match payload.len() <= limit {
            true => Ok(payload),
            false => Err(AskFailure::new(TOO_LARGE)),
        }
    }

    fn write_failure(&self, failure: &AskFailure, limit: usize) -> Vec<u8> {
        let write = |text: &str| AskEnvelope::new(AskKind::Failure, self.id).write(text.as_bytes());
        let payload = write(failure.text());
        match payload.len() <= limit {
            true => payload,
            false => write(TOO_LARGE),
        }
    }
}

impl<Q: AskRequest> Drop for Answering<Q> {
    fn drop(&mut self) {
        // What has resolved in the meantime is still an answer.
        let answer = (self.answer.as_mut()).and_then(|answer| answer.try_recv().ok());
        let answer = answer.unwrap_or_else(|| {
            self.trace.abandon();
            Err(AskFailure::new("the handler failed"))
        });
        self.answer(answer);
    }
}

impl<Q: AskRequest> PollEnd for Answering<Q> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(false);
        };
        let answer = ready!(Pin::new(answer).poll(cx));
        self.answer = None;
        let finished = answer.is_ok();
        if let Ok(answer) = answer {
            self.answer(answer);
        }
        Poll::Ready(finished)
    }
}

impl<Q: AskRequest> PendingResult for Answering<Q> {
    /// The asker has its answer, or gets to know by the drop that there is none.
    fn land(self, _: &Arc<Subscription>, _: Finished) {}

    fn abandon(all: Vec<Self>, _: &Arc<Subscription>) {
        drop(all);
    }
}

/// Sends the payload of an answer. Where the connection has ended, it waits for its asker to come back, and no longer than that waits
/// for it.
fn send(router: &Arc<Router>, link: &Arc<Link>, payload: Vec<u8>, deadline: Option<Instant>) {
    let target = Target::Peer(link.peer());
    let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.into());
    if link.is_closed() {
        if deadline.is_some_and(|deadline| deadline <= clock::now()) {
            tracing::debug!(peer = %link.peer(), "an answer that nobody waits for is not sent");
            return;
        }
        entry.extras.get_or_insert_default().expires = deadline;
    }
    if let Err(refusal) = router.reply(link, &mut entry) {
        let peer = link.peer();
        if matches!(refusal, SendRefusal::Closed) {
            tracing::debug!(%peer, "the socket is closed: an answer was not sent");
        } else if let Some(LogPermit { unlogged }) = telemetry::line(Topic::NotSent, peer) {
            tracing::warn!(?refusal, %peer, unlogged, "an answer was not sent; whoever asked waits until its timeout");
        }
    }
}
