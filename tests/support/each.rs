//! An actor that does one thing with each message.

use actix::dev::MessageResponse;
use actix::prelude::*;
use actix_aiomsg::prelude::*;

/// The actor that [`each`] starts.
pub(crate) struct Each<F>(F);

/// Subscribes a handler: a function that returns what [`Handler::handle`] may.
pub(crate) fn each<F, R>(socket: &Socket, handle: F)
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Each<F>, Received> + 'static,
{
    Each::create(|ctx| {
        socket.downgrade().subscribe(ctx);
        Each(handle)
    });
}

impl<F: Unpin + 'static> Actor for Each<F> {
    type Context = Context<Self>;
}

impl<F, R> Handler<Received> for Each<F>
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Self, Received> + 'static,
{
    type Result = R;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> R {
        (self.0)(message)
    }
}
