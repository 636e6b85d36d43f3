//! ConnectionActor: owns one byte stream, from its handshake to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Running, WrapFuture,
};
use tokio::sync::oneshot;

use super::handshake::{NotOpened, Opened, Origin, open};
use super::router::RouterActor;
use super::traffic::{Farewell, Traffic};
use crate::clock;
use crate::engine::Role;
use crate::event::{RefusalReason, SocketEvent};
use crate::id::Identity;
use crate::routing::Exchange;
use crate::transport::PeerAddress;

/// How a connection ended, for the dialer that made it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was up, with this peer and for this long.
    Ended(Identity, Duration),
    /// It panicked.
    Crashed,
    /// It carried nothing.
    NotOpened(RefusalReason),
    /// Its peer is connected already.
    Duplicate(Identity),
}

/// One of the connections that the socket's limit counts.
#[derive(Debug)]
pub(crate) struct Slot {
    exchange: Arc<Exchange>,
}

impl Slot {
    /// A place for one more connection; `None` at the limit.
    pub(crate) fn take(exchange: &Arc<Exchange>) -> Option<Self> {
        let taken = exchange
            .counters
            .connections
            .fetch_add(1, Ordering::Relaxed);
        let slot = Self {
            exchange: Arc::clone(exchange),
        };
        (taken < exchange.tuning().max_connections).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.exchange
            .counters
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// Owns one byte stream.
#[derive(Debug)]
pub(crate) struct ConnectionActor {
    slot: Slot,
    router: Addr<RouterActor>,
    origin: Option<Origin>,
    report: Option<oneshot::Sender<Outcome>>,
}

impl ConnectionActor {
    pub(crate) fn new(
        slot: Slot,
        router: Addr<RouterActor>,
        origin: Origin,
        report: Option<oneshot::Sender<Outcome>>,
    ) -> Self {
        Self {
            slot,
            router,
            origin: Some(origin),
            report,
        }
    }

    fn run(&mut self, opened: Opened, ctx: &mut Context<Self>) {
        let up_since = clock::now();
        let peer = opened.membership.link().peer();
        let traffic = Traffic::new(opened).into_actor(self);
        ctx.spawn(traffic.map(move |farewell, act, ctx| {
            let lasted = clock::now().saturating_duration_since(up_since);
            act.report(Outcome::Ended(peer, lasted));
            act.part(farewell, ctx);
        }));
    }

    /// Tells everyone who is concerned, the peer last.
    fn refuse(
        &mut self,
        refusal: NotOpened,
        address: PeerAddress,
        role: Role,
        ctx: &mut Context<Self>,
    ) {
        let NotOpened {
            peer,
            reason,
            duplicate,
            stream,
        } = refusal;
        let Some(reason) = reason else {
            ctx.stop();
            return;
        };
        let dismissal = NotOpened::dismissal(&reason);
        tracing::warn!(%address, ?role, %reason, "connection refused");
        let exchange = &self.slot.exchange;
        exchange.counters.refused.fetch_add(1, Ordering::Relaxed);
        exchange
            .socket_events
            .announce(&SocketEvent::HandshakeRefused {
                peer,
                address,
                role,
                reason: reason.clone(),
            });
        self.report(match duplicate {
            Some(peer) => Outcome::Duplicate(peer),
            None => Outcome::NotOpened(reason),
        });
        self.part(stream.zip(dismissal), ctx);
    }

    /// Ends, once the peer has been told why, if it can be.
    fn part(&self, farewell: Option<Farewell>, ctx: &mut Context<Self>) {
        let Some((stream, dismissal)) = farewell else {
            ctx.stop();
            return;
        };
        let farewell = stream.dismiss(dismissal).into_actor(self);
        ctx.spawn(farewell.map(|(), _, ctx| ctx.stop()));
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(report) = self.report.take() {
            // A dialer that is gone does not mind.
            let _ = report.send(outcome);
        }
    }
}

impl Actor for ConnectionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some(origin) = self.origin.take() else {
            ctx.stop();
            return;
        };
        let (address, role) = (origin.address(), origin.role());
        let exchange = Arc::clone(&self.slot.exchange);
        let opening = open(exchange, self.router.clone(), origin);
        ctx.spawn(
            opening
                .into_actor(self)
                .map(move |result, act, ctx| match result {
                    Ok(opened) => act.run(opened, ctx),
                    Err(refusal) => act.refuse(refusal, address, role, ctx),
                }),
        );
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}
