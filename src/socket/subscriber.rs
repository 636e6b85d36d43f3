//! Handlers that subscribe, and how they are fed.

use std::fmt;
use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler};

use super::handle::{Socket, WeakSocket};
use super::offering::Offer;
use crate::core::SocketCore;
use crate::payload::{Codec, Filter, Payload};
use crate::services::ServiceQueue;
use crate::subscription::Received;
use crate::subscription::{
    Bare, Delivery, Key, Member, Pump, Receive, Subscription, SubscriptionSpec, ToService,
};
use crate::trace::{Consumer, Tracing};

/// The context of an actor that handles [`Received<T>`].
#[diagnostic::on_unimplemented(
    message = "the actor of this `{Self}` does not handle `Received<{T}>`",
    label = "what subscribes to `{T}` must handle `Received<{T}>`",
    note = "write `impl Handler<Received<{T}>> for` your actor, with `type Result = ();`, or `Handled` if it can fail, or a future of `()`",
    note = "the context of the actor must be `actix::Context<Self>`; `Received` without a type is `Received<Bytes>`"
)]
pub trait Subscriber<T: Payload>: sealed::Sealed {
    #[doc(hidden)]
    fn start_pump(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed;
    #[doc(hidden)]
    fn start_handling(&mut self, offer: &Offer, options: SubscribeOptions) -> Subscribed;
}

mod sealed {
    pub trait Sealed {}
    impl<A: actix::Actor<Context = actix::Context<A>>> Sealed for actix::Context<A> {}
}

impl Socket {
    /// Feeds a handler, from its `started` method; again after every restart, which resumes where
    /// it was. Messages are handled in order, one at a time.
    ///
    /// `ctx` is the context of an actor with `impl Handler<Received<T>>`, which should keep no more
    /// than a [`WeakSocket`] of the socket that feeds it. It gets the messages that `T` says are
    /// its own, by [topic or matcher](Payload::filter); `T` is [`Bytes`](bytes::Bytes) for all of them, as they
    /// are. An actor may subscribe to several types, and gets each message once, however often it subscribes to one of them
    /// before a restart. A payload that is not a `T` after all becomes
    /// a dead letter with the decoder's error; one that no subscription wants becomes one, too.
    pub fn subscribe<T: Payload>(&self, ctx: &mut impl Subscriber<T>) -> Subscribed {
        self.subscribe_with(ctx, SubscribeOptions::default())
    }

    /// [`subscribe`](Self::subscribe), with options of its own.
    pub fn subscribe_with<T: Payload>(
        &self,
        ctx: &mut impl Subscriber<T>,
        options: SubscribeOptions,
    ) -> Subscribed {
        ctx.start_pump(self, options)
    }
}

impl WeakSocket {
    /// As [`Socket::subscribe`]; does nothing, and yields `None`, when the socket is closed.
    pub fn subscribe<T: Payload>(&self, ctx: &mut impl Subscriber<T>) -> Option<Subscribed> {
        self.subscribe_with(ctx, SubscribeOptions::default())
    }

    /// As [`Socket::subscribe_with`]; does nothing, and yields `None`, when the socket is closed.
    pub fn subscribe_with<T: Payload>(
        &self,
        ctx: &mut impl Subscriber<T>,
        options: SubscribeOptions,
    ) -> Option<Subscribed> {
        let socket = self.upgrade()?;
        Some(socket.subscribe_with(ctx, options))
    }
}

/// Options of a subscription: how its handler is fed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SubscribeOptions {
    max_in_flight: Option<usize>,
    group: Option<String>,
    filter: Filter,
    delivery: Delivery,
    codec: Option<Codec>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            max_in_flight: None,
            group: None,
            filter: Filter::all(),
            delivery: Delivery::Gating,
            codec: None,
        }
    }
}

impl SubscribeOptions {
    /// Asynchronous results of the handler that are awaited at a time. Default: 1, which
    /// keeps messages in order; for asks 128.
    #[must_use]
    pub fn max_in_flight(mut self, results: usize) -> Self {
        self.max_in_flight = Some(results.max(1));
        self
    }

    /// Makes the handler a member of a group, whose members compete: each message goes to the one
    /// that is free, wherever its arbiter is. What a member that panics had not handled goes to the
    /// others while it restarts. Members of a group name the same type and the same filter.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Narrows the messages that the handler gets. Default: everything of its
    /// type.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = self.filter.and(filter);
        self
    }

    /// Makes the handler an observer: nobody waits for it, it counts for no acknowledgement, and
    /// what it has no room for is skipped and counted. A message that it fails on is a dead letter of this socket,
    /// [`Poison`](crate::event::DeadLetterReason::Poison), and handled for its sender.
    #[must_use]
    pub fn observe(mut self) -> Self {
        self.delivery = Delivery::Observing;
        self
    }

    /// Keeps the last message only, for handlers to which a newer one makes the older ones
    /// worthless. Those are skipped, counted, and count as handled; nobody waits.
    #[must_use]
    pub fn conflate(mut self) -> Self {
        self.delivery = Delivery::Conflating;
        self
    }

    /// Codec for values of serde types. Default: the socket's codec.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }
}

impl SubscribeOptions {
    pub(crate) fn in_flight_or(&self, default: usize) -> usize {
        self.max_in_flight.unwrap_or(default)
    }

    pub(crate) fn codec_or(&self, default: Codec) -> Codec {
        self.codec.unwrap_or(default)
    }

