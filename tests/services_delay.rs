//! Instances that are replaced while each way takes its time, and the clock of the test moves to the next timer whenever
//! there is nothing else to do.
#![cfg(all(feature = "json", feature = "test-util"))]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::payload;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{FaultyLine, TestKit, pause_time};
use serde::{Deserialize, Serialize};
use support::scale;

/// One way.
const DELAY: Duration = Duration::from_millis(50);

#[derive(Serialize, Deserialize)]
struct Job(u32);

#[derive(Serialize, Deserialize)]
struct Done;

payload!(Job = "job " => Done, Done);

/// How often each job was handled, by all instances.
type Handled = Rc<RefCell<HashMap<u32, u32>>>;

struct Worker {
    socket: WeakSocket,
    instance: String,
    handled: Handled,
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let offer = self.socket.offer("work").expect("the socket is open");
        let offer = offer.instance(&self.instance).expect("a short name");
        offer.serve::<Job>(ctx);
    }
}

impl Handler<Ask<Job>> for Worker {
    type Result = ResponseFuture<Answer<Job>>;

    fn handle(&mut self, job: Ask<Job>, _: &mut Context<Self>) -> Self::Result {
        *self.handled.borrow_mut().entry(job.0).or_default() += 1;
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Done)
        })
    }
}

async fn start(
    kit: &TestKit,
    consumer: &Socket,
    number: usize,
    handled: &Handled,
) -> (Socket, FaultyLine) {
    let socket = kit.socket();
    let worker = Worker {
        socket: socket.downgrade(),
        instance: format!("work-{number}"),
        handled: Rc::clone(handled),
    };
    worker.start();
    let line = kit.connect_by_line(consumer, &socket).await;
    line.delay(DELAY);
    (socket, line)
}

#[actix::test]
async fn six_restarts_fail_nothing_and_repeat_nothing_though_each_way_takes_its_time() {
    pause_time();
    let kit = TestKit::new();
    let consumer = kit.socket();
    let service = consumer.service("work");
    let handled = Handled::default();
    let mut places = Vec::new();
    for number in 0..3 {
        places.push(start(&kit, &consumer, number, &handled).await);
    }
    service.wait_for(3).await.expect("it is open");

    let (next, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let tasks: Vec<_> = (0..150)
        .map(|task| {
            let (next, stop, service) = (Rc::clone(&next), Rc::clone(&stop), service.clone());
            // Half of them bring their jobs to one instance each.
            let service = match task % 2 {
                0 => service,
                _ => service.keyed(format!("key-{task}")),
            };
            actix::spawn(async move {
                while !stop.get() {
                    let number = next.get();
                    next.set(number + 1);
                    let done = service
                        .ask(&Job(number))
                        .timeout(Duration::from_secs(30))
                        .await;
                    assert!(done.is_ok(), "job {number}: {:?}", done.err());
                }
            })
        })
        .collect();
    // Some 5,000 jobs, and 100,000 in the soak.
    let phase = Duration::from_millis(scale::of(11_000));
    for round in 0..6 {
        tokio::time::sleep(phase).await;
        let (old, _line) = &places[round % 3];
        old.drain(Duration::from_secs(10)).await.expect("it drains");
        old.close().await;
        places[round % 3] = start(&kit, &consumer, round % 3, &handled).await;
        service.wait_for(3).await.expect("it is open");
    }
    tokio::time::sleep(phase).await;
    stop.set(true);
    for task in tasks {
        task.await.expect("no job has failed");
    }
    let handled = handled.borrow();
    assert_eq!(
        handled.len(),
        usize::try_from(next.get()).expect("a number")
    );
    assert!(handled.values().all(|times| *times == 1));
    assert!(next.get() > 500, "{}", next.get());
    println!("{} jobs", next.get());
}
