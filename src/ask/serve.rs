//! Answering asks: an actor's `Handler<Ask<Q>>`, whose result is the answer.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix::dev::MessageResponse;
use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context as ActorContext, Handler, Message};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Answer, AskRequest, Cancel};
use crate::clock;
use crate::error::AskFailure;
use crate::id::Identity;
use crate::inbox::Chunk;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target};
use crate::payload::{
    AskEnvelope, AskId, AskKind, Codec, Filter, Format, Payload, TraceContext, decode,
};
use crate::routing::SocketCore;
use crate::socket::{Socket, SubscribeOptions, Subscribed, WeakSocket};
use crate::subscription::{Decision, Detached, Finished, InFlightSet, Lands, Member, Subscription};
use crate::sync::Place;

/// Asynchronous answers that are awaited at a time if it is not said.
const IN_FLIGHT: usize = 128;

/// A question from a peer. What the handler returns is the answer: a result, or a future of one.
///
/// It reads as the request itself: `ask.id` is the `id` of a `GetUser { id }`.
#[derive(Debug)]
pub struct Ask<Q> {
    request: Q,
    peer: Identity,
    deadline: Option<Instant>,
    trace: Option<TraceContext>,
    cancel: Arc<Cancel>,
}

impl<Q: AskRequest> Message for Ask<Q> {
    type Result = Answer<Q>;
}

impl<Q> std::ops::Deref for Ask<Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        &self.request
    }
}

impl<Q> Ask<Q> {
    /// Who asks.
    pub fn peer(&self) -> Identity {
        self.peer
    }

    /// The request, without the rest.
    pub fn into_request(self) -> Q {
        self.request
    }

    /// How much longer the asker waits; `None` if it does not say. Time on the way does not count.
    pub fn remaining(&self) -> Option<Duration> {
        let now = clock::now();
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The trace that the ask belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// Whether nobody waits for the answer any more: the asker gave up, its connection ended, or
    /// its time is over.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Resolves when nobody waits for the answer any more. An asynchronous handler that works for
    /// long stops then: `tokio::select! { () = cancelled => …, user = work => … }`.
    pub fn cancelled(&self) -> impl Future<Output = ()> + use<Q> {
        let cancel = Arc::clone(&self.cancel);
        let deadline = self.deadline.map(tokio::time::Instant::from_std);
        async move {
            match deadline {
                None => cancel.cancelled().await,
                Some(deadline) => {
                    // Either way nobody waits.
                    let _ = tokio::time::timeout_at(deadline, cancel.cancelled()).await;
                }
            }
        }
    }
}

/// The context of an actor that handles [`Ask<Q>`].
#[diagnostic::on_unimplemented(
    message = "the actor of this `{Self}` does not answer `Ask<{Q}>`",
    label = "what serves `{Q}` must handle `Ask<{Q}>`",
    note = "write `impl Handler<Ask<{Q}>> for` your actor, with `type Result = Answer<{Q}>;` or a future of it",
    note = "the context of the actor must be `actix::Context<Self>`"
)]
pub trait Server<Q: AskRequest>: sealed::Sealed {
    #[doc(hidden)]
    fn start_serving(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed;
}

mod sealed {
    pub trait Sealed {}
    impl<A: actix::Actor<Context = actix::Context<A>>> Sealed for actix::Context<A> {}
}

impl Socket {
    /// Answers asks of this type, from the `started` method of an actor with
    /// `impl Handler<Ask<Q>>`; again after every restart.
    ///
    /// The handler's result is the answer, at once or when its future resolves. An error, a panic,
    /// and a request that cannot be read are answered, too: the asker gets them as
    /// [`Remote`](crate::error::AskError::Remote). Asks that it serves go to no other subscription, but for
    /// observers. Up to 128 answers are awaited at a time.
    pub fn serve<Q: AskRequest>(&self, ctx: &mut impl Server<Q>) -> Subscribed {
        self.serve_with(ctx, SubscribeOptions::default())
    }

    /// [`serve`](Self::serve), with options of its own. In a group, whoever is free answers.
    pub fn serve_with<Q: AskRequest>(
        &self,
        ctx: &mut impl Server<Q>,
        options: SubscribeOptions,
    ) -> Subscribed {
        ctx.start_serving(self, options)
    }
}

impl WeakSocket {
    /// As [`Socket::serve`]; does nothing, and yields `None`, when the socket is closed.
    pub fn serve<Q: AskRequest>(&self, ctx: &mut impl Server<Q>) -> Option<Subscribed> {
        Some(self.upgrade()?.serve(ctx))
    }

