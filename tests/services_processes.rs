//! Services that are processes of their own, of `examples/shop`: killed, cut off, stopped and replaced under load.
#![cfg(all(unix, feature = "json", feature = "actix-web"))]

#[path = "../examples/shop/messages.rs"]
#[allow(dead_code, reason = "the shop has more to say than its customers")]
mod messages;
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::service::{InstanceStatus, Service};
use futures_util::future::join_all;
use messages::Purchase;
use support::process::Process;
use support::proxy::{Fault, FaultProxy};
use support::{eventually, example, scale, within_patience};

/// One process of the shop, and where it is.
struct Place {
    process: Process,
    endpoint: String,
}

async fn open(options: &str) -> Place {
    let mut process = Process::spawn(&mut example::command("shop", options));
    let endpoint = process.line().await;
    Place { process, endpoint }
}

/// The services behind `orders`, for as long as they are kept, and their endpoints.
async fn warehouse() -> ([Place; 2], String) {
    let places = [
        open("inventory --instance inventory-0").await,
        open("payments --instance payments-0").await,
    ];
    let endpoints = format!("{} {}", places[0].endpoint, places[1].endpoint);
    (places, endpoints)
}

async fn orders(instance: usize, port: &str, warehouse: &str) -> Place {
    let options = format!("orders --instance orders-{instance} --port {port} {warehouse}");
    open(&options).await
}

/// What customers have seen, who each buy one thing after the other.
#[derive(Default)]
struct Seen {
    bought: u64,
    failed: Vec<String>,
    /// The instances that each customer came to, one after the other.
    ways: BTreeMap<String, Vec<String>>,
    gone_home: bool,
}

/// What one thing costs.
const CENTS: u64 = 250;

async fn buy(customer: String, orders: Service, seen: Rc<RefCell<Seen>>, idempotent: bool) {
    let keyed = orders.keyed(&customer);
    let purchase = Purchase {
        customer: customer.clone(),
        item: "tea".to_owned(),
        count: 1,
    };
    let mut spent = 0;
    while !seen.borrow().gone_home {
        let ask = keyed.ask(&purchase).timeout(support::PATIENCE).retry(3);
        let receipt = match idempotent {
            true => ask.idempotent().await,
            false => ask.await,
        };
        let mut seen = seen.borrow_mut();
        seen.bought += 1;
        match receipt {
            Ok(receipt) => {
                spent += CENTS;
                if !idempotent && receipt.spent != spent {
                    let problem = format!("{customer} paid {} for {spent}", receipt.spent);
                    seen.failed.push(problem);
                }
                let way = seen.ways.entry(customer.clone()).or_default();
                if way.last() != Some(&receipt.by) {
                    way.push(receipt.by);
                }
            }
            Err(error) => seen.failed.push(format!("{customer}: {error}")),
        }
    }
}

/// So many customers buy from now on.
fn customers(
    count: usize,
    orders: &Service,
    idempotent: bool,
) -> (Rc<RefCell<Seen>>, Vec<actix_rt::task::JoinHandle<()>>) {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let customer = |number| {
        let name = format!("customer-{number}");
        actix::spawn(buy(name, orders.clone(), Rc::clone(&seen), idempotent))
    };
    let tasks = (0..count).map(customer).collect();
    (seen, tasks)
}

async fn more(what: &str, seen: &Rc<RefCell<Seen>>, purchases: u64) {
    let target = seen.borrow().bought + purchases;
    scale::reaches(what, target, || seen.borrow().bought).await;
}

fn attentive() -> Socket {
    let socket = Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .heartbeat_timeout(Duration::from_millis(1500));
    socket.start().expect("a system runs")
}

