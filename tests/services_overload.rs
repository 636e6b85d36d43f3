//! A provider that is asked for twice what it can do, by name and by plain asks: while the clock of the test stands
//! still and moves to the next timer whenever there is nothing else to do, and by the machine's clock.
#![cfg(all(feature = "json", feature = "test-util"))]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::payload;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{TestKit, pause_time};
use serde::{Deserialize, Serialize};
use support::counting::{CountingAllocator, live_bytes};
use support::scale;
use tokio::sync::Mutex;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What is allocated is counted for the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

const MIB: usize = 1024 * 1024;

/// Time that the provider takes for each of so many jobs at a time: 400 in a second.
const HANDLING: Duration = Duration::from_millis(40);
const AT_A_TIME: usize = 16;
/// Jobs that are asked for in a second.
const DEMAND: u32 = 800;
const TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Serialize, Deserialize)]
struct Job;

#[derive(Serialize, Deserialize)]
struct Done;

payload!(Job = "job " => Done, Done);

struct Worker {
    socket: WeakSocket,
    service: Option<&'static str>,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let options = SubscribeOptions::default().max_in_flight(AT_A_TIME);
        match self.service {
            None => drop(self.socket.serve_with::<Job>(ctx, options)),
            Some(name) => {
                let offer = self.socket.offer(name).expect("the socket is open");
                offer.serve_with::<Job>(ctx, options);
            }
        }
    }
}

impl Handler<Ask<Job>> for Worker {
    type Result = ResponseFuture<Answer<Job>>;

    fn handle(&mut self, _: Ask<Job>, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async {
            tokio::time::sleep(HANDLING).await;
            Ok(Done)
        })
    }
}

/// How the asks of one run have ended.
#[derive(Debug, Default)]
struct Ends {
    done: u32,
    busy: u32,
    late: u32,
    /// Jobs that have waited at the provider, at most.
    waiting: usize,
    /// Asks that have waited at the consumer, at most: in the first half of the run, and in the second.
    outstanding: [usize; 2],
    /// Bytes that were allocated, at most: in the second quarter of the run, and in the last.
    live: [usize; 2],
}

impl Ends {
    fn count(&mut self, end: Result<Done, AskError>) {
        match end {
            Ok(Done) => self.done += 1,
            Err(AskError::Busy) => self.busy += 1,
            Err(AskError::Timeout) => self.late += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn ended(&self) -> u32 {
        self.done + self.busy + self.late
    }

    /// One of `asked` asks is about to begin.
    fn look(&mut self, number: u32, asked: u32, consumer: &Socket, provider: &Socket) {
        let half = usize::from(number >= asked / 2);
        self.outstanding[half] = self.outstanding[half].max(consumer.stats().asks);
        for offer in provider.offers() {
            self.waiting = self.waiting.max(offer.waiting);
        }
        if let quarter @ (1 | 3) = 4 * number / asked {
            let live = &mut self.live[usize::from(quarter == 3)];
            *live = live_bytes().max(*live);
        }
    }

    fn assert_nothing_grows(&self) {
        assert!(self.waiting <= 1024, "{self:?}");
        let [before, after] = self.live;
        assert!(after < before * 5 / 4 + 2 * MIB, "{self:?}");
    }

    /// What was done, as a part of what the provider can do in the time in which so much is asked.
    fn goodput(&self, asked: u32) -> f64 {
        let lasts = f64::from(asked) / f64::from(DEMAND);
        f64::from(self.done) * HANDLING.as_secs_f64() / (lasts * AT_A_TIME as f64)
    }
}

/// Asks twice as often as the provider can answer.
async fn overload(service: Option<&'static str>, asked: u32) -> Ends {
    let kit = TestKit::new();
    let (consumer, provider) = (kit.socket(), kit.socket());
    let socket = provider.downgrade();
    Worker { socket, service }.start();
    kit.connect(&consumer, &provider).await;
    if let Some(name) = service {
        consumer
            .service(name)
            .wait_for(1)
            .await
            .expect("it is open");
    }
    let ends = Rc::new(RefCell::new(Ends::default()));
    let mut every = tokio::time::interval(Duration::from_secs(1) / DEMAND);
    for number in 0..asked {
        every.tick().await;
        ends.borrow_mut().look(number, asked, &consumer, &provider);
        let (consumer, ends) = (consumer.clone(), Rc::clone(&ends));
        actix::spawn(async move {
            let end = match service {
                None => consumer.ask(Whom::Any, &Job).timeout(TIMEOUT).await,
                Some(name) => consumer.service(name).ask(&Job).timeout(TIMEOUT).await,
            };
            ends.borrow_mut().count(end);
        });
    }
    while ends.borrow().ended() < asked {
        tokio::time::sleep(HANDLING).await;
    }
    kit.assert_no_panics();
    ends.take()
}

#[actix::test]
async fn a_service_at_twice_its_capacity_does_nine_tenths_of_it_in_time_and_plain_asks_do_not() {
    let _alone = ALONE.lock().await;
    pause_time();
    // Eight seconds of it, and nearly three minutes in the soak.
    let asked = DEMAND * u32::try_from(scale::of(160)).expect("a number");
    let named = overload(Some("work"), asked).await;
    let plain = overload(None, asked).await;
    println!("by name: {named:?}\nplain: {plain:?}");
    assert!(named.goodput(asked) >= 0.9, "{named:?}");
    let accepted = named.done + named.late;
    assert!(named.late * 100 <= accepted, "{named:?}");
    assert_eq!(named.ended(), asked, "{named:?}");
    named.assert_nothing_grows();
    let [before, after] = named.outstanding;
    assert!(after <= before * 3 / 2, "{named:?}");
    assert!(plain.done < named.done, "{plain:?}");
    assert!(plain.late > 10 * named.late, "{plain:?}");
}

/// What comes of it in time hangs on the machine, and is told; that each ask ends, and that nothing grows, does not.
#[actix::test]
async fn a_service_at_twice_its_capacity_by_the_machines_clock_ends_each_ask_and_takes_no_more_memory()
 {
    let _alone = ALONE.lock().await;
    // A second and a half of it, and half a minute in the soak.
    let asked = DEMAND * u32::try_from(scale::of(600)).expect("a number") / 20;
    let named = overload(Some("work"), asked).await;
    let plain = overload(None, asked).await;
    for (how, ends) in [("by name", &named), ("plain", &plain)] {
        let goodput = 100.0 * ends.goodput(asked);
        println!("{how}: {goodput:.1} % of the capacity, {ends:?}");
    }
    assert_eq!((named.ended(), plain.ended()), (asked, asked));
    named.assert_nothing_grows();
}
