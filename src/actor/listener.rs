//! ListenerActor: accepts, and never waits for a peer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context};
use tokio::time::Sleep;

use super::accept_gate::AcceptGate;
use crate::engine::LogPermit;
use crate::event::Limit;
use crate::telemetry::{self, Topic};
use crate::transport::{AcceptFault, Acceptor};

/// Pause in accepting when the process has run out of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the connections of one endpoint. The listening socket outlives the actor, so that a
/// restart does not close the port.
#[derive(Debug)]
pub(crate) struct ListenerActor {
    intake: AcceptGate,
    acceptor: Arc<Acceptor>,
}

impl ListenerActor {
    pub(super) fn new(intake: AcceptGate, acceptor: Arc<Acceptor>) -> Self {
        Self { intake, acceptor }
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
                Ok(accepted) => {
                    act.intake.admit(accepted, || act.acceptor.endpoint());
                }
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Connection => {}
                    fault @ (AcceptFault::Exhausted | AcceptFault::Fatal) => {
                        let endpoint = act.acceptor.endpoint();
                        let line = telemetry::line(Topic::AcceptPaused, endpoint.to_string());
                        if let Some(LogPermit { unlogged }) = line {
                            tracing::warn!(%error, ?fault, %endpoint, unlogged, "accepting pauses");
                        }
                        act.intake.refuse(Limit::Descriptors, || endpoint);
                        self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                    }
                },
            }
        }
    }
}

#[cfg(feature = "test-util")]
super::fault_injection::crash_on_demand!(ListenerActor);
