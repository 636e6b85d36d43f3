//! A supervision tree of plain actors, without sockets: one actor panics, its tree handles it, and the
//! program prints what became of everyone.
//!
//! Run with `cargo run --example tree`.

#[macro_use]
#[path = "support/say.rs"]
mod say;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;

/// Remembers a total, until it panics.
#[derive(Default)]
struct Ledger {
    total: u32,
}

impl Actor for Ledger {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Book(u32);

impl Handler<Book> for Ledger {
    type Result = u32;
    fn handle(&mut self, book: Book, _: &mut Self::Context) -> u32 {
        if book.0 == 13 {
            panic!("the ledger is superstitious");
        }
        self.total += book.0;
        self.total
    }
}

/// Books something every now and then; it depends on the ledger and is restarted with it.
struct Clerk {
    ledger: Addr<Ledger>,
}

impl Actor for Clerk {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(40), |clerk, _| {
            clerk.ledger.do_send(Book(1))
        });
    }
}

/// Has one thing to do and is done with it.
struct Greeter;

impl Actor for Greeter {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        println!("greeter: the office is open");
        ctx.stop();
    }
}

/// Prints what happens in the tree.
struct Reporter;

impl Actor for Reporter {
    type Context = Context<Self>;
}

impl Handler<RestartEvent> for Reporter {
    type Result = ();
    fn handle(&mut self, event: RestartEvent, _: &mut Self::Context) {
        match event {
            RestartEvent::Panicked(panic) => println!("event:   {panic}"),
            RestartEvent::Restarting { child, delay } if delay.is_zero() => {
                println!("event:   {child} restarts at once")
            }
            RestartEvent::Restarting { child, delay } => {
                println!("event:   {child} restarts in {delay:.1?}")
            }
            RestartEvent::Restarted { child, restarts } => {
                println!("event:   {child} runs again (restart {restarts})")
            }
            RestartEvent::Ended { child, reason } => {
                println!("event:   {child} has ended: {reason}")
            }
            other => println!("event:   {other:?}"),
        }
    }
}

/// A supervision tree without any socket: panics, restarts, escalation.
#[derive(clap::Parser)]
struct Options;

#[actix::main]
async fn main() {
    let Options = clap::Parser::parse();
    // The panic below is meant to happen; events say all there is to say about it.
    std::panic::set_hook(Box::new(|_| {}));

    let mut errands = SupervisionTree::one_for_one().name("errands");
    errands.child(
        supervise(|| Greeter)
            .name("greeter")
            .restart(RestartPolicy::Transient),
    );

    let mut office = SupervisionTree::rest_for_one()
        .name("office")
        .intensity(3, Duration::from_secs(10))
        .events(Reporter.start().recipient());
    let soon = Backoff::fixed(Duration::from_millis(20));
    let ledger = office.child(supervise(Ledger::default).name("ledger").backoff(soon));
    let book = ledger.clone();
    office.child(
        supervise(move || Clerk {
            ledger: book.clone(),
        })
        .name("clerk"),
    );
    office.nest(errands);
    let office = office.start();

    let total = ledger.send(Book(100)).await.expect("100 is a fine number");
    println!("main:    the total is {total}");

    let down = monitor(&ledger);
    let refused = ledger.send(Book(13)).await;
    println!("main:    booking 13 gave {refused:?}");
    if let ExitReason::Panicked(panic) = down.await.reason {
        println!("monitor: the ledger went down in {}", panic.place());
    }

    // The address is the same, and this message waits in the mailbox until the new ledger is there.
    let total = ledger.send(Book(7)).await.expect("7 is a fine number");
    println!("main:    the total of the new ledger is {total}");

    actix::clock::sleep(Duration::from_millis(100)).await;
    println!("\n{}\n", office.inspect());
    office.stop().await;
    println!("main:    the office is closed");
}
