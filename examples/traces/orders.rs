//! The process that takes orders: it asks the inventory for each, and tells everybody what was sold.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Purchase, Receipt, Sold, Take};

pub(crate) struct Orders {
    /// Where customers ask.
    pub(crate) desk: WeakSocket,
    /// Where the inventory is asked.
    pub(crate) stock: Socket,
    /// Where everybody hears what was sold.
    pub(crate) news: Socket,
}

impl Actor for Orders {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.desk.serve::<Purchase>(ctx);
    }
}

impl Handler<Ask<Purchase>> for Orders {
    type Result = ResponseFuture<Answer<Purchase>>;

    /// What it asks and publishes belongs to the span of the purchase, without a word.
    fn handle(&mut self, purchase: Ask<Purchase>, _: &mut Self::Context) -> Self::Result {
        let (stock, news) = (self.stock.clone(), self.news.clone());
        Box::pin(async move {
            let item = purchase.item.clone();
            let left = stock.ask(Whom::Any, &Take { item: item.clone() }).await?;
            news.send_typed(&Sold { item }).await?;
            Ok(Receipt { left: left.count })
        })
    }
}