#[actix::test]
async fn keys_stay_where_they_are_when_one_instance_is_killed_and_another_is_cut_off() {
    let (_warehouse, endpoints) = warehouse().await;
    let socket = attentive();
    let service = socket.service("orders");
    let mut places = Vec::new();
    for instance in 0..3 {
        places.push(orders(instance, "0", &endpoints).await);
    }
    let address = places[1].endpoint.strip_prefix("tcp://").expect("TCP");
    let proxy = FaultProxy::start(address.parse().expect("an address"));
    for endpoint in [
        places[0].endpoint.clone(),
        format!("tcp://{}", proxy.address()),
        places[2].endpoint.clone(),
    ] {
        socket.connect(&endpoint[..]).await.unwrap();
    }
    within_patience("all to be known", service.wait_for(3))
        .await
        .unwrap();

    let share = scale::of(100_000) / 4;
    let (seen, tasks) = customers(30, &service, true);
    more("the beginning", &seen, share).await;
    places[0].process.kill();
    more("after the kill", &seen, share).await;
    proxy.inflict(Fault::HalfOpen);
    more("after the cut", &seen, share).await;
    eventually("the cut to be seen", || service.instances().len() == 1).await;
    more("the end", &seen, share).await;
    seen.borrow_mut().gone_home = true;
    for task in tasks {
        within_patience("the last purchase", task).await.unwrap();
    }
    let seen = seen.borrow();
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert_eq!(seen.ways.len(), 30);
    let mut held = [0; 3];
    for (customer, way) in &seen.ways {
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        match way[..] {
            ["orders-2"] => held[2] += 1,
            ["orders-1", "orders-2"] => held[1] += 1,
            ["orders-0", "orders-2"] | ["orders-0", "orders-1", "orders-2"] => held[0] += 1,
            _ => panic!("{customer} came to {way:?}"),
        }
    }
    assert!(held.iter().all(|held| *held > 0), "{held:?}");
    println!(
        "{} purchases, none failed; keys of each: {held:?}",
        seen.bought
    );
}

#[actix::test]
async fn an_instance_that_is_stopped_costs_one_timeout_and_is_back_when_it_goes_on() {
    let (_warehouse, endpoints) = warehouse().await;
    let (stopped, other) = (
        orders(0, "0", &endpoints).await,
        orders(1, "0", &endpoints).await,
    );
    let socket = Socket::start().unwrap();
    let service = socket.service("orders");
    for place in [&stopped, &other] {
        socket.connect(&place.endpoint[..]).await.unwrap();
    }
    within_patience("both to be known", service.wait_for(2))
        .await
        .unwrap();
    let purchase = |number: usize| Purchase {
        customer: format!("customer-{number}"),
        item: "tea".to_owned(),
        count: 1,
    };
    const TIMEOUT: Duration = Duration::from_secs(1);
    stopped.process.signal("STOP");
    let purchases: Vec<_> = (0..20).map(purchase).collect();
    let asks = purchases
        .iter()
        .map(|purchase| service.ask(purchase).timeout(TIMEOUT));
    let ends = join_all(asks).await;
    let late = ends
        .iter()
        .filter(|end| matches!(end, Err(AskError::Timeout)))
        .count();
    assert!((1..20).contains(&late), "{ends:?}");
    let left_out = |instance: &str| {
        let known = service.instances();
        known
            .iter()
            .any(|known| known.name == instance && known.status == InstanceStatus::LeftOut)
    };
    assert!(left_out("orders-0"));
    // From now on nobody waits for it.
    for purchase in &purchases {
        let receipt = service.ask(purchase).timeout(support::PATIENCE).await;
        assert_eq!(receipt.unwrap().by, "orders-1");
    }
    assert!(left_out("orders-0"));
    stopped.process.signal("CONT");
    let went_on = Instant::now();
    within_patience("its return", service.wait_for(2))
        .await
        .unwrap();
    println!("back {:?} after it went on", went_on.elapsed());
}
#[actix::test]
async fn six_restarts_under_load_fail_nothing_and_repeat_nothing() {
    let (_warehouse, endpoints) = warehouse().await;
    // However long a process takes to start, it is dialled again soon.
    let redial = Backoff::fixed(Duration::from_millis(20));
    let socket = Socket::builder().reconnect(redial).start().unwrap();
    let service = socket.service("orders");
    let mut places = Vec::new();
    for instance in 0..3 {
        let place = orders(instance, "0", &endpoints).await;
        socket.connect(&place.endpoint[..]).await.unwrap();
        places.push(place);
    }
    within_patience("all to be known", service.wait_for(3))
        .await
        .unwrap();
    let share = scale::of(100_000) / 7;
    let (seen, tasks) = customers(30, &service, false);
    for round in 0..6 {
        more("before a restart", &seen, share).await;
        let place = &mut places[round % 3];
        place.process.signal("TERM");
        assert!(place.process.exit().await.success());
        let port = place
            .endpoint
            .rsplit(':')
            .next()
            .expect("a port")
            .to_owned();
        *place = orders(round % 3, &port, &endpoints).await;
        within_patience("its return", service.wait_for(3))
            .await
            .unwrap();
    }
    more("the end", &seen, share).await;
    seen.borrow_mut().gone_home = true;
    for task in tasks {
        within_patience("the last purchase", task).await.unwrap();
    }
    let seen = seen.borrow();
    // Each receipt says what its customer has paid by then: what was handled twice, or out of turn, does not add up.
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    println!("{} purchases, none failed and none made twice", seen.bought);
}
