//! One ask, from the question to its answer.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::ask_messages::{EndedAsk, question, read_answer};
use super::handle::Socket;
use super::replies::Replies;
use super::sending::Sending;
use super::sending_ask::SendingAsk;
use crate::ask::{AskOutcome, AskRequest, Asks, Unanswered, Whom};
use crate::clock;
use crate::core::SocketCore;
use crate::error::{AskError, EncodeError, SendError};
use crate::lifecycle::SocketState;
use crate::link::{Link, Target};
use crate::payload::{self, Metadata, TraceContext};
use crate::trace::{Parent, Span};

/// Time that an ask waits by default.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// An ask, which begins when it is awaited. As any future it runs in an actor's context, too:
/// `ctx.spawn(socket.ask(Whom::Any, &question).into_actor(self).map(|answer, actor, ctx| …))`.
///
/// # Cancel safety
///
/// Dropped before it resolves, the ask is given up, and the peer is told so.
#[must_use = "an ask begins when it is awaited"]
pub struct Asking<Q> {
    plan: AskPlan,
    /// Once it has begun.
    running: Option<RunningAsk>,
    request: PhantomData<fn() -> Q>,
}

/// The work of an ask.
pub(super) type RunningAsk = Pin<Box<dyn Future<Output = EndedAsk> + Send>>;

/// Holds the question, whom it goes to, and how long the answer is waited for.
#[derive(Clone)]
struct AskPlan {
    core: Arc<SocketCore>,
    whom: Whom,
    body: Result<Bytes, EncodeError>,
    timeout: Duration,
    waits: Waits,
    trace: Option<TraceContext>,
    metadata: Metadata,
    /// What the ask's span belongs to.
    parent: Parent,
    topic: &'static str,
}

impl<Q> std::fmt::Debug for Asking<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("whom", &self.plan.whom)
            .field("timeout", &self.plan.timeout)
            .finish_non_exhaustive()
    }
}

/// Behaviour while there is nobody to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForPeer,
    No,
}

impl Socket {
    /// Asks one peer, or any, and waits for its answer:
    /// `socket.ask(Whom::Any, &GetUser { id }).timeout(Duration::from_secs(1)).await?`.
    ///
    /// It is sent at most once, whatever the socket's guarantee: the answer is its acknowledgement.
    /// While nobody is connected to be asked, it waits, within its timeout. The time that is left,
    /// and the end of the wait if that is dropped, travel to the peer.
    ///
    /// The future fails with [`AskError`]: `NoPeer`, `PeerGone`, `Timeout`, `Remote`, `Decode`, and
    /// `Encode`, `Send` or `Closed` for what cannot be sent.
    pub fn ask<Q: AskRequest>(&self, whom: impl Into<Whom>, request: &Q) -> Asking<Q> {
        let core = Arc::clone(self.core());
        let plan = AskPlan {
            body: payload::encode(request, core.config.codec),
            parent: core.config.tracing.parent(),
            topic: Q::TOPIC,
            core,
            whom: whom.into(),
            timeout: TIMEOUT,
            waits: Waits::ForPeer,
            trace: None,
            metadata: Metadata::new(),
        };
        Asking {
            plan,
            running: None,
            request: PhantomData,
        }
    }

    /// Asks every peer that is connected now the same, and yields their answers as they come, until
    /// all have answered or are gone, or the timeout is over.
    ///
    /// # Errors
    ///
    /// [`Encode`](AskError::Encode) when the request cannot be, and [`NoPeer`](AskError::NoPeer)
    /// when nobody is connected.
    pub fn ask_all<Q: AskRequest>(
        &self,
        request: &Q,
        timeout: Duration,
    ) -> Result<Replies<Q>, AskError> {
        let core = self.core();
        let body = payload::encode(request, core.config.codec)?;
        Replies::start(Arc::clone(core), &body, timeout)
    }
}

impl<Q: AskRequest> Asking<Q> {
    /// For how long to wait for the answer. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.timeout = timeout;
        self
    }

    /// Fails with [`NoPeer`](AskError::NoPeer) at once where nobody is connected to be asked, instead
    /// of waiting for somebody to come.
    pub fn fail_fast(mut self) -> Self {
        self.plan.waits = Waits::No;
        self
    }

    /// Adds a header to the ask, which the peer's handler sees if its socket
    /// [reads metadata](crate::SocketBuilder::read_metadata); see [`Sending::header`].
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.plan.metadata.set_header(name.as_ref(), value.as_ref());
        self
    }

    /// The trace that this ask belongs to; the peer's handler sees it.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.plan.trace = Some(trace);
        self
    }
}

