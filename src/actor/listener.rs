//! ListenerActor: accepts, and never waits for a peer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context};
use tokio::time::Sleep;

use super::connection::{ConnectionActor, Slot};
use super::handshake::Origin;
use super::router::RouterActor;
use crate::event::{Limit, SocketEvent};
use crate::routing::Exchange;
use crate::transport::{AcceptFault, Accepted, Acceptor};

/// How long accepting pauses when the process has run out of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the connections of one endpoint. The listening socket outlives the actor, so that a
/// restart does not close the port.
#[derive(Debug)]
pub(crate) struct ListenerActor {
    exchange: Arc<Exchange>,
    router: Addr<RouterActor>,
    acceptor: Arc<Acceptor>,
    /// Where else connections may run.
    arbiters: Vec<ArbiterHandle>,
    next: usize,
    /// Whether the limit was reached at the last connection; the event is for the first.
    overloaded: bool,
}

impl ListenerActor {
    pub(crate) fn new(
        exchange: Arc<Exchange>,
        router: Addr<RouterActor>,
        acceptor: Arc<Acceptor>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Self {
        Self {
            exchange,
            router,
            acceptor,
            arbiters,
            next: 0,
            overloaded: false,
        }
    }

    fn accept(&mut self, accepted: Accepted) {
        let Some(slot) = Slot::take(&self.exchange) else {
            self.announce_overload(Limit::Connections);
            return;
        };
        self.overloaded = false;
        let origin = Origin::Accepted(accepted);
        let connection = ConnectionActor::new(slot, self.router.clone(), origin, None);
        self.next = (self.next + 1) % (self.arbiters.len() + 1);
        match self.arbiters.get(self.next) {
            Some(arbiter) => drop(ConnectionActor::start_in_arbiter(arbiter, |_| connection)),
            None => drop(connection.start()),
        }
    }

    fn announce_overload(&mut self, limit: Limit) {
        self.exchange
            .counters
            .refused
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if !std::mem::replace(&mut self.overloaded, true) {
            tracing::warn!(?limit, endpoint = %self.acceptor.endpoint(), "a limit is reached");
            self.exchange
                .socket_events
                .announce(&SocketEvent::Overloaded { limit });
        }
    }
}

impl Actor for ListenerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(AcceptLoop { pause: None });
    }
}

struct AcceptLoop {
    pause: Option<Pin<Box<Sleep>>>,
}

impl ActorFuture<ListenerActor> for AcceptLoop {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut ListenerActor,
        _: &mut Context<ListenerActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let accepted = std::task::ready!(act.acceptor.poll_accept(cx));
            match accepted {
                Ok(accepted) => act.accept(accepted),
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Connection => {}
                    fault @ (AcceptFault::Exhausted | AcceptFault::Fatal) => {
                        tracing::warn!(%error, ?fault, endpoint = %act.acceptor.endpoint(), "accepting pauses");
                        act.announce_overload(Limit::Descriptors);
                        self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                    }
                },
            }
        }
    }
}
