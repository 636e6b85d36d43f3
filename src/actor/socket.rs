//! SocketActor: takes a socket's commands, and starts and stops everything that belongs to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient,
    ResponseActFuture, WrapFuture,
};

use super::children::Children;
use super::dialer::DialTarget;
use super::discovery::DiscoveryTarget;
use super::shutdown;
use crate::address::Endpoint;
use crate::core::SocketCore;
use crate::error::{BindError, Closed, DiscoveryError};
use crate::event::{DeadLetter, PeerEvent, SocketEvent};
pub(crate) use crate::lifecycle::CloseReport;
use crate::lifecycle::SocketPhase;
use crate::subscription::{Bare, Key, Member, Pump, Receive, Subscription, SubscriptionSpec};
use crate::subscription::{Handled, Received};
use crate::transport::{Acceptor, BindOptions};

/// Supervises the actors of one socket.
#[derive(Debug)]
pub(crate) struct SocketActor {
    pub(super) core: Arc<SocketCore>,
    /// The children outlive the incarnations of this actor.
    pub(super) children: Rc<Children>,
}

impl SocketActor {
    pub(crate) fn new(core: Arc<SocketCore>, children: Rc<Children>) -> Self {
        Self { core, children }
    }

    /// True while new connections are let in: the socket neither ends nor is on its way there.
    fn lets_in(&self) -> bool {
        self.core.lifecycle.is_open() && self.children.are_accepting()
    }

    fn listen(&mut self, acceptor: Acceptor) -> Endpoint {
        let endpoint = acceptor.endpoint();
        self.children.start_listener(acceptor);
        tracing::info!(%endpoint, "listening");
        self.core.events.announce(&SocketEvent::Listening {
            endpoint: endpoint.clone(),
        });
        endpoint
    }

    /// Nothing new comes in. Dialers go on: what is to be sent may need a peer that comes back.
    fn stop_accepting(&mut self) {
        self.core.enter(SocketPhase::Closing);
        self.core.inbound.subscriptions.close();
        self.children.stop_accepting();
    }
}

impl Actor for SocketActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        tracing::debug!(identity = %self.core.config.identity, "socket started");
        let core = Arc::clone(&self.core);
        if !core.lifecycle.is_open() && !core.lifecycle.is_closed() {
            // The incarnation that was closing it has panicked.
            let order = Close::within(core.config.close_deadline);
            let children = Rc::clone(&self.children);
            let closing = async move { close(&core, &children, order).await };
            ctx.spawn(closing.into_actor(self).map(|_, _, ctx| ctx.stop()));
        }
    }
}

#[cfg(feature = "test-util")]
impl Handler<super::fault_injection::CrashPart> for SocketActor {
    type Result = ();

    fn handle(&mut self, crash: super::fault_injection::CrashPart, _: &mut Context<Self>) {
        self.children.crash(crash.0);
    }
}

/// Start listening.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: BindOptions,
}

impl Message for Bind {
    type Result = Result<Endpoint, BindError>;
}

impl Handler<Bind> for SocketActor {
    type Result = ResponseActFuture<Self, Result<Endpoint, BindError>>;

    fn handle(&mut self, bind: Bind, _: &mut Context<Self>) -> Self::Result {
        let Bind { endpoint, options } = bind;
        let ports = self.children.ports();
        let listening = async move {
            Acceptor::listen(&endpoint, &options, &ports)
                .await
                .map_err(|source| BindError::Io { endpoint, source })
        };
        Box::pin(listening.into_actor(self).map(|acceptor, act, _| {
            if !act.lets_in() {
                return Err(Closed.into());
            }
            acceptor.map(|acceptor| act.listen(acceptor))
        }))
    }
}

/// Let in a connection that a web server accepted.
#[cfg(feature = "actix-web")]
#[derive(Debug)]
pub(crate) struct Adopt {
    pub(crate) accepted: crate::transport::Accepted,
    pub(crate) path: String,
}

