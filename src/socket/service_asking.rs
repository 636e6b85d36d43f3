//! One ask of a service, over all its tries.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::ask_messages::{EndedAsk, read_answer, service_question};
use super::asking::{AskGuard, RunningAsk, TIMEOUT};
use super::service_target::{NotPicked, PickPatience, ServiceTarget};
use crate::ask::{AskOutcome, AskRequest, Unanswered};
use crate::clock;
use crate::engine::service::{
    AfterTry, AskEnd, AskTries, Idempotence, RetryPolicy, Silence, TryOutcome,
};
use crate::error::{AskError, EncodeError, SendError};
use crate::id::Identity;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target};
use crate::payload::{self, AskId, TraceContext};
use crate::services::Picked;
use crate::trace::Parent;
use crate::wire::NotHandled;

/// An ask of a service, which begins when it is awaited.
///
/// # Cancel safety
///
/// Dropped before it resolves, the ask is given up, and the instance that was asked is told so.
#[must_use = "an ask begins when it is awaited"]
pub struct ServiceAsking<Q> {
    plan: ServiceAskPlan,
    /// Once it has begun.
    running: Option<RunningAsk>,
    request: PhantomData<fn() -> Q>,
}

/// Holds the question, the service that it goes to, and how often it is tried.
#[derive(Clone)]
struct ServiceAskPlan {
    service: ServiceTarget,
    body: Result<Bytes, EncodeError>,
    policy: RetryPolicy,
    fails_fast: bool,
    trace: Option<TraceContext>,
    /// What the ask's span belongs to.
    parent: Parent,
}

impl<Q> std::fmt::Debug for ServiceAsking<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAsking")
            .field("service", &self.plan.service.followed.name())
            .field("policy", &self.plan.policy)
            .finish_non_exhaustive()
    }
}

impl<Q: AskRequest> ServiceAsking<Q> {
    pub(super) fn new(service: ServiceTarget, request: &Q) -> Self {
        let codec = service.core.config.codec;
        Self {
            plan: ServiceAskPlan {
                parent: service.core.config.tracing.parent(),
                service,
                body: payload::encode(request, codec),
                policy: RetryPolicy {
                    timeout: TIMEOUT,
                    retries: 0,
                    idempotence: Idempotence::NotIdempotent,
                    try_timeout: None,
                },
                fails_fast: false,
                trace: None,
            },
            running: None,
            request: PhantomData,
        }
    }

    /// For how long to wait for the answer, over all tries. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.policy.timeout = timeout.min(clock::LONGEST);
        self
    }

    /// How many times to try again what surely was not handled: its provider was busy, or does not offer the service
    /// any more. Default: 0. All asks of a service together retry at most ten times a second, or a fifth of their number
    /// if that is more.
    ///
    /// What was not sent when its instance went, and what an instance refused because it is about to end, goes to
    /// another one without being counted.
    pub fn retry(mut self, retries: u32) -> Self {
        self.plan.policy.retries = retries;
        self
    }

    /// Says that the request may be handled twice: it is tried again, too, when its instance was lost or has not answered in time.
    /// Without [`retry`](Self::retry) this changes nothing.
    pub fn idempotent(mut self) -> Self {
        self.plan.policy.idempotence = Idempotence::Idempotent;
        self
    }

    /// For how long to wait for one instance, where there is another try. Default: the timeout, divided by the number
    /// of tries. It holds for an [idempotent](Self::idempotent) request alone.
    pub fn try_timeout(mut self, timeout: Duration) -> Self {
        self.plan.policy.try_timeout = Some(timeout.min(clock::LONGEST));
        self
    }

    /// Fails with [`NoService`](AskError::NoService) at once where nobody can be asked, instead of waiting for somebody
    /// to come.
    pub fn fail_fast(mut self) -> Self {
        self.plan.fails_fast = true;
        self
    }

    /// The trace that this ask belongs to; the handler sees it.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.plan.trace = Some(trace);
        self
    }
}

impl ServiceAskPlan {
    /// Asks, and has one span over all tries from now on.
    async fn run(mut self) -> EndedAsk {
        let tracing = &self.service.core.config.tracing;
        let name = self.service.followed.name();
        let span = tracing.ask(&self.parent, name, self.trace);
        self.trace = self.trace.or(span.context());
        let time = self.service.core.timings.time_ask();
        let mut asked = None;
        let outcome = self.carry_out(&mut asked).await;
        drop(time);
        if let Some((peer, id)) = asked {
            span.note_ask(peer, id);
        }
        (outcome, span)
    }

