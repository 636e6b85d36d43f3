//! The service that takes orders: it has the item taken from the shelf, and the customer charged.

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Charge, Purchase, Receipt, Take};

/// The price of everything.
const CENTS: u64 = 250;

pub(crate) struct Orders {
    pub(crate) socket: WeakSocket,
    pub(crate) instance: String,
    pub(crate) inventory: Service,
    pub(crate) payments: Service,
}

impl Actor for Orders {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.socket.offer("orders");
        let named = offer.and_then(|offer| offer.instance(&self.instance));
        match named {
            Ok(offer) => drop(offer.serve::<Purchase>(ctx)),
            Err(error) => eprintln!("orders: {error}"),
        }
    }
}

impl Handler<Ask<Purchase>> for Orders {
    type Result = ResponseFuture<Answer<Purchase>>;

    fn handle(&mut self, ask: Ask<Purchase>, _: &mut Self::Context) -> Self::Result {
        let take = Take {
            item: ask.item.clone(),
            count: ask.count,
        };
        let charge = Charge {
            customer: ask.customer.clone(),
            cents: CENTS * u64::from(ask.count),
        };
        // The stock of an item is with one instance, and so is the account of a customer.
        let taking = self.inventory.keyed(&take.item).ask(&take);
        let charging = self.payments.keyed(&charge.customer).ask(&charge);
        let by = self.instance.clone();
        Box::pin(async move {
            let left = taking.await?.count;
            let spent = charging.await?.cents;
            Ok(Receipt { left, spent, by })
        })
    }
}
