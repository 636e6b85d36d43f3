//! The handlers of a service that is offered.

use super::offering::Offer;
use super::serving::Server;
use super::subscriber::{SubscribeOptions, Subscriber};
use crate::ask::AskRequest;
use crate::payload::Payload;

impl Offer {
    /// Answers asks of this type that are for the service, as [`Socket::serve`](crate::Socket::serve) answers others.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called for what it does; the offer is for the next type"
    )]
    pub fn serve<Q: AskRequest>(self, ctx: &mut impl Server<Q>) -> Self {
        self.serve_with(ctx, SubscribeOptions::default())
    }

    /// [`serve`](Self::serve), with options of its own.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called for what it does; the offer is for the next type"
    )]
    pub fn serve_with<Q: AskRequest>(
        self,
        ctx: &mut impl Server<Q>,
        options: SubscribeOptions,
    ) -> Self {
        ctx.start_offering(&self, options);
        self
    }

    /// Handles messages of this type that were [told](crate::service::Service::tell) to the service, in order, one at a time, as
    /// [`Socket::subscribe`](crate::Socket::subscribe) does with others.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called for what it does; the offer is for the next type"
    )]
    pub fn handle<T: Payload>(self, ctx: &mut impl Subscriber<T>) -> Self {
        self.handle_with(ctx, SubscribeOptions::default())
    }

    /// [`handle`](Self::handle), with options of its own.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "it is called for what it does; the offer is for the next type"
    )]
    pub fn handle_with<T: Payload>(
        self,
        ctx: &mut impl Subscriber<T>,
        options: SubscribeOptions,
    ) -> Self {
        ctx.start_handling(&self, options);
        self
    }
}
