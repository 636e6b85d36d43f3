//! The service that knows what each customer has spent.

use std::collections::HashMap;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Charge, Spent};

pub(crate) struct Payments {
    pub(crate) socket: WeakSocket,
    pub(crate) instance: String,
    pub(crate) spent: HashMap<String, u64>,
}

impl Actor for Payments {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.socket.offer("payments");
        let named = offer.and_then(|offer| offer.instance(&self.instance));
        match named {
            Ok(offer) => drop(offer.serve::<Charge>(ctx)),
            Err(error) => eprintln!("payments: {error}"),
        }
    }
}

impl Handler<Ask<Charge>> for Payments {
    type Result = Answer<Charge>;

    fn handle(&mut self, ask: Ask<Charge>, _: &mut Self::Context) -> Self::Result {
        let spent = self.spent.entry(ask.customer.clone()).or_default();
        *spent = spent.saturating_add(ask.cents);
        Ok(Spent { cents: *spent })
    }
}
