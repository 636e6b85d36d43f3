//! DialerActor: dials, and redials for the socket's life (WIRE §7.4).

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;

use super::connection::{ConnectionActor, Outcome, Slot};
use super::handshake::Origin;
use super::router::RouterActor;
use crate::engine::{Backoff, Delays};
use crate::event::{Limit, RefusalReason, SocketEvent};
use crate::link::Link;
use crate::routing::{Exchange, SocketPhase};
use crate::transport::{ConnectOptions, Endpoint, dial};

/// A connection that was up for this long was a success: the backoff begins anew.
const HEALTHY: Duration = Duration::from_secs(1);

/// What a dialer dials, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: ConnectOptions,
    pub(crate) reconnect: Backoff,
}

/// The connection that a dialer made and that has not ended. It outlives the actor, so that a
/// dialer that is restarted waits for it instead of dialling a peer that is connected.
pub(crate) type Underway = Rc<RefCell<Option<oneshot::Receiver<Outcome>>>>;

/// Keeps one connection to one endpoint.
#[derive(Debug)]
pub(crate) struct DialerActor {
    exchange: Arc<Exchange>,
    router: Addr<RouterActor>,
    plan: Plan,
    underway: Underway,
}

impl DialerActor {
    pub(crate) fn new(
        exchange: Arc<Exchange>,
        router: Addr<RouterActor>,
        plan: Plan,
        underway: Underway,
    ) -> Self {
        Self {
            exchange,
            router,
            plan,
            underway,
        }
    }
}

impl Actor for DialerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let redialling = Redialling {
            exchange: Arc::clone(&self.exchange),
            router: self.router.clone(),
            delays: self.plan.reconnect.delays(),
            plan: self.plan.clone(),
            underway: Rc::clone(&self.underway),
        };
        ctx.spawn(redialling.run().into_actor(self));
    }
}

struct Redialling {
    exchange: Arc<Exchange>,
    router: Addr<RouterActor>,
    plan: Plan,
    delays: Delays,
    underway: Underway,
}

impl Redialling {
    async fn run(mut self) {
        loop {
            let attempt = self.delays.attempts() + 1;
            let outcome = if self.underway.borrow().is_some() {
                self.outcome().await
            } else {
                self.announce(&SocketEvent::Dialling {
                    endpoint: self.plan.endpoint.clone(),
                    attempt,
                });
                self.attempt().await
            };
            let failure = match outcome {
                Outcome::Ended(lasted) => {
                    if lasted >= HEALTHY {
                        self.delays.reset();
                    }
                    None
                }
                Outcome::Duplicate(kept) => {
                    self.until_gone(kept).await;
                    None
                }
                Outcome::NotOpened(reason) => Some(reason),
            };
            if self.exchange.is_closed() {
                return;
            }
            let next_try = self.delays.next_delay();
            if let Some(reason) = failure {
                tracing::debug!(endpoint = %self.plan.endpoint, attempt, %reason, ?next_try, "dial failed");
                self.announce(&SocketEvent::DialFailed {
                    endpoint: self.plan.endpoint.clone(),
                    attempt,
                    next_try,
                    reason,
                });
            }
            tokio::time::sleep(next_try).await;
            if self.exchange.is_closed() {
                return;
            }
        }
    }

    /// One connection, from its dialling to its end.
    async fn attempt(&self) -> Outcome {
        let timeout = self.exchange.config.handshake_timeout;
        let dialling = dial(&self.plan.endpoint, &self.plan.options);
        let established = match tokio::time::timeout(timeout, dialling).await {
            Ok(Ok(established)) => established,
            Ok(Err(error)) => return Outcome::NotOpened(error.into()),
            Err(_) => return Outcome::NotOpened(RefusalReason::TimedOut),
        };
        let Some(slot) = Slot::take(&self.exchange) else {
            self.announce(&SocketEvent::Overloaded {
                limit: Limit::Connections,
            });
            return Outcome::NotOpened(RefusalReason::LimitReached);
        };
        let (report, outcome) = oneshot::channel();
        let origin = Origin::Dialled(Box::new(established));
        let connection = ConnectionActor::new(slot, self.router.clone(), origin, Some(report));
        connection.start();
        *self.underway.borrow_mut() = Some(outcome);
        self.outcome().await
    }

    /// Waits for the end of the connection that is underway.
    async fn outcome(&self) -> Outcome {
        let outcome = poll_fn(|cx| match &mut *self.underway.borrow_mut() {
            // A connection that panics does not report.
            Some(outcome) => Pin::new(outcome)
                .poll(cx)
                .map(|outcome| outcome.unwrap_or(Outcome::Ended(Duration::ZERO))),
            None => Poll::Ready(Outcome::Ended(Duration::ZERO)),
        })
        .await;
        *self.underway.borrow_mut() = None;
        outcome
    }

    /// Waits until a connection that the peer has already is gone.
    async fn until_gone(&self, kept: Option<Arc<Link>>) {
        let Some(kept) = kept else { return };
        let mut state = self.exchange.state();
        // An error means that the socket is gone.
        let _ = state
            .wait_for(|state| state.phase == SocketPhase::Closed || kept.is_closed())
            .await;
    }

    fn announce(&self, event: &SocketEvent) {
        self.exchange.socket_events.announce(event);
    }
}