impl AskPlan {
    /// Asks, and has a span from now on.
    async fn run(mut self) -> EndedAsk {
        let tracing = &self.core.config.tracing;
        let span = tracing.ask(&self.parent, self.topic, self.trace);
        // The one that the program has given stays.
        self.trace = self.trace.or(span.context());
        let time = self.core.timings.time_ask();
        let outcome = self.carry_out(&span).await;
        drop(time);
        (outcome, span)
    }

    async fn carry_out(self, span: &Span) -> Result<Bytes, AskError> {
        let body = self.body?;
        let core = &self.core;
        let deadline = clock::after(self.timeout);
        let link = find_peer(core, self.whom, self.waits, deadline).await?;
        let target = Target::Peer(link.peer());
        let (number, mut answer) = core.inbound.asks.register_one(&link, target, deadline);
        let _guard = AskGuard {
            asks: &core.inbound.asks,
            number,
        };
        if link.is_closed() {
            // It may have left before it was known that we wait for it.
            return Err(AskError::PeerGone);
        }
        span.note_ask(link.peer(), core.inbound.asks.id_of(number));
        let payload = question(&core.inbound.asks, number, self.timeout, self.trace, &body);
        let metadata = self.metadata.clone();
        let mut sending = Sending::new(&core.router, target, payload);
        if !metadata.is_empty() {
            sending = sending.metadata(metadata);
        }
        let sending = SendingAsk::new(sending, deadline);
        tokio::select! {
            biased;
            sent = sending => sent.map_err(not_sent)?,
            outcome = &mut answer => return ended(outcome),
        }
        ended(answer.await)
    }
}

fn ended(outcome: Result<AskOutcome, oneshot::error::RecvError>) -> Result<Bytes, AskError> {
    Ok(outcome.unwrap_or(Err(Unanswered::Closed))?)
}

fn not_sent(error: SendError) -> AskError {
    match error {
        SendError::Closed(_) => AskError::Closed,
        SendError::UnknownPeer { .. } => AskError::PeerGone,
        other => AskError::Send(other),
    }
}

impl<Q: AskRequest> Future for Asking<Q> {
    type Output = Result<Q::Reply, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { plan, running, .. } = &mut *self;
        let running = running.get_or_insert_with(|| Box::pin(plan.clone().run()));
        let ended = ready!(running.as_mut().poll(cx));
        Poll::Ready(read_answer::<Q>(ended, plan.core.config.codec))
    }
}

/// The connection of the next peer in turn, for an ask that is passed on; waits for one to come. `None` when the deadline
/// is over, or the socket closed.
pub(crate) async fn peer_to_ask(core: &SocketCore, deadline: Instant) -> Option<Arc<Link>> {
    find_peer(core, Whom::Any, Waits::ForPeer, deadline)
        .await
        .ok()
}

/// The connection of whom to ask; waits for one to come.
async fn find_peer(
    core: &SocketCore,
    whom: Whom,
    waits: Waits,
    deadline: Instant,
) -> Result<Arc<Link>, AskError> {
    let mut state = core.lifecycle.state();
    loop {
        if !core.lifecycle.is_open() {
            return Err(AskError::Closed);
        }
        // Before it is looked: what changes from now on is not missed.
        let _: SocketState = *state.borrow_and_update();
        let link = match whom {
            Whom::Any => core.router.peer_in_turn(),
            Whom::Peer(peer) => core.router.link_to(peer),
        };
        match link.filter(|link| !link.is_closed()) {
            Some(link) => return Ok(link),
            None if waits == Waits::No => return Err(AskError::NoPeer),
            None => {}
        }
        let deadline = tokio::time::Instant::from_std(deadline);
        match tokio::time::timeout_at(deadline, state.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(AskError::Closed),
            Err(_) => return Err(AskError::NoPeer),
        }
    }
}

/// Gives the ask up, unless it has ended.
pub(super) struct AskGuard<'a> {
    pub(super) asks: &'a Asks,
    pub(super) number: u64,
}

impl Drop for AskGuard<'_> {
    fn drop(&mut self) {
        self.asks.give_up(self.number);
    }
}
