//! The service that takes orders, and asks the inventory about each.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Order, Outcome};

pub(crate) struct Orders {
    pub(crate) customers: WeakSocket,
    pub(crate) inventory: Socket,
}

impl Actor for Orders {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.customers.subscribe::<Order>(ctx);
    }
}

impl Handler<Received<Order>> for Orders {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, order: Received<Order>, _: &mut Self::Context) -> Self::Result {
        let asking = self.inventory.ask(Whom::Any, order.payload());
        Box::pin(async move {
            let outcome = match asking.await {
                Ok(left) => Outcome::Accepted(left),
                Err(AskError::Remote(why)) => Outcome::Refused(why),
                Err(error) => Outcome::Refused(error.to_string()),
            };
            if let Err(error) = order.reply(&outcome) {
                eprintln!("{error}");
            }
        })
    }
}
