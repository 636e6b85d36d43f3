//! A message to a service, on its way to an instance.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout_at;

use super::service_target::{NotPicked, PickPatience, ServiceTarget};
use crate::clock;
use crate::engine::service::TryOutcome;
use crate::error::{DeliveryError, EncodeError, SendError};
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Receipt, ReceiptSender, Refused, Target, receipt};
use crate::payload::{self, AskEnvelope, AskKind, Payload};
use crate::services::MAX_NAME_BYTES;
use crate::trace::{Outgoing, Parent};

/// A message to a service: resolves when it is queued for an instance.
///
/// # Cancel safety
///
/// Dropped before it resolves, the message was not sent.
#[must_use = "a message is sent when its future is awaited"]
pub struct ServiceTelling {
    plan: Option<TellPlan>,
    /// Once it has begun.
    running: Option<RunningTell>,
}

/// The work of a tell.
type RunningTell = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

/// Holds the message, the service that it goes to, and what it is promised.
struct TellPlan {
    service: ServiceTarget,
    body: Result<Bytes, EncodeError>,
    guarantee: DeliveryGuarantee,
    time_to_live: Option<Duration>,
    receipt: Option<ReceiptSender>,
    fails_fast: bool,
    /// What the message's span belongs to.
    parent: Parent,
}

impl std::fmt::Debug for ServiceTelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceTelling").finish_non_exhaustive()
    }
}

impl ServiceTelling {
    pub(super) fn new<T: Payload>(service: ServiceTarget, message: &T) -> Self {
        let config = &service.core.config;
        let plan = TellPlan {
            body: payload::encode(message, config.codec),
            guarantee: config.guarantee,
            parent: config.tracing.parent(),
            service,
            time_to_live: None,
            receipt: None,
            fails_fast: false,
        };
        Self {
            plan: Some(plan),
            running: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut TellPlan)) -> Self {
        if let Some(plan) = &mut self.plan {
            change(plan);
        }
        self
    }

    /// Chooses what this one message is promised. Default: the guarantee of the socket.
    pub fn guarantee(self, guarantee: DeliveryGuarantee) -> Self {
        self.with(|plan| plan.guarantee = guarantee)
    }

    /// After how long the message is no longer worth sending: it waits no longer for an instance, and one that has come
    /// back then is a dead letter.
    pub fn time_to_live(self, time: Duration) -> Self {
        self.with(|plan| plan.time_to_live = Some(time))
    }

    /// Fails at once, instead of waiting: with [`NoService`](SendError::NoService) where there is no instance, and with
    /// [`Full`](SendError::Full) where none has room.
    pub fn fail_fast(self) -> Self {
        self.with(|plan| plan.fails_fast = true)
    }

    /// Sends the message at least once, and resolves when an instance has handled it. If its instance goes, or refuses it, another
    /// handles it: perhaps again, with the same [origin](crate::Received::origin).
    ///
    /// # Errors
    ///
    /// [`Send`](DeliveryError::Send) when the message is not accepted, and
    /// [`Receipt`](DeliveryError::Receipt) when it is not acknowledged, or an instance says that it has not handled it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the message is queued, it was not sent; dropped later, the message goes its way, and only
    /// its outcome is not learnt.
    pub async fn acknowledged(self) -> Result<(), DeliveryError> {
        Ok(self.receipt().await?.await?)
    }

    /// Sends the message at least once, and yields a [`Receipt`] once it is queued; that resolves when an instance has
    /// handled the message.
    ///
    /// # Errors
    ///
    /// When the message is not accepted.
    ///
    /// # Cancel safety
    ///
    /// As that of the future itself.
    pub async fn receipt(self) -> Result<Receipt, SendError> {
        let (sender, receipt) = receipt();
        self.with(|plan| {
            plan.receipt = Some(sender);
            plan.guarantee = DeliveryGuarantee::AtLeastOnce;
        })
        .await?;
        Ok(receipt)
    }
}

impl TellPlan {
    /// Sends it, and has a span until it is queued.
    async fn run(mut self) -> Result<(), SendError> {
        let body = std::mem::replace(&mut self.body, Ok(Bytes::new()))?;
        if self.service.followed.name().len() > MAX_NAME_BYTES {
            // Nobody can offer it, and an address has no room for it.
            return Err(SendError::NoService(body));
        }
        let (tracing, name) = (
            &self.service.core.config.tracing,
            self.service.followed.name(),
        );
        let mut span = tracing.send(&self.parent, name, || Outgoing {
            publishes: false,
            peer: None,
            bytes: body.len(),
            id: None,
            given: None,
        });
        let mut envelope = AskEnvelope::new(AskKind::ServiceTell, [0; 16]);
        envelope.trace = span.context();
        let payload = self.service.address().write(&envelope, &body).into();
        let outcome = self.carry_out(payload).await;
        span.end_send(&outcome);
        outcome
    }

    async fn carry_out(self, payload: Bytes) -> Result<(), SendError> {
        let Self {
            service,
            guarantee,
            time_to_live,
            receipt,
            fails_fast,
            ..
        } = self;
        let limit = Link::max_payload(guarantee, service.core.config.max_frame_bytes);
        if payload.len() > limit {
            return Err(SendError::TooLarge { payload, limit });
        }
        let deadline = time_to_live.map(clock::after);
        let mut entry = Entry::new(Target::Service, guarantee, payload);
        if deadline.is_some() || receipt.is_some() {
            let extras = entry.extras.get_or_insert_default();
            extras.expires = deadline;
            extras.receipt = receipt;
        }
        let patience = PickPatience {
            deadline,
            for_offer: !fails_fast,
            for_room: !fails_fast,
        };
        let mut full = Vec::new();
        loop {
            let is_full = |serial| full.contains(&serial);
            let choose = || {
                service
                    .followed
                    .choose_behind_returned(service.key, is_full)
            };
            let picked = match service.pick(patience, choose).await {
                Ok(picked) => picked,
                Err(NotPicked::Closed) => return Err(SendError::Closed(entry.payload)),
                Err(NotPicked::Nobody) => return Err(SendError::NoService(entry.payload)),
                Err(NotPicked::Busy) => return Err(SendError::Full(entry.payload)),
            };
            let mut pushed = service.core.services.push(picked.link(), &mut entry);
            if pushed == Err(Refused::Full) {
                if !full.contains(&picked.serial()) {
                    full.push(picked.serial());
                    continue;
                }
                // So are all others.
                if fails_fast {
                    return Err(SendError::Full(entry.payload));
                }
                let pushing = service.push_tell(&picked, &mut entry);
                pushed = match deadline {
                    None => pushing.await,
                    Some(deadline) => match timeout_at(deadline.into(), pushing).await {
                        Ok(pushed) => pushed,
                        // It is no longer worth sending, and stood in line for room until now.
                        Err(_) => return Err(SendError::Full(entry.payload)),
                    },
                };
            }
            match pushed {
                Ok(()) => return Ok(()),
                Err(Refused::Full | Refused::Closed) => full.clear(),
            }
            if !service.core.lifecycle.is_open() {
                return Err(SendError::Closed(entry.payload));
            }
            let now = clock::now();
            let followed = &service.followed;
            followed.handle_outcome(&picked, TryOutcome::NotWritten, now);
        }
    }
}

impl Future for ServiceTelling {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(plan) = this.plan.take() {
            this.running = Some(Box::pin(plan.run()));
        }
        let Some(running) = &mut this.running else {
            return Poll::Pending;
        };
        let sent = ready!(running.as_mut().poll(cx));
        this.running = None;
        Poll::Ready(sent)
    }
}