    /// As [`Socket::serve_with`]; does nothing, and yields `None`, when the socket is closed.
    pub fn serve_with<Q: AskRequest>(
        &self,
        ctx: &mut impl Server<Q>,
        options: SubscribeOptions,
    ) -> Option<Subscribed> {
        Some(self.upgrade()?.serve_with(ctx, options))
    }
}

/// Asks whose request is of this type.
fn asks_for<Q: AskRequest>() -> Filter {
    let name = format!("ask {}", std::any::type_name::<Q>());
    let inner = Q::filter();
    Filter::matching(name, move |payload: &[u8]| {
        AskEnvelope::read(payload).is_some_and(|(envelope, body)| {
            envelope.kind == AskKind::Ask && inner.takes_payload(body)
        })
    })
}

/// A missing handler is told of by the trait's own words.
#[diagnostic::do_not_recommend]
impl<A, Q> Server<Q> for ActorContext<A>
where
    A: Actor<Context = Self> + Handler<Ask<Q>>,
    Q: AskRequest,
{
    fn start_serving(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed {
        let address = self.address();
        let max_in_flight = options.in_flight_or(IN_FLIGHT);
        let codec = options.codec_or(socket.core().config.codec);
        let spec = options
            .into_wish::<A, Q>(&address, asks_for::<Q>())
            .serving();
        let core = socket.core();
        core.asks.start_serving();
        let subscribed = Subscribed::join(&address, core, spec);
        let (subscription, member) = subscribed.parts();
        self.spawn(AskPump::<A, Q> {
            core: Arc::downgrade(core),
            subscription,
            member,
            place: Place::new(),
            in_flight: InFlightSet::new(),
            max_in_flight,
            codec,
        });
        subscribed
    }
}

/// Feeds one handler with asks, and answers with its results.
struct AskPump<A, Q: AskRequest> {
    core: Weak<SocketCore>,
    subscription: Arc<Subscription>,
    member: Arc<Member>,
    place: Place,
    in_flight: InFlightSet<Answering<A, Q>>,
    max_in_flight: usize,
    codec: Codec,
}

impl<A, Q: AskRequest> Unpin for AskPump<A, Q> {}

/// An ask that a handler has. Dropped without an answer, as when the handler panics, it says so to
/// the asker.
struct Answering<A, Q: AskRequest> {
    link: Arc<Link>,
    id: AskId,
    subscription: Arc<Subscription>,
    message: Option<Detached>,
    answer: Option<oneshot::Receiver<Answer<Q>>>,
    codec: Codec,
    actor: std::marker::PhantomData<fn(A)>,
}

impl<A, Q: AskRequest> Answering<A, Q> {
    fn answer(&mut self, answer: Answer<Q>) {
        let Some(message) = self.message.take() else {
            return;
        };
        let encoded = answer.and_then(|reply| {
            let mut body = Vec::new();
            <Q::Reply as Payload>::Format::encode(&reply, self.codec, &mut body)?;
            Ok(body)
        });
        answer_with(&self.link, self.id, encoded);
        if let Some(core) = SocketCore::of(&self.link) {
            core.asks.finish(self.link.peer(), self.id);
        }
        message.settle(&self.subscription, Decision::Finished);
    }
}

impl<A, Q: AskRequest> Drop for Answering<A, Q> {
    fn drop(&mut self) {
        // What has resolved in the meantime is still an answer.
        let answer = self
            .answer
            .as_mut()
            .and_then(|answer| answer.try_recv().ok());
        self.answer(answer.unwrap_or_else(|| Err(AskFailure::new("the handler failed"))));
    }
}

impl<A, Q: AskRequest> Lands for Answering<A, Q> {
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

/// Sends the answer to an ask.
fn answer_with(link: &Arc<Link>, id: AskId, answer: Result<Vec<u8>, AskFailure>) {
    let Some(core) = SocketCore::of(link) else {
        return;
    };
    let limit = Link::max_payload(DeliveryGuarantee::AtMostOnce, core.config.max_frame_bytes);
    let mut payload = match &answer {
        Ok(body) => AskEnvelope::new(AskKind::Reply, id).write(body),
        Err(failure) => AskEnvelope::new(AskKind::Failure, id).write(failure.text().as_bytes()),
    };
    if payload.len() > limit {
        payload = AskEnvelope::new(AskKind::Failure, id).write(b"the answer is too large");
    }
    let target = Target::Peer(link.peer());
    let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.into());
    if let Err(refusal) = core.reply(link, &mut entry) {
        tracing::debug!(?refusal, peer = %link.peer(), "an answer was not sent");
    }
}

impl<A, Q> AskPump<A, Q>
where
    A: Actor<Context = ActorContext<A>> + Handler<Ask<Q>>,
    Q: AskRequest,
{
    /// Sends the answers that have resolved. Those that have not are not looked at again until they
    /// wake the task.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((answering, _)) = self.in_flight.poll_landed(cx) {
            drop(answering);
        }
    }

    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        let inbox = &self.subscription.inbox;
        if !self.member.is_running() {
            self.place.leave(&inbox.consumers);
            if !ready!(self.member.poll_running(cx)) {
                return Poll::Ready(None);
            }
        }
        Poll::Ready(ready!(inbox.poll_take_one(cx, &mut self.place)).ok())
    }

    fn handle(&mut self, chunk: Chunk, act: &mut A, ctx: &mut A::Context) {
        let Some((message, raw)) = Detached::of_single(chunk) else {
            return;
        };
        self.member.note_taken(1);
        let link = Arc::clone(message.chunk().link());
        let Some((envelope, body)) = AskEnvelope::read(&raw) else {
            // The filter lets nothing else pass.
            message.settle(&self.subscription, Decision::Reject);
            return;
        };
        let body = raw.slice_ref(body);
        let mut answering = Answering::<A, Q> {
            link,
            id: envelope.id,
            subscription: Arc::clone(&self.subscription),
            message: Some(message),
            answer: None,
            codec: self.codec,
            actor: std::marker::PhantomData,
        };
        let Some(ask) = self.ask(&envelope, body, &mut answering) else {
            return;
        };
        let (sender, mut answer) = oneshot::channel();
        act.handle(ask, ctx).handle(ctx, Some(sender));
        match answer.try_recv() {
            Ok(answer) => answering.answer(answer),
            Err(oneshot::error::TryRecvError::Closed) => drop(answering),
            Err(oneshot::error::TryRecvError::Empty) => {
                answering.answer = Some(answer);
                self.in_flight.push(answering);
            }
        }
    }

    /// What the handler gets; `None` if nobody waits for an answer, or it was answered at once.
    fn ask(
        &self,
        envelope: &AskEnvelope,
        body: Bytes,
        answering: &mut Answering<A, Q>,
    ) -> Option<Ask<Q>> {
        let peer = answering.link.peer();
        let begun = self
            .core
            .upgrade()
            .and_then(|core| core.asks.begin(peer, envelope.id));
        let Some(cancel) = begun else {
            // The asker has given up: no answer, and it is finished.
            if let Some(message) = answering.message.take() {
                message.settle(&self.subscription, Decision::Finished);
            }
            return None;
        };
        match decode::<Q>(body, self.codec) {
            Ok(request) => {
                let patience = Duration::from_millis(envelope.patience_millis.into());
                Some(Ask {
                    request,
                    peer,
                    deadline: (!patience.is_zero()).then(|| clock::now() + patience),
                    trace: envelope.trace,
                    cancel,
                })
            }
            Err(error) => {
                if let Some(message) = &answering.message {
                    message.bury_undecodable(&error);
                }
                answering.answer(Err(error.into()));
                None
            }
        }
    }
}

impl<A, Q> ActorFuture<A> for AskPump<A, Q>
where
    A: Actor<Context = ActorContext<A>> + Handler<Ask<Q>>,
    Q: AskRequest,
{
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let this = &mut *self;
        loop {
            if !this.in_flight.is_empty() {
                this.poll_in_flight(cx);
            }
            if this.in_flight.len() >= this.max_in_flight {
                return Poll::Pending;
            }
            // As many as the budget of the task allows, then other tasks get theirs.
            let coop = ready!(tokio::task::coop::poll_proceed(cx));
            let Some(chunk) = ready!(this.poll_take(cx)) else {
                return if this.in_flight.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            };
            coop.made_progress();
            this.handle(chunk, act, ctx);
        }
    }
}

impl<A, Q: AskRequest> Drop for AskPump<A, Q> {
    fn drop(&mut self) {
        self.place.leave(&self.subscription.inbox.consumers);
        drop(self.in_flight.take_all());
        if let Some(core) = self.core.upgrade() {
            let subscriptions = &core.subscriptions;
            subscriptions.notice_the_dead(&self.subscription, &core);
        }
    }
}