    /// `asked` becomes the instance that was asked last, and the id of that.
    async fn carry_out(&self, asked: &mut Option<(Identity, AskId)>) -> Result<Bytes, AskError> {
        let body = match &self.body {
            Ok(body) => body,
            Err(error) => return Err(error.clone().into()),
        };
        let followed = &self.service.followed;
        let begun = clock::now();
        let mut tries = AskTries::new(self.policy, begun);
        followed.with_budget(|budget| budget.handle_first_try(begun));
        loop {
            let picked = self.pick(&tries).await?;
            if picked.chosen_at() >= tries.deadline() {
                // Nobody could answer in time, and nobody is to be blamed for it.
                return Err(AskError::Timeout);
            }
            let outcome = self.try_once(&picked, &tries, body, asked).await?;
            let now = clock::now();
            let tried = outcome_of(&outcome)?;
            if tried == TryOutcome::TimedOut && picked.silence(now) == Silence::Silent {
                let services = &self.service.core.services;
                services.directory.handle_silent(picked.serial(), now);
            }
            if followed.handle_outcome(&picked, tried, now) || tried == TryOutcome::TimedOut {
                self.service.core.services.wake();
            }
            let after = followed
                .with_budget(|budget| tries.handle_outcome(now, picked.serial(), tried, budget));
            match after {
                AfterTry::Again => {}
                AfterTry::End(AskEnd::Timeout) => return Err(AskError::Timeout),
                AfterTry::End(_) => return Ok(outcome?),
            }
        }
    }

    /// Chooses an instance; waits for one to come.
    async fn pick(&self, tries: &AskTries<u64>) -> Result<Picked, AskError> {
        let ServiceTarget { followed, key, .. } = &self.service;
        let patience = PickPatience {
            deadline: Some(tries.deadline()),
            for_offer: !self.fails_fast,
            for_room: self.policy.retries > 0,
        };
        let choose = || followed.choose(*key, |serial| tries.has_tried(serial));
        let picked = self.service.pick(patience, choose).await;
        picked.map_err(|reason| match reason {
            NotPicked::Closed => AskError::Closed,
            NotPicked::Nobody => AskError::NoService,
            NotPicked::Busy => AskError::Busy,
        })
    }

    /// Asks one instance. An error is one that no other instance would change.
    async fn try_once(
        &self,
        picked: &Picked,
        tries: &AskTries<u64>,
        body: &Bytes,
        asked: &mut Option<(Identity, AskId)>,
    ) -> Result<AskOutcome, AskError> {
        let core = &self.service.core;
        let asks = &core.inbound.asks;
        let now = picked.chosen_at();
        let deadline = tries.try_deadline(now);
        let link = picked.link();
        let (number, mut answer) = asks.register_one(link, Target::Service, deadline);
        let _guard = AskGuard { asks, number };
        *asked = Some((link.peer(), asks.id_of(number)));
        let address = self.service.address();
        let left = deadline.saturating_duration_since(now);
        let payload = service_question(&address, asks.id_of(number), left, self.trace, body);
        let limit = Link::max_payload(DeliveryGuarantee::AtMostOnce, core.config.max_frame_bytes);
        if payload.len() > limit {
            return Err(AskError::Send(SendError::TooLarge { payload, limit }));
        }
        let mut entry = Entry::new(Target::Service, DeliveryGuarantee::AtMostOnce, payload);
        tokio::select! {
            biased;
            sent = self.service.push_ask(link, &mut entry, deadline) => if sent.is_err() {
                return match core.lifecycle.is_open() {
                    true => Ok(Err(Unanswered::NotWritten)),
                    false => Err(AskError::Closed),
                };
            },
            // While it stood in line for room nothing was written.
            outcome = &mut answer => return Ok(match ended(outcome) {
                Err(Unanswered::PeerGone) => Err(Unanswered::NotWritten),
                outcome => outcome,
            }),
        }
        Ok(ended(answer.await))
    }
}

fn ended(outcome: Result<AskOutcome, oneshot::error::RecvError>) -> AskOutcome {
    outcome.unwrap_or(Err(Unanswered::Closed))
}

/// The end of a try, for the decision what follows. The end of the socket is the end of the ask.
fn outcome_of(outcome: &AskOutcome) -> Result<TryOutcome, AskError> {
    Ok(match outcome {
        Ok(_) => TryOutcome::Answered,
        Err(Unanswered::NotWritten) => TryOutcome::NotWritten,
        Err(Unanswered::PeerGone) => TryOutcome::PeerGone,
        Err(Unanswered::Timeout) => TryOutcome::TimedOut,
        Err(Unanswered::Remote(_)) => TryOutcome::Remote,
        Err(Unanswered::Closed) => return Err(AskError::Closed),
        Err(Unanswered::Refused(refusal)) => match refusal.reason {
            NotHandled::Busy => TryOutcome::Busy {
                retry_after: refusal.retry_after,
            },
            NotHandled::Draining => TryOutcome::Draining,
            NotHandled::NoSuchService => TryOutcome::NoSuchService,
            _ => TryOutcome::Remote,
        },
    })
}

impl<Q: AskRequest> Future for ServiceAsking<Q> {
    type Output = Result<Q::Reply, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { plan, running, .. } = &mut *self;
        let running = running.get_or_insert_with(|| Box::pin(plan.clone().run()));
        let ended = ready!(running.as_mut().poll(cx));
        Poll::Ready(read_answer::<Q>(ended, plan.service.core.config.codec))
    }
}
