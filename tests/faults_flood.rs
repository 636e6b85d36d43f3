//! Two ends that flood each other, and whose handlers wait for room. In full with `just soak`.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::scale;

/// Messages of a flood are their name and the hops that they have left, as so many digits as it
/// takes to make them large. A handler awaits `send` for each that has hops left.
struct Flooder {
    socket: WeakSocket,
    heard: Arc<Flood>,
}

/// What both ends have handled.
#[derive(Default)]
struct Flood {
    handled: AtomicU64,
    different: Mutex<HashSet<(String, u64)>>,
}

impl Actor for Flooder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe(ctx);
    }
}

impl Handler<Received> for Flooder {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Received, _: &mut Context<Self>) -> Self::Result {
        let text = message.text().unwrap().to_owned();
        let (origin, hops) = text.rsplit_once(' ').expect("a hop count");
        let digits = hops.len();
        let hops: u64 = hops.parse().unwrap();
        let key = (origin.to_owned(), hops);
        self.heard.different.lock().unwrap().insert(key);
        self.heard.handled.fetch_add(1, Ordering::SeqCst);
        let (socket, origin) = (self.socket.clone(), origin.to_owned());
        Box::pin(async move {
            if hops > 0
                && let Some(socket) = socket.upgrade()
            {
                let next = format!("{origin} {:0digits$}", hops - 1);
                // A socket that is closed at the end of the test takes nothing more.
                let _ = socket.send(next).await;
            }
        })
    }
}

/// What each end does.
#[derive(Clone, Copy)]
struct Load {
    guarantee: DeliveryGuarantee,
    /// Messages that do not come from handlers.
    each: u64,
    /// How long they are, about.
    digits: usize,
}

/// How often a message is sent on.
const HOPS: u64 = 3;

/// One end of the flood, on a thread of its own, which `meets` the other.
fn flooding(
    name: &'static str,
    load: Load,
    heard: &Arc<Flood>,
    meets: impl AsyncFnOnce(&Socket) + Send + 'static,
    over: tokio::sync::watch::Receiver<bool>,
) -> thread::JoinHandle<Stats> {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        System::new().block_on(async move {
            let socket = Socket::builder()
                .delivery_guarantee(load.guarantee)
                .start()
                .unwrap();
            Flooder {
                socket: socket.downgrade(),
                heard,
            }
            .start();
            meets(&socket).await;
            socket.wait_for_peers(1).await.unwrap();
            let sender = socket.clone();
            let sending = actix::spawn(async move {
                for number in 0..load.each {
                    let digits = load.digits;
                    let message = format!("{name}{number} {HOPS:0digits$}");
                    sender.send(message).await.unwrap();
                }
            });
            let mut over = over;
            over.wait_for(|over| *over).await.unwrap();
            sending.await.unwrap();
            let stats = socket.stats();
            socket.close_within(Duration::ZERO).await;
            stats
        })
    })
}

/// Both ends flood each other; returns when each message has been handled with each of its hops.
async fn flood(load: Load) {
    let Load {
        guarantee, each, ..
    } = load;
    let heard = Arc::<Flood>::default();
    let (end, over) = tokio::sync::watch::channel(false);
    let (tell, told) = tokio::sync::oneshot::channel();
    let binds = async |socket: &Socket| {
        tell.send(socket.bind("127.0.0.1:0").await.unwrap())
            .unwrap();
    };
    let a = flooding("a", load, &heard, binds, over.clone());
    let endpoint = told.await.unwrap();
    let connects = async move |socket: &Socket| socket.connect(endpoint).await.unwrap();
    let b = flooding("b", load, &heard, connects, over);
    let start = Instant::now();
    let all = 2 * each * (HOPS + 1);
    let handled = || heard.handled.load(Ordering::SeqCst);
    scale::reaches("the flood to be handled", all, || {
        heard.different.lock().unwrap().len() as u64
    })
    .await;
    end.send_replace(true);
    let stats = [a.join().unwrap(), b.join().unwrap()];
    println!(
        "{all} messages {guarantee:?} handled in {:?}, {} again, {} and {} joins",
        start.elapsed(),
        handled() - all,
        stats[0].joins,
        stats[1].joins
    );
    assert_eq!((stats[0].dead_letters, stats[1].dead_letters), (0, 0));
}

#[actix::test]
async fn two_ends_that_flood_each_other_at_least_once_and_await_send_in_their_handlers_go_on() {
    let load = Load {
        guarantee: DeliveryGuarantee::AtLeastOnce,
        each: scale::of(60_000),
        digits: 1,
    };
    flood(load).await;
}

#[actix::test]
async fn two_ends_that_flood_each_other_at_most_once_and_await_send_in_their_handlers_go_on() {
    let load = Load {
        guarantee: DeliveryGuarantee::AtMostOnce,
        // As much as both links may take at a standstill: beyond it connections end, and what was
        // sent at most once is lost with them.
        each: 10_000,
        digits: 1000,
    };
    flood(load).await;
}
