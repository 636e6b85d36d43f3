//! The service that takes orders, and asks the inventory about each.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Order, Outcome, Reserve};

pub(crate) struct Orders {
    /// Where orders come from.
    pub(crate) customers: WeakSocket,
    /// Where the inventory is.
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
        let (item, count) = (order.item.clone(), order.count);
        let reserve = Reserve {
            item: item.clone(),
            count,
        };
        let reserving = self.inventory.ask(Whom::Any, &reserve);
        Box::pin(async move {
            let outcome = match reserving.await {
                Ok(left) => Outcome::Accepted {
                    item,
                    left: left.count,
                },
                Err(AskError::Remote(why)) => Outcome::Refused { item, why },
                Err(error) => Outcome::Refused {
                    item,
                    why: error.to_string(),
                },
            };
            if let Err(error) = order.reply(&outcome) {
                eprintln!("{error}");
            }
        })
    }
}
