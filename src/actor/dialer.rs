//! DialerActor: dials, and redials for the socket's life (WIRE §7.4).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::router::RouterActor;
use crate::address::Endpoint;
use crate::clock;
use crate::connection::actor::{ConnectionActor, Outcome, Slot};
use crate::connection::handshake::Origin;
use crate::engine::{Backoff, Delays};
use crate::event::{Limit, RefusalReason, SocketEvent};
use crate::id::Identity;
use crate::routing::SocketCore;
use crate::transport::{ConnectOptions, connect};

/// A connection that was up for this long was a success: the backoff begins anew.
const HEALTHY: Duration = Duration::from_secs(1);

/// What a dialer dials, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: ConnectOptions,
    pub(crate) reconnect: Backoff,
}

/// What a dialer knows. It outlives the actor, so that a dialer that is restarted does not dial a
/// peer that is connected.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// The connection that it made and that has not ended.
    underway: RefCell<Option<oneshot::Receiver<Outcome>>>,
    /// Who was last found at the endpoint.
    peer: Cell<Option<Identity>>,
}

/// Whether the bind end may have refused us because we are connected: it says no HELLO then, and so
/// not who it is.
pub(crate) fn may_be_connected(reason: &RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::Ended { received: 0 } | RefusalReason::NotWanted
    )
}

/// Keeps one connection to one endpoint.
#[derive(Debug)]
pub(crate) struct DialerActor {
    core: Arc<SocketCore>,
    router: Addr<RouterActor>,
    plan: Plan,
    past: Rc<Past>,
}

impl DialerActor {
    pub(crate) fn new(
        core: Arc<SocketCore>,
        router: Addr<RouterActor>,
        plan: Plan,
        past: Rc<Past>,
    ) -> Self {
        Self {
            core,
            router,
            plan,
            past,
        }
    }
}

impl Actor for DialerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let mut redialling = Redialling {
            core: Arc::clone(&self.core),
            router: self.router.clone(),
            delays: self.plan.reconnect.delays(),
            plan: self.plan.clone(),
            past: Rc::clone(&self.past),
        };
        ctx.spawn(async move { redialling.run().await }.into_actor(self));
    }
}

struct Redialling {
    core: Arc<SocketCore>,
    router: Addr<RouterActor>,
    plan: Plan,
    delays: Delays,
    past: Rc<Past>,
}

impl Redialling {
    async fn run(&mut self) {
        loop {
            let attempt = self.delays.attempts() + 1;
            let outcome = if self.past.underway.borrow().is_some() {
                self.outcome().await
            } else {
                self.announce(&SocketEvent::Dialling {
                    endpoint: self.plan.endpoint.clone(),
                    attempt,
                });
                self.attempt().await
            };
            let failure = match outcome {
                Outcome::Ended(peer, lasted) => {
                    self.past.peer.set(Some(peer));
                    self.was_connected(lasted);
                    None
                }
                Outcome::Crashed => None,
                Outcome::Duplicate(peer) => {
                    self.past.peer.set(Some(peer));
                    self.until_gone(peer).await;
                    None
                }
                Outcome::NotOpened(reason) => match self.connected_peer(&reason) {
                    Some(peer) => {
                        self.until_gone(peer).await;
                        None
                    }
                    None => Some(reason),
                },
            };
            if self.core.is_closed() {
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
            if self.core.is_closed() {
                return;
            }
        }
    }

    /// One connection, from its dialling to its end.
    async fn attempt(&self) -> Outcome {
        let Plan {
            endpoint, options, ..
        } = &self.plan;
        let timeout = self.core.config.handshake_timeout;
        // Names are resolved without a limit of their own. Each step has a box: what follows takes
        // longer and needs less.
        let connecting = Box::pin(connect(endpoint, options));
        let connected = match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Outcome::NotOpened(error.into()),
            Err(_) => return Outcome::NotOpened(RefusalReason::TimedOut),
        };
        let deadline = Instant::from_std(clock::now() + timeout);
        let establishing = Box::pin(connected.establish(endpoint, options));
        let established = match timeout_at(deadline, establishing).await {
            Ok(Ok(established)) => established,
            Ok(Err(error)) => return Outcome::NotOpened(error.into()),
            Err(_) => return Outcome::NotOpened(RefusalReason::TimedOut),
        };
        let Some(slot) = Slot::take(&self.core) else {
            self.announce(&SocketEvent::Overloaded {
                limit: Limit::Connections,
            });
            return Outcome::NotOpened(RefusalReason::LimitReached);
        };
        let (report, outcome) = oneshot::channel();
        let origin = Origin::Dialled(Box::new(established), deadline);
        let connection = ConnectionActor::new(slot, self.router.clone(), origin, Some(report));
        connection.start_here();
        *self.past.underway.borrow_mut() = Some(outcome);
        self.outcome().await
    }

    /// Waits for the end of the connection that is underway.
    async fn outcome(&self) -> Outcome {
        let outcome = poll_fn(|cx| match &mut *self.past.underway.borrow_mut() {
            // A connection that panics does not report.
            Some(outcome) => Pin::new(outcome)
                .poll(cx)
                .map(|outcome| outcome.unwrap_or(Outcome::Crashed)),
            None => Poll::Ready(Outcome::Crashed),
        })
        .await;
        *self.past.underway.borrow_mut() = None;
        outcome
    }

    /// The peer of this endpoint, if that is connected and may have refused us for it.
    fn connected_peer(&self, reason: &RefusalReason) -> Option<Identity> {
        let peer = self.past.peer.get().filter(|_| may_be_connected(reason))?;
        self.core.is_connected(peer).then_some(peer)
    }

    /// Waits until the connection that the peer has already is gone: dialling it meanwhile would be
    /// in vain.
    async fn until_gone(&mut self, peer: Identity) {
        let since = clock::now();
        self.core.until_gone(peer).await;
        self.was_connected(clock::now().saturating_duration_since(since));
    }

    fn was_connected(&mut self, lasted: Duration) {
        if lasted >= HEALTHY {
            self.delays.reset();
        }
    }

    fn announce(&self, event: &SocketEvent) {
        self.core.socket_events.announce(event);
    }
}
