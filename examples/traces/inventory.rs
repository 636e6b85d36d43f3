//! The process that knows what is on the shelf, and hears what was sold.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Left, Sold, Take};

pub(crate) struct Inventory {
    pub(crate) stock: WeakSocket,
    pub(crate) news: WeakSocket,
    pub(crate) left: u32,
}

impl Actor for Inventory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.stock.serve::<Take>(ctx);
        self.news.subscribe::<Sold>(ctx);
    }
}

impl Handler<Ask<Take>> for Inventory {
    type Result = Answer<Take>;

    fn handle(&mut self, _: Ask<Take>, _: &mut Self::Context) -> Self::Result {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(AskFailure::new("sold out"))?;
        Ok(Left { count: self.left })
    }
}

impl Handler<Received<Sold>> for Inventory {
    type Result = ();

    fn handle(&mut self, sold: Received<Sold>, _: &mut Self::Context) {
        println!("{} was sold", sold.item);
    }
}
