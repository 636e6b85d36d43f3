//! An actor that does one thing with each message.

use actix::dev::MessageResponse;
use actix::prelude::*;
use actix_aiomsg::prelude::*;

/// The actor that [`each`] starts.
pub struct Each<F> {
    socket: WeakSocket,
    handle: F,
}

/// Subscribes a handler: a function that returns what [`Handler::handle`] may.
pub fn each<F, R>(socket: &Socket, handle: F)
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Each<F>, Received> + 'static,
{
    let socket = socket.downgrade();
    Each { socket, handle }.start();
}

impl<F, R> Actor for Each<F>
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Self, Received> + 'static,
{
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl<F, R> Handler<Received> for Each<F>
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Self, Received> + 'static,
{
    type Result = R;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> R {
        (self.handle)(message)
    }
}
