//! RouterActor: the control plane of routing. It drives the core, which survives it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};

use crate::clock;
use crate::connection::admission::Admit;
use crate::connection::loopback::run_loopback;
use crate::connection::membership::admit;
use crate::core::SocketCore;
use crate::timer::Interval;

/// Longest interval between two sweeps for messages to resend and to give up. Timers of seconds are judged by
/// them; the interval is no more than an eighth of the shortest.
const LONGEST_TICK: Duration = Duration::from_millis(500);

/// Decides who is admitted, and looks after messages that wait.
#[derive(Debug)]
pub(crate) struct RouterActor {
    core: Arc<SocketCore>,
}

impl RouterActor {
    pub(crate) fn new(core: Arc<SocketCore>) -> Self {
        Self { core }
    }

    /// Joins are published at once while there are few members, and otherwise together, when all
    /// that are in the mailbox have been decided.
    fn publish_later(&self, ctx: &mut Context<Self>) {
        if self.core.router.has_unpublished_joins() {
            ctx.notify(PublishJoins);
        }
    }
}

impl Actor for RouterActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.core.lifecycle.note_time(clock::now());
        let core = Arc::clone(&self.core);
        ctx.spawn(async move { core.inbound.asks.sweep().await }.into_actor(self));
        let core = Arc::clone(&self.core);
        ctx.spawn(async move { core.services.run().await }.into_actor(self));
        ctx.spawn(run_loopback(Arc::clone(&self.core)).into_actor(self));
        ctx.spawn(sweep(Arc::clone(&self.core)).into_actor(self));
    }
}

/// Sweeps again and again.
async fn sweep(core: Arc<SocketCore>) {
    let interval = Interval::every(tick(&core));
    loop {
        interval.next().await;
        let now = clock::now();
        core.handle_sweep(now);
        core.inbound.subscriptions.handle_sweep(now);
        core.router.publish_joins();
        interval.set_period(tick(&core));
    }
}

/// Interval between sweeps. It may change while the socket runs.
fn tick(core: &SocketCore) -> Duration {
    let resend_timeout = core.limits.current().resend_timeout;
    let shortest = resend_timeout.min(core.config.absence_grace) / 8;
    shortest.clamp(Duration::from_millis(1), LONGEST_TICK)
}

impl Handler<Admit> for RouterActor {
    type Result = MessageResult<Admit>;

    fn handle(&mut self, Admit { link, peer }: Admit, ctx: &mut Context<Self>) -> Self::Result {
        let joined = admit(&self.core, &link, &peer);
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
        self.core.router.publish_joins();
    }
}

#[cfg(feature = "test-util")]
super::fault_injection::crash_on_demand!(RouterActor);
