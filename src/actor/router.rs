//! RouterActor: the control plane of routing. It drives the exchange, which survives it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};

use super::beat::Beat;
use super::membership::{Peer, admit};
use crate::clock;
use crate::link::Link;
use crate::routing::{Exchange, Joined};

/// How often the router looks for messages to resend and to give up. Timers of seconds are
/// judged by it; it is no more than an eighth of the shortest.
const LONGEST_TICK: Duration = Duration::from_millis(500);

/// Decides who is admitted, and looks after messages that wait.
#[derive(Debug)]
pub(crate) struct RouterActor {
    exchange: Arc<Exchange>,
}

impl RouterActor {
    pub(crate) fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }

    /// Joins are published at once while there are few members, and otherwise together, when all
    /// that are in the mailbox have been decided.
    fn publish_later(&self, ctx: &mut Context<Self>) {
        if self.exchange.has_unpublished_joins() {
            ctx.notify(PublishJoins);
        }
    }
}

impl Actor for RouterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.exchange.note_time(clock::now());
        let exchange = Arc::clone(&self.exchange);
        ctx.spawn(async move { exchange.asks.sweep(&exchange).await }.into_actor(self));
        ctx.spawn(sweep(Arc::clone(&self.exchange)).into_actor(self));
    }
}

/// Sweeps again and again.
async fn sweep(exchange: Arc<Exchange>) {
    let beat = Beat::every(tick(&exchange));
    loop {
        beat.next().await;
        let now = clock::now();
        exchange.handle_sweep(now);
        exchange.subscriptions.handle_sweep(&exchange, now);
        exchange.publish_joins();
        beat.set_period(tick(&exchange));
    }
}

/// How often there is something to look for. It may change while the socket runs.
fn tick(exchange: &Exchange) -> Duration {
    let resend_timeout = exchange.tuning().resend_timeout;
    let shortest = resend_timeout.min(exchange.config.absence_grace) / 8;
    shortest.clamp(Duration::from_millis(1), LONGEST_TICK)
}

/// A peer has said who it is.
#[derive(Debug)]
pub(crate) struct Admit {
    pub(crate) link: Arc<Link>,
    pub(crate) peer: Peer,
}

impl Message for Admit {
    type Result = Joined;
}

impl Handler<Admit> for RouterActor {
    type Result = MessageResult<Admit>;

    fn handle(&mut self, Admit { link, peer }: Admit, ctx: &mut Context<Self>) -> Self::Result {
        let joined = admit(&self.exchange, &link, &peer);
        self.publish_later(ctx);
        MessageResult(joined)
    }
}

/// All joins that were in the mailbox have been decided.
struct PublishJoins;

impl Message for PublishJoins {
    type Result = ();
}

impl Handler<PublishJoins> for RouterActor {
    type Result = ();

    fn handle(&mut self, _: PublishJoins, _: &mut Context<Self>) {
        self.exchange.publish_joins();
    }
}
