//! The supervised actor, and the handle of whoever started it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{Actor, ActorContext, AsyncContext, Context, WrapFuture};
use actix_aiomsg::supervise::{Child, ChildReport, RestartPolicy, supervise};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::event::BridgeEvent;
use crate::outbound::{Ended, Subjects};
use crate::pause::{LONGEST, LOOK, pause};
use crate::publishing::publish;
use crate::session::{Session, is_connected};
use crate::shared::Shared;
use crate::stats::{BridgeStats, add};
use crate::storing::store;

/// A running bridge. It runs on when this is dropped.
#[derive(Debug, Clone)]
pub struct BridgeHandle {
    child: Child<BridgeActor>,
    shared: Arc<Shared>,
}

impl BridgeHandle {
    /// What the bridge has done, and what it holds.
    #[must_use]
    pub fn stats(&self) -> BridgeStats {
        self.shared.counters.read()
    }

    /// True while the bridge is connected, or its client dials again, with its streams and consumers in place.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.shared.up.borrow()
    }

    /// Resolves when the bridge is up, and at once if it is; false if it has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has changed nothing.
    pub async fn wait_until_up(&self) -> bool {
        let mut up = self.shared.up.subscribe();
        tokio::select! {
            biased;
            up = up.wait_for(|up| *up) => up.is_ok(),
            () = self.child.ended() => false,
        }
    }

    /// How the actor of the bridge fares: its state, restarts, the last panic.
    #[must_use]
    pub fn inspect(&self) -> ChildReport {
        self.child.inspect()
    }

    /// Takes nothing new, brings what the bridge has to its end, and ends the bridge; after `within` at the latest. The socket stays.
    ///
    /// What could not be brought to its end is where it was: with the socket, or with JetStream.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the bridge ends all the same when it has nothing left.
    pub async fn stop(&self, within: Duration) {
        self.shared.stop();
        if tokio::time::timeout(within, self.child.ended())
            .await
            .is_err()
        {
            tracing::warn!("the bridge to NATS ends before what it has is through");
            self.child.stop().await;
        }
    }

    /// Resolves when the bridge has ended: by [`stop`](Self::stop), or because the socket was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has changed nothing.
    pub async fn ended(&self) {
        self.child.ended().await;
    }
}

/// Runs the bridge. What it holds is dropped with it, and goes back to where it came from.
#[derive(Debug)]
pub(crate) struct BridgeActor {
    shared: Arc<Shared>,
    first: Arc<Mutex<Option<Session>>>,
}

pub(crate) fn start(shared: Arc<Shared>, session: Option<Session>) -> BridgeHandle {
    let first = Arc::new(Mutex::new(session));
    let for_actor = Arc::clone(&shared);
    let child = supervise(move || BridgeActor {
        shared: Arc::clone(&for_actor),
        first: Arc::clone(&first),
    })
    .name("bridge to NATS")
    .restart(RestartPolicy::Transient)
    .spawn();
    BridgeHandle { child, shared }
}

impl Actor for BridgeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let shared = Arc::clone(&self.shared);
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let running = async move { run(&shared, first).await };
        ctx.spawn(running.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

/// Sets `up` back however the bridge ends.
struct Up<'a>(&'a Shared);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.up.send_replace(false);
    }
}

async fn run(shared: &Arc<Shared>, mut first: Option<Session>) {
    let mut pauses = shared.settings.retry.delays();
    let mut told: Option<crate::BridgeError> = None;
    while !shared.is_stopping() {
        let opened = match first.take() {
            Some(session) => Ok(session),
            None => tokio::select! {
                biased;
                opened = Session::open(shared) => opened,
                // A server that does not answer keeps no bridge from its end.
                _ = pause(LONGEST, || shared.is_stopping()) => return,
            },
        };
        let error = match opened {
            Ok(session) => {
                add(&shared.counters.sessions);
                tracing::info!(
                    servers = shared.settings.servers,
                    "the bridge to NATS is up"
                );
                let _up = Up(shared);
                shared.up.send_replace(true);
                shared.tell(BridgeEvent::Up);
                let began = tokio::time::Instant::now();
                match serve(shared, session).await {
                    Ended::Done => return,
                    Ended::Lost(error) => {
                        if began.elapsed() > Duration::from_secs(10) {
                            pauses.reset();
                            told = None;
                        }
                        error
                    }
                }
            }
            Err(error) => error,
        };
        if told.as_ref() != Some(&error) {
            tracing::warn!(%error, "the bridge to NATS does not run, and is tried again");
            shared.tell(BridgeEvent::Failed(error.clone()));
            told = Some(error);
        }
        pause(pauses.next_delay(), || shared.is_stopping()).await;
    }
}

type Part<'a> = Pin<Box<dyn Future<Output = Ended> + 'a>>;

/// Carries messages until everything is done, or one part is lost.
async fn serve(shared: &Shared, mut session: Session) -> Ended {
    let delivering = std::mem::take(&mut session.delivering);
    let forwarding = std::mem::take(&mut session.forwarding);
    let route = shared.settings.outbound.as_ref();
    let subjects = route.map(Subjects::of);
    let ended = {
        let mut parts: FuturesUnordered<Part<'_>> = FuturesUnordered::new();
        if let (Some(route), Some(subjects)) = (route, &subjects) {
            let messages = shared.socket.messages();
            parts.push(match &route.stream {
                Some(stream) => Box::pin(store(shared, &session, &stream.name, subjects, messages)),
                None => Box::pin(publish(shared, &session, subjects, messages)),
            });
        }
        for part in delivering {
            parts.push(Box::pin(part.deliver(
                shared,
                &session.client,
                &session.jetstream,
            )));
        }
        for part in forwarding {
            parts.push(Box::pin(part.forward(shared)));
        }
        let over = overdue(shared, &session);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                part = parts.next() => match part {
                    None => break Ended::Done,
                    Some(Ended::Done) => {}
                    Some(lost) => break lost,
                },
                () = &mut over => break Ended::Done,
            }
        }
    };
    // Acknowledgements that JetStream is still to get.
    let flushing = session.client.flush();
    let _ = tokio::time::timeout(Duration::from_secs(1), flushing).await;
    ended
}

/// Resolves when there is nothing left to wait for: the socket is closed, and NATS is away or says nothing for as long as it has for an acknowledgement.
/// What is still held is with its sender, or with JetStream.
async fn overdue(shared: &Shared, session: &Session) {
    while !shared.is_closed() {
        tokio::time::sleep(LOOK).await;
    }
    let is_away = || !is_connected(&session.client);
    pause(shared.settings.ack_timeout, is_away).await;
}
