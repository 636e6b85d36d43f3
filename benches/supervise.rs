//! What supervision costs per mailbox message, and what a message of a socket's subscription costs beside one by
//! mailbox: a plain actor beside a supervised one, in turns.
//!
//! Run with `cargo bench --bench supervise`. A figure alone, for a profiler to count what times cannot show on a busy
//! machine: `cargo bench --bench supervise -- alone queued|asked|subscribed|mailed plain|supervised`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::{prelude::*, supervise::supervise};
use bytes::Bytes;

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

/// The longest time between two ticks of a ticker.
#[derive(Default)]
struct Gap {
    /// As the ticker sees it.
    elapsed: Duration,
    /// What this thread ran of it; the rest is what other programs of the machine took.
    ran: Duration,
}

fn thread_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock)
        .expect("every Unix has this clock")
        .into()
}

/// The longest gap of a ticker of 1 ms on this arbiter.
async fn longest_gap() -> Gap {
    let mut longest = Gap::default();
    for _ in 0..3_000 {
        let (began, ran) = (Instant::now(), thread_time());
        actix::clock::sleep(Duration::from_millis(1)).await;
        longest.elapsed = longest.elapsed.max(began.elapsed());
        longest.ran = longest.ran.max(thread_time() - ran);
    }
    longest
}

/// Beside an actor whose mailbox never gets empty.
async fn longest_gap_by_mailbox() -> Gap {
    let flooded = supervise(Sum::default).spawn();
    for _ in 0..10_000 {
        flooded.addr().do_send(Flood);
    }
    let gap = longest_gap().await;
    flooded.stop().await;
    gap
}

/// Spawns a future for each message that its socket feeds it with.
struct Spawner {
    socket: WeakSocket,
    handled: Rc<Cell<u64>>,
}

impl Actor for Spawner {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Spawner {
    type Result = ();
    fn handle(&mut self, _: Received, ctx: &mut Self::Context) {
        self.handled.set(self.handled.get() + 1);
        ctx.spawn(async {}.into_actor(self));
    }
}

/// Beside an actor that is subscribed to a socket which another thread floods. With the messages handled meanwhile.
async fn longest_gap_by_subscription() -> (Gap, u64) {
    let server = Socket::start().expect("a system");
    let (socket, handled) = (server.downgrade(), Rc::<Cell<u64>>::default());
    let counter = Rc::clone(&handled);
    let spawner = supervise(move || Spawner {
        socket: socket.clone(),
        handled: Rc::clone(&counter),
    })
    .spawn();
    let endpoint = server.bind("127.0.0.1:0").await.expect("a free port");
    let flooding = Arbiter::new();
    flooding.spawn(async move {
        let client = Socket::start().expect("an arbiter");
        client.connect(endpoint).await.expect("an endpoint");
        while client.send(PAYLOAD).await.is_ok() {}
    });
    server.wait_for_peers(1).await.expect("it is open");
    let gap = longest_gap().await;
    flooding.stop();
    spawner.stop().await;
    server.close_within(Duration::ZERO).await;
    (gap, handled.get())
}

const STREAMED: u32 = 500_000;
const STREAM_ROUNDS: usize = 15;
const PAYLOAD: Bytes = Bytes::from_static(&[7; 64]);

/// Counts messages of 64 bytes that come by subscription, or one by one through its mailbox.
struct Sink {
    subscribed: Option<WeakSocket>,
    left: u32,
    done: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Actor for Sink {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(socket) = &self.subscribed {
            socket.subscribe(ctx);
        }
    }
}

impl Handler<Received> for Sink {
    type Result = ();
    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        std::hint::black_box(message.payload());
        self.left -= 1;
        if self.left == 0
            && let Some(done) = self.done.take()
        {
            let _ = done.send(());
        }
    }
}

/// How a message gets from the socket to the actor.
#[derive(Clone, Copy)]
enum Way {
    Subscription,
    Mailbox,
}

/// Nanoseconds per message from one socket to the handler of another, over TCP, in one thread.
async fn streamed(way: Way, supervised: bool) -> f64 {
    let (server, client) = (
        Socket::start().expect("a system"),
        Socket::start().expect("a system"),
    );
    let (done, end) = tokio::sync::oneshot::channel();
    let mut done = Some(done);
    let subscribed = match way {
        Way::Subscription => Some(server.downgrade()),
        Way::Mailbox => None,
    };
    let mut factory = move || Sink {
        subscribed: subscribed.clone(),
        left: STREAMED,
        done: done.take(),
    };
    let addr = if supervised {
        supervise(factory).start()
    } else {
        factory().start()
    };
    if let Way::Mailbox = way {
        server.subscribe_recipient(addr.clone().recipient());
    }
    let endpoint = server.bind("127.0.0.1:0").await.expect("a free port");
    client.connect(endpoint).await.expect("an endpoint");
    client.wait_for_peers(1).await.expect("it is open");
    let began = Instant::now();
    for _ in 0..STREAMED {
        client.send(PAYLOAD).await.expect("it is open");
    }
    end.await.expect("the handler lives");
    let figure = nanoseconds(began.elapsed(), STREAMED);
    client.close().await;
    server.close().await;
    figure
}

async fn report_streams() {
    let (mut subscribed, mut by_mailbox) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..STREAM_ROUNDS {
        subscribed.0.push(streamed(Way::Subscription, false).await);
        subscribed.1.push(streamed(Way::Subscription, true).await);
        by_mailbox.0.push(streamed(Way::Mailbox, false).await);
        by_mailbox.1.push(streamed(Way::Mailbox, true).await);
    }
    let times = median(by_mailbox.1.clone()) / median(subscribed.1.clone());
    report("subscribe(ctx), 64 B over TCP", subscribed.0, subscribed.1);
    report(
        "a mailbox message each, 64 B over TCP",
        by_mailbox.0,
        by_mailbox.1,
    );
    println!("subscribe(ctx) is {times:.1} times as fast");
}

fn report_gap(flooded_by: &str, Gap { elapsed, ran }: &Gap) {
    println!(
        "longest gap of a 1 ms ticker beside an actor that is flooded by {flooded_by} and spawns: {elapsed:.1?}, \
         and of what the thread itself ran: {ran:.1?}"
    );
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

/// One scenario, as often as takes some seconds.
async fn alone(what: &str, supervised: bool) {
    let addr = if supervised {
        supervise(Sum::default).start()
    } else {
        Sum::default().start()
    };
    for _ in 0..10 {
        let figure = match what {
            "queued" => one_way(&addr).await,
            "asked" => round_trip(&addr).await,
            "subscribed" => streamed(Way::Subscription, supervised).await,
            "mailed" => streamed(Way::Mailbox, supervised).await,
            other => panic!("{other:?} is no scenario"),
        };
        println!("{figure:.1} ns");
    }
}

#[actix::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "alone") {
        return alone(&arguments[at + 1], arguments[at + 2] == "supervised").await;
    }
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
    report_streams().await;
    let gap = longest_gap_by_mailbox().await;
    report_gap("mailbox", &gap);
    let (gap, handled) = longest_gap_by_subscription().await;
    report_gap("subscription", &gap);
    println!("messages handled meanwhile: {handled}");
}
