//! A send as a future of an actor.

use std::sync::Arc;

use actix::fut::ActorFuture;
use actix::{Actor, WrapFuture};

use super::sending::Sending;
use crate::error::SendError;

impl Sending<'_> {
    /// The sending as a future of an actor, for `ctx.spawn`, `ctx.wait` and `ResponseActFuture`. Unlike
    /// actix's method of this name it borrows nothing: the socket may be upgraded from a
    /// [`WeakSocket`](crate::WeakSocket) for this message alone.
    ///
    /// ```
    /// use actix::prelude::*;
    /// use actix_aiomsg::prelude::*;
    ///
    /// struct Clock(Socket);
    ///
    /// impl Actor for Clock {
    ///     type Context = Context<Self>;
    ///     fn started(&mut self, ctx: &mut Self::Context) {
    ///         let sending = self.0.send("tick").into_actor(self);
    ///         ctx.wait(sending.map(|sent, _, _| sent.unwrap_or_else(|error| eprintln!("{error}"))));
    ///     }
    /// }
    /// ```
    pub fn into_actor<A: Actor>(
        self,
        actor: &A,
    ) -> impl ActorFuture<A, Output = Result<(), SendError>> + use<A> {
        self.detached().into_actor(actor)
    }

    /// The same send, holding the router instead of borrowing it.
    pub(super) fn detached(mut self) -> impl Future<Output = Result<(), SendError>> + use<> {
        let router = Arc::clone(self.router);
        let (entry, detour) = (self.entry.take(), self.detour.take());
        let span = std::mem::take(&mut self.span);
        async move {
            let sending = Sending {
                router: &router,
                entry,
                detour,
                made_way: false,
                span,
            };
            sending.await
        }
    }
}