    /// The spans of what the handler handles.
    pub(crate) fn consumer(&self, tracing: &Tracing, topic: &str) -> Consumer {
        tracing.consumer(topic, self.group.as_deref())
    }

    /// The subscription of this actor to messages of type `T`.
    pub(crate) fn into_spec<A: Actor, T>(
        self,
        address: &Addr<A>,
        of_type: Filter,
    ) -> SubscriptionSpec {
        let filter = of_type.and(self.filter);
        let message = std::any::type_name::<T>();
        let shown = filter.to_string();
        let key = match self.group {
            Some(name) => Key::Group {
                name,
                message,
                filter: shown,
            },
            None => Key::Handler {
                address: address_number(address),
                message,
                filter: shown,
            },
        };
        SubscriptionSpec {
            key,
            filter,
            delivery: self.delivery,
            serves: false,
        }
    }
}

/// A subscription of one actor, to pause, resume and end it. Dropping this changes nothing.
#[derive(Clone)]
pub struct Subscribed {
    subscription: Arc<Subscription>,
    member: Arc<Member>,
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribed")
            .field("actor", &self.member.actor)
            .field("is_paused", &self.is_paused())
            .finish_non_exhaustive()
    }
}

impl Subscribed {
    pub(crate) fn join<A: Actor<Context = Context<A>>>(
        address: &Addr<A>,
        core: &SocketCore,
        spec: SubscriptionSpec,
    ) -> Self {
        let (subscription, member) = core.inbound.subscriptions.join(spec, member_of(address));
        Self {
            subscription,
            member,
        }
    }

    /// The same, for messages to a service that is offered; with the service that the actor has joined.
    pub(super) fn join_service<A: Actor<Context = Context<A>>>(
        address: &Addr<A>,
        core: &SocketCore,
        service: &Arc<ServiceQueue>,
        spec: SubscriptionSpec,
    ) -> (Self, Arc<ServiceQueue>) {
        let member = member_of(address);
        let (service, subscription, member) = core.services.add_handler(service, spec, member);
        let joined = Self {
            subscription,
            member,
        };
        (joined, service)
    }

    pub(crate) fn parts(&self) -> (Arc<Subscription>, Arc<Member>) {
        (Arc::clone(&self.subscription), Arc::clone(&self.member))
    }

    /// The same, if nothing feeds the actor yet: one that subscribes again before a restart goes on as it was.
    pub(super) fn unfed(&self) -> Option<(Arc<Subscription>, Arc<Member>)> {
        (!self.member.is_fed()).then(|| self.parts())
    }

    /// The actor gets nothing more until it is resumed: once the handler that runs has returned, not even
    /// messages that have been read. Peers wait when the inbox is full; the others of a group go
    /// on.
    pub fn pause(&self) {
        self.member.pause();
        self.subscription.inbox.consumers.notify_all();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.member.resume();
    }

    /// True if it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.member.is_paused()
    }

    /// Ends the subscription: the actor gets nothing more. What it had not handled goes to the
    /// others of its group, or to whoever else wants it; if there is nobody, it waits for the next
    /// subscriber. What asynchronous handlers have in hand is still theirs.
    pub fn unsubscribe(&self) {
        self.member.leave();
        self.subscription.inbox.consumers.notify_all();
        // What a handler has in hand comes back first, or others would get it behind what came later.
        if !self.member.is_at_work() {
            self.subscription.notice_the_dead();
        }
    }
}

/// A missing handler is told of by the trait's own words.
#[diagnostic::do_not_recommend]
impl<A, T> Subscriber<T> for Context<A>
where
    A: Actor<Context = Self> + Handler<Received<T>>,
    A::Result: 'static,
    T: Payload,
{
    fn start_pump(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed {
        let core = &socket.handle.core;
        let max_in_flight = options.in_flight_or(1);
        let bare = Bare::new(core.router.stores_window());
        let consumer = options.consumer(&core.config.tracing, T::TOPIC);
        let receive = Receive::<T>::new(options.codec_or(core.config.codec), bare).traced(consumer);
        let spec = options.into_spec::<A, T>(&self.address(), T::filter());
        let subscribed = Subscribed::join(&self.address(), core, spec);
        if let Some((subscription, member)) = subscribed.unfed() {
            self.spawn(Pump::new(subscription, member, max_in_flight, receive));
        }
        subscribed
    }

    fn start_handling(&mut self, offer: &Offer, options: SubscribeOptions) -> Subscribed {
        let (core, service) = offer.parts();
        let max_in_flight = options.in_flight_or(1);
        let codec = options.codec_or(core.config.codec);
        let consumer = options.consumer(&core.config.tracing, service.name());
        let spec = options
            .into_spec::<A, T>(&self.address(), T::filter())
            .of_service(service.name());
        let (subscribed, service) = Subscribed::join_service(&self.address(), core, service, spec);
        let wrapping = ToService(Arc::clone(service.meter()));
        let receive = Receive::<T, _>::new(codec, wrapping).traced(consumer);
        let (subscription, member) = subscribed.parts();
        self.spawn(Pump::new(subscription, member, max_in_flight, receive));
        subscribed
    }
}

/// An actor as a member of a subscription, which ends with it.
fn member_of<A: Actor<Context = Context<A>>>(address: &Addr<A>) -> Member {
    let weak = address.downgrade();
    let is_there = move || weak.upgrade().is_some_and(|address| address.connected());
    Member::new(
        address_number(address),
        std::any::type_name::<A>(),
        is_there,
    )
}

/// Tells one actor from another for as long as it lives.
fn address_number<A: Actor>(address: &Addr<A>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    hasher.finish()
}
