//! Tells to instances that are killed again and again, counted one by one. In full with `just soak`.
#![cfg(all(unix, feature = "json"))]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::process::Process;
use support::shop::{Sold, sold};
use support::{again, scale, within_patience};

/// The name of the test, for the processes that play a part in it.
const TEST: &str =
    "tells_of_instances_that_are_killed_are_none_lost_and_repetitions_are_known_by_their_origin";

/// Says what it is told, before it is through with it.
struct Ledger {
    socket: WeakSocket,
    instance: String,
}

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let offer = self.socket.offer("ledger").expect("the socket is open");
        let offer = offer.instance(&self.instance).expect("a short name");
        offer.handle::<Sold>(ctx);
    }
}

impl Handler<Received<Sold>> for Ledger {
    type Result = ();

    fn handle(&mut self, sold: Received<Sold>, _: &mut Context<Self>) {
        let (peer, id) = sold.origin().expect("it is sent at least once");
        println!("tell {} {peer} {id} .", sold.number);
    }
}

/// An instance in a process of its own, until it is killed.
async fn instance(part: &str) {
    let (instance, endpoint) = part.split_once(' ').expect("a name and an endpoint");
    // The harness has begun a line.
    println!();
    let socket = Socket::start().expect("a socket");
    let ledger = Ledger {
        socket: socket.downgrade(),
        instance: instance.to_owned(),
    };
    ledger.start();
    socket.connect(endpoint).await.expect("an endpoint");
    while again::order().await.is_some() {}
}

/// What was handled: the origins that each tell had, one for each time.
type Handled = Rc<RefCell<BTreeMap<u64, Vec<String>>>>;

/// Starts an instance, and notes what it handles until it ends.
fn start(
    number: usize,
    endpoint: &str,
    handled: &Handled,
) -> (Process, actix_rt::task::JoinHandle<()>) {
    let mut process = again::start(TEST, &format!("ledger-{number} {endpoint}"));
    let printed = process.stdout.take().expect("it is read");
    let handled = Rc::clone(handled);
    let reader = actix::spawn(printed.for_each(move |line| {
        // A line that was cut short by a kill has no end.
        let told = line
            .strip_prefix("tell ")
            .and_then(|told| told.strip_suffix(" ."));
        if let Some((number, origin)) = told.and_then(|told| told.split_once(' ')) {
            let number = number.parse().expect("a number");
            handled
                .borrow_mut()
                .entry(number)
                .or_default()
                .push(origin.to_owned());
        }
    }));
    (process, reader)
}

#[actix::test]
async fn tells_of_instances_that_are_killed_are_none_lost_and_repetitions_are_known_by_their_origin()
 {
    if let Some(part) = again::part() {
        return instance(&part).await;
    }
    let (tells, kills) = (scale::of(100_000), scale::of(50));
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let service = socket.service("ledger");
    let handled = Handled::default();
    let mut instances: Vec<_> = (0..3)
        .map(|number| start(number, &endpoint, &handled))
        .collect();
    within_patience("all to be there", service.wait_for(3))
        .await
        .unwrap();

    let (next, acknowledged) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let teller = |teller: u64| {
        // Half of them tell one instance each.
        let service = match teller % 2 {
            0 => service.clone(),
            _ => service.keyed(format!("key-{teller}")),
        };
        let (next, acknowledged) = (Rc::clone(&next), Rc::clone(&acknowledged));
        actix::spawn(async move {
            loop {
                let number = next.get();
                if number == tells {
                    return;
                }
                next.set(number + 1);
                let told = service.tell(&sold(number)).acknowledged().await;
                assert_eq!(told, Ok(()), "tell {number}");
                acknowledged.set(acknowledged.get() + 1);
            }
        })
    };
    let tellers: Vec<_> = (0..64).map(teller).collect();
    let mut readers = Vec::new();
    for kill in 0..kills {
        let target = (kill + 1) * tells / (kills + 1);
        scale::reaches("tells before a kill", target, || acknowledged.get()).await;
        let number = usize::try_from(kill).unwrap() % 3;
        let (mut process, reader) =
            std::mem::replace(&mut instances[number], start(number, &endpoint, &handled));
        process.kill();
        readers.push(reader);
    }
    scale::reaches("all tells", tells, || acknowledged.get()).await;
    for teller in tellers {
        teller.await.expect("each tell was acknowledged");
    }
    assert_eq!(socket.stats().returned_tells, 0);
    for (mut process, reader) in instances {
        process.kill();
        readers.push(reader);
    }
    for reader in readers {
        reader.await.expect("every line is counted");
    }
    let handled = handled.borrow();
    assert!(
        handled.keys().copied().eq(0..tells),
        "{} of {tells}",
        handled.len()
    );
    // Whoever remembers origins handles each once: they are the same for one tell, and another's are different.
    let mut origins = HashSet::new();
    for (number, of_it) in handled.iter() {
        assert!(
            of_it.iter().all(|origin| *origin == of_it[0]),
            "{number}: {of_it:?}"
        );
        assert!(origins.insert(of_it[0].clone()), "{number}");
    }
    let times: usize = handled.values().map(Vec::len).sum();
    println!(
        "{tells} tells, {kills} kills: none lost, {} repetitions",
        times - handled.len()
    );
}