/// Why a connection was not let in.
#[cfg(feature = "actix-web")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdopted {
    Closed,
    Full,
}

#[cfg(feature = "actix-web")]
impl Message for Adopt {
    type Result = Result<(), NotAdopted>;
}

#[cfg(feature = "actix-web")]
impl Handler<Adopt> for SocketActor {
    type Result = Result<(), NotAdopted>;

    fn handle(&mut self, Adopt { accepted, path }: Adopt, _: &mut Context<Self>) -> Self::Result {
        if !self.lets_in() {
            return Err(NotAdopted::Closed);
        }
        let admitted = self.children.adopt(accepted, &path);
        admitted.then_some(()).ok_or(NotAdopted::Full)
    }
}

/// Dial, and go on dialling.
#[derive(Debug)]
pub(crate) struct Connect(pub(crate) DialTarget);

impl Message for Connect {
    type Result = Result<(), Closed>;
}

impl Handler<Connect> for SocketActor {
    type Result = Result<(), Closed>;

    fn handle(&mut self, Connect(target): Connect, _: &mut Context<Self>) -> Self::Result {
        if !self.core.lifecycle.is_open() {
            return Err(Closed);
        }
        self.core.standing.note_reachable();
        self.children.start_dialer(target);
        Ok(())
    }
}

/// Follow a source of peers, and dial them.
#[derive(Debug)]
pub(crate) struct FollowSource(pub(crate) DiscoveryTarget);

impl Message for FollowSource {
    type Result = Result<(), DiscoveryError>;
}

impl Handler<FollowSource> for SocketActor {
    type Result = Result<(), DiscoveryError>;

    fn handle(&mut self, follow: FollowSource, _: &mut Context<Self>) -> Self::Result {
        let FollowSource(target) = follow;
        if !self.core.lifecycle.is_open() {
            return Err(Closed.into());
        }
        let name = target.name.clone();
        self.core.standing.note_reachable();
        match self.children.start_discovery(target) {
            true => Ok(()),
            false => Err(DiscoveryError::Followed(name)),
        }
    }
}

/// Deliver to an actor that is known only by its address.
#[derive(Debug)]
pub(crate) struct SubscribeRecipient {
    pub(crate) recipient: Recipient<Received>,
    pub(crate) credit: usize,
}

impl Message for SubscribeRecipient {
    type Result = ();
}

impl Handler<SubscribeRecipient> for SocketActor {
    type Result = ();

    fn handle(&mut self, subscribe: SubscribeRecipient, _: &mut Context<Self>) {
        let SubscribeRecipient { recipient, credit } = subscribe;
        let subscriber = self.core.lifecycle.next_serial();
        let key = Key::Recipient(subscriber);
        let reached = recipient.clone();
        let member = Member::new(subscriber, "a recipient", move || reached.connected());
        let subscriptions = &self.core.inbound.subscriptions;
        let (subscription, member) = subscriptions.join(SubscriptionSpec::all(key), member);
        Courier {
            core: Arc::clone(&self.core),
            subscription,
            member,
            recipient,
            credit,
        }
        .start();
    }
}

/// Carries messages into the mailbox of a recipient, as many at a time as its credit allows.
struct Courier {
    core: Arc<SocketCore>,
    subscription: Arc<Subscription>,
    member: Arc<Member>,
    recipient: Recipient<Received>,
    credit: usize,
}

impl Actor for Courier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let subscription = Arc::clone(&self.subscription);
        let member = Arc::clone(&self.member);
        let bare = Bare::new(self.core.router.stores_window());
        let consumer = self.core.config.tracing.consumer("", None);
        let receive = Receive::<bytes::Bytes>::new(self.core.config.codec, bare).traced(consumer);
        let pump = Pump::new(subscription, member, self.credit, receive);
        ctx.spawn(pump.map(|(), _, ctx: &mut Context<Self>| ctx.stop()));
    }
}

impl Handler<Received> for Courier {
    type Result = Handled;

