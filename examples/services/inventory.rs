//! The service that knows what is in stock.

use std::collections::HashMap;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{InStock, Left, Order};

pub(crate) struct Inventory {
    pub(crate) socket: WeakSocket,
    pub(crate) stock: HashMap<String, u32>,
}

impl Actor for Inventory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.serve::<InStock>(ctx);
        self.socket.serve::<Order>(ctx);
    }
}

impl Handler<Ask<InStock>> for Inventory {
    type Result = Answer<InStock>;

    fn handle(&mut self, ask: Ask<InStock>, _: &mut Self::Context) -> Self::Result {
        let count = self.stock.get(&ask.item).copied().unwrap_or(0);
        Ok(Left { count })
    }
}

impl Handler<Ask<Order>> for Inventory {
    type Result = Answer<Order>;

    fn handle(&mut self, order: Ask<Order>, _: &mut Self::Context) -> Self::Result {
        let left = self.stock.get_mut(&order.item);
        let left = left.ok_or(AskFailure::new("unknown item"))?;
        let count = left.checked_sub(order.count);
        *left = count.ok_or(AskFailure::new("sold out"))?;
        Ok(Left { count: *left })
    }
}
