//! What supervision costs per mailbox message: a plain actor beside a supervised one, in turns.
//!
//! Run with `cargo bench --bench supervise`.

use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::supervise::supervise;

const ROUNDS: usize = 41;
const BATCHES: u32 = 200;
const MESSAGES_PER_BATCH: u32 = 1_000;
const ROUND_TRIPS: u32 = 50_000;

#[derive(Default)]
struct Sum(u64);

impl Actor for Sum {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Add(u64);

impl Handler<Add> for Sum {
    type Result = u64;
    fn handle(&mut self, add: Add, _: &mut Self::Context) -> u64 {
        self.0 += add.0;
        self.0
    }
}

async fn one_way(addr: &Addr<Sum>) -> f64 {
    let began = Instant::now();
    for _ in 0..BATCHES {
        for n in 1..MESSAGES_PER_BATCH {
            addr.do_send(Add(n.into()));
        }
        addr.send(Add(0)).await.expect("the actor lives");
    }
    nanoseconds(began.elapsed(), BATCHES * MESSAGES_PER_BATCH)
}

async fn round_trip(addr: &Addr<Sum>) -> f64 {
    let began = Instant::now();
    for n in 0..ROUND_TRIPS {
        addr.send(Add(n.into())).await.expect("the actor lives");
    }
    nanoseconds(began.elapsed(), ROUND_TRIPS)
}

/// Keeps the mailbox of its actor full, and spawns, which makes actix poll the mailbox within the same turn.
#[derive(Message)]
#[rtype(result = "()")]
struct Flood;

impl Handler<Flood> for Sum {
    type Result = ();
    fn handle(&mut self, _: Flood, ctx: &mut Self::Context) {
        ctx.spawn(async {}.into_actor(self));
        ctx.address().do_send(Flood);
    }
}

/// The longest time between two ticks of 1 ms on the arbiter of a flooded actor.
async fn longest_gap() -> Duration {
    let flooded = supervise(Sum::default).spawn();
    for _ in 0..10_000 {
        flooded.addr().do_send(Flood);
    }
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..1_000 {
        actix::clock::sleep(Duration::from_millis(1)).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    flooded.stop().await;
    longest
}

fn nanoseconds(elapsed: Duration, messages: u32) -> f64 {
    elapsed.as_secs_f64() * 1e9 / f64::from(messages)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn report(what: &str, plain: Vec<f64>, supervised: Vec<f64>) {
    let pairs = plain.iter().zip(&supervised);
    let ratio = median(
        pairs
            .map(|(plain, supervised)| supervised / plain)
            .collect(),
    );
    let (plain, supervised) = (median(plain), median(supervised));
    println!("{what}: plain {plain:.1} ns, supervised {supervised:.1} ns, ratio {ratio:.3}");
}

#[actix::main]
async fn main() {
    let plain = Sum::default().start();
    let supervised = supervise(Sum::default).start();
    let mut one_ways = (Vec::new(), Vec::new());
    let mut round_trips = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one_ways.0.push(one_way(&plain).await);
        one_ways.1.push(one_way(&supervised).await);
        round_trips.0.push(round_trip(&plain).await);
        round_trips.1.push(round_trip(&supervised).await);
    }
    report("one way, 1,000 queued", one_ways.0, one_ways.1);
    report("send().await", round_trips.0, round_trips.1);
    let gap = longest_gap().await;
    println!("longest gap of a 1 ms ticker beside a flooded actor that spawns: {gap:.1?}");
}
