//! An actor that counts.

use std::sync::{Arc, Mutex};

use actix::prelude::*;

/// Counts what reaches it and panics on demand.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) handled: u32,
    pub(crate) log: Arc<Mutex<Vec<u32>>>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u32")]
pub(crate) struct Count(pub(crate) u32);

impl Handler<Count> for Counter {
    type Result = u32;
    fn handle(&mut self, count: Count, _: &mut Self::Context) -> u32 {
        self.handled += 1;
        self.log.lock().unwrap().push(count.0);
        self.handled
    }
}

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

impl Handler<Panic> for Counter {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on demand");
    }
}

/// Runs a function inside of the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Do(pub(crate) fn(&mut Context<Counter>));

impl Handler<Do> for Counter {
    type Result = ();
    fn handle(&mut self, step: Do, ctx: &mut Self::Context) {
        step.0(ctx);
    }
}