    fn handle(&mut self, received: Received, ctx: &mut Context<Self>) -> Handled {
        let settle = received.settle_handle();
        if !self.recipient.connected() {
            ctx.stop();
        }
        let recipient = self.recipient.clone();
        let delivery = self.recipient.send(received);
        Handled::future(async move {
            let delivered = delivery.await;
            // An actor that is gone has not failed on it: whoever else is subscribed gets it.
            if delivered.is_err()
                && !recipient.connected()
                && let Some(settle) = settle
            {
                settle.nack(Duration::ZERO);
            }
            delivered.map_err(|_| "the actor has not handled it")
        })
    }
}

/// Tell an actor about something from now on.
#[derive(Debug)]
pub(crate) enum Watch {
    Peers(Recipient<PeerEvent>),
    Socket(Recipient<SocketEvent>),
    DeadLetters(Recipient<DeadLetter>),
}

impl Message for Watch {
    type Result = ();
}

impl Handler<Watch> for SocketActor {
    type Result = ();

    fn handle(&mut self, watch: Watch, _: &mut Context<Self>) {
        // On the arbiter and not in the context, so that events outlive the actor's restart.
        match watch {
            Watch::Peers(recipient) => {
                actix_rt::spawn(self.core.events.feed_peers(recipient));
            }
            Watch::Socket(recipient) => {
                actix_rt::spawn(self.core.events.feed_socket(recipient));
            }
            Watch::DeadLetters(recipient) => {
                actix_rt::spawn(self.core.events.feed_dead_letters(recipient));
            }
        }
    }
}

/// Drain for this long when supervision gives up the program.
#[derive(Debug)]
pub(crate) struct DrainAtEnd(pub(crate) Duration);

impl Message for DrainAtEnd {
    type Result = ();
}

impl Handler<DrainAtEnd> for SocketActor {
    type Result = ();

    fn handle(&mut self, DrainAtEnd(limit): DrainAtEnd, _: &mut Context<Self>) {
        self.children.set_drain_at_end(limit);
    }
}

/// Accept no more connections. What was received and sent is drained first, and the socket closed then.
#[derive(Debug)]
pub(crate) struct StopAccepting;

impl Message for StopAccepting {
    type Result = ();
}

impl Handler<StopAccepting> for SocketActor {
    type Result = ();

    fn handle(&mut self, _: StopAccepting, _: &mut Context<Self>) {
        self.children.stop_accepting();
    }
}

/// Close in order, within a deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Close {
    /// For what was accepted to be written and acknowledged.
    pub(crate) deadline: Duration,
    /// For the connections to end in order after that.
    pub(crate) goodbye: Duration,
}

impl Close {
    pub(crate) const fn within(deadline: Duration) -> Self {
        let goodbye = shutdown::GOODBYE;
        Self { deadline, goodbye }
    }
}

impl Message for Close {
    type Result = CloseReport;
}

impl Handler<Close> for SocketActor {
    type Result = ResponseActFuture<Self, CloseReport>;

    fn handle(&mut self, order: Close, _: &mut Context<Self>) -> Self::Result {
        let first = self.core.lifecycle.is_open();
        if first {
            self.stop_accepting();
        }
        let core = Arc::clone(&self.core);
        let children = Rc::clone(&self.children);
        let closing = async move {
            if first {
                close(&core, &children, order).await
            } else {
                shutdown::closed_report(&core).await
            }
        };
        Box::pin(closing.into_actor(self).map(|report, _, ctx| {
            ctx.stop();
            report
        }))
    }
}

/// Drains until the deadline, lets every connection end in order, then ends those that do not.
async fn close(core: &Arc<SocketCore>, children: &Children, close: Close) -> CloseReport {
    shutdown::wait_until(close.deadline, || core.is_drained(true)).await;
    children.stop_dialling();
    shutdown::part(core, close.goodbye).await;
    // What is left goes to the outbox, and from there to the dead letters.
    shutdown::abort(core).await;
    let report = core.end("close was called");
    core.router.store_closed().await;
    tracing::info!(?report, "socket closed");
    report
}
