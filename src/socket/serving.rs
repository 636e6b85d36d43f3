//! Handlers that answer asks, and how they are fed.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context as ActorContext, Handler};

use super::handle::{Socket, WeakSocket};
use super::offering::Offer;
use super::subscriber::{SubscribeOptions, Subscribed};
use crate::ask::{Ask, AskRequest, Serve, asks_for};
use crate::subscription::Pump;

/// Asynchronous answers that are awaited at a time if it is not said.
const IN_FLIGHT: usize = 128;

/// The context of an actor that handles [`Ask<Q>`].
#[diagnostic::on_unimplemented(
    message = "the actor of this `{Self}` does not answer `Ask<{Q}>`",
    label = "what serves `{Q}` must handle `Ask<{Q}>`",
    note = "write `impl Handler<Ask<{Q}>> for` your actor, with `type Result = Answer<{Q}>;` or a future of it",
    note = "the context of the actor must be `actix::Context<Self>`"
)]
pub trait Server<Q: AskRequest>: sealed::Sealed {
    #[doc(hidden)]
    fn start_serving(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed;
    #[doc(hidden)]
    fn start_offering(&mut self, offer: &Offer, options: SubscribeOptions) -> Subscribed;
}

mod sealed {
    pub trait Sealed {}
    impl<A: actix::Actor<Context = actix::Context<A>>> Sealed for actix::Context<A> {}
}

impl Socket {
    /// Answers asks of this type, from the `started` method of an actor with
    /// `impl Handler<Ask<Q>>`; again after every restart.
    ///
    /// The handler's result is the answer, at once or when its future resolves. An error, a panic,
    /// and a request that cannot be read are answered, too: the asker gets them as
    /// [`Remote`](crate::error::AskError::Remote). Asks that it serves go to no other subscription, but for
    /// observers. Up to 128 answers are awaited at a time.
    pub fn serve<Q: AskRequest>(&self, ctx: &mut impl Server<Q>) -> Subscribed {
        self.serve_with(ctx, SubscribeOptions::default())
    }

    /// [`serve`](Self::serve), with options of its own. In a group, whoever is free answers.
    pub fn serve_with<Q: AskRequest>(
        &self,
        ctx: &mut impl Server<Q>,
        options: SubscribeOptions,
    ) -> Subscribed {
        ctx.start_serving(self, options)
    }
}

impl WeakSocket {
    /// As [`Socket::serve`]; does nothing, and yields `None`, when the socket is closed.
    pub fn serve<Q: AskRequest>(&self, ctx: &mut impl Server<Q>) -> Option<Subscribed> {
        Some(self.upgrade()?.serve(ctx))
    }

    /// As [`Socket::serve_with`]; does nothing, and yields `None`, when the socket is closed.
    pub fn serve_with<Q: AskRequest>(
        &self,
        ctx: &mut impl Server<Q>,
        options: SubscribeOptions,
    ) -> Option<Subscribed> {
        Some(self.upgrade()?.serve_with(ctx, options))
    }
}

/// A missing handler is told of by the trait's own words.
#[diagnostic::do_not_recommend]
impl<A, Q> Server<Q> for ActorContext<A>
where
    A: Actor<Context = Self> + Handler<Ask<Q>>,
    A::Result: 'static,
    Q: AskRequest,
{
    fn start_serving(&mut self, socket: &Socket, options: SubscribeOptions) -> Subscribed {
        let address = self.address();
        let max_in_flight = options.in_flight_or(IN_FLIGHT);
        let config = &socket.core().config;
        let codec = options.codec_or(config.codec);
        let consumer = options.consumer(&config.tracing, Q::TOPIC);
        let spec = options
            .into_spec::<A, Q>(&address, asks_for::<Q>())
            .serving();
        let core = socket.core();
        core.inbound.asks.start_serving();
        let subscribed = Subscribed::join(&address, core, spec);
        let Some((subscription, member)) = subscribed.unfed() else {
            return subscribed;
        };
        let serve = Serve::<Q>::new(
            Arc::clone(&core.inbound.asks),
            Arc::clone(&subscription),
            codec,
        );
        let serve = serve.traced(consumer);
        self.spawn(Pump::new(subscription, member, max_in_flight, serve));
        subscribed
    }

    fn start_offering(&mut self, offer: &Offer, options: SubscribeOptions) -> Subscribed {
        let address = self.address();
        let max_in_flight = options.in_flight_or(IN_FLIGHT);
        let (core, service) = offer.parts();
        let codec = options.codec_or(core.config.codec);
        let consumer = options.consumer(&core.config.tracing, service.name());
        let spec = options
            .into_spec::<A, Q>(&address, Q::filter())
            .of_service(service.name());
        let (subscribed, service) = Subscribed::join_service(&address, core, service, spec);
        let (subscription, member) = subscribed.parts();
        let serve = Serve::<Q>::new(
            Arc::clone(&core.inbound.asks),
            Arc::clone(&subscription),
            codec,
        );
        let serve = serve.metered(Arc::clone(service.meter())).traced(consumer);
        self.spawn(Pump::new(subscription, member, max_in_flight, serve));
        subscribed
    }
}
