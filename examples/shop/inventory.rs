//! The service that knows what is on the shelf.

use std::collections::HashMap;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

use super::messages::{Left, Take};

/// Of each item, at first.
const STOCK: u32 = 1_000_000;

pub(crate) struct Inventory {
    pub(crate) socket: WeakSocket,
    pub(crate) instance: String,
    pub(crate) taken: HashMap<String, u32>,
}

impl Actor for Inventory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.socket.offer("inventory");
        let named = offer.and_then(|offer| offer.instance(&self.instance));
        match named {
            Ok(offer) => drop(offer.serve::<Take>(ctx)),
            Err(error) => eprintln!("inventory: {error}"),
        }
    }
}

impl Handler<Ask<Take>> for Inventory {
    type Result = Answer<Take>;

    fn handle(&mut self, ask: Ask<Take>, _: &mut Self::Context) -> Self::Result {
        let taken = self.taken.entry(ask.item.clone()).or_default();
        let after = taken.saturating_add(ask.count);
        let left = STOCK
            .checked_sub(after)
            .ok_or(AskFailure::new("sold out"))?;
        *taken = after;
        Ok(Left { count: left })
    }
}
