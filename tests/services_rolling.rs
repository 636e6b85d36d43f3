//! Providers that are replaced while they are in use: nothing fails, and nothing is handled twice.
#![cfg(feature = "json")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_aiomsg::service::Service;
use futures_util::future::join_all;
use support::raw_peer::RawPeer;
use support::shop::{By, Shop, customer, order};
use support::{aside, eventually, within_patience};

/// Asks again and again until it is told to stop. Yields how often it was answered.
async fn ask_on(inventory: Service, stop: Rc<Cell<bool>>, answered: Rc<Cell<usize>>) -> usize {
    let slow = order("slow");
    let mut asked = 0;
    while !stop.get() {
        let answer = inventory.ask(&slow).timeout(support::PATIENCE).await;
        assert!(answer.is_ok(), "{answer:?} after {asked}");
        asked += 1;
        answered.set(answered.get() + 1);
    }
    asked
}

#[actix::test]
async fn providers_that_are_drained_and_replaced_under_load_cost_no_ask_and_repeat_none() {
    let mut shops = vec![Shop::open("i0").await, Shop::open("i1").await];
    let socket = customer(&[&shops[0], &shops[1]]).await;
    let inventory = socket.service("inventory");
    let (stop, answered) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let load: Vec<_> = (0..16)
        .map(|_| ask_on(inventory.clone(), Rc::clone(&stop), Rc::clone(&answered)))
        .map(actix::spawn)
        .collect();
    let mut handled = 0;
    for round in 0..6 {
        let before = answered.get();
        eventually("some answers", || answered.get() > before + 50).await;
        let mut old = shops.remove(0);
        within_patience("the drain", old.socket.drain(support::PATIENCE))
            .await
            .unwrap();
        old.socket.close().await;
        handled += old.asked();
        let new = Shop::open(&format!("i{}", round + 2)).await;
        socket.connect(&new.endpoint[..]).await.unwrap();
        shops.push(new);
    }
    stop.set(true);
    let asked: usize = join_all(load).await.into_iter().map(Result::unwrap).sum();
    handled += shops.iter_mut().map(Shop::asked).sum::<usize>();
    assert_eq!(handled, asked);
    assert!(asked > 300, "{asked}");
}

#[actix::test]
async fn a_provider_that_drains_says_so_handles_what_it_has_and_its_keys_move_at_once() {
    let mut first = Shop::open("i0").await;
    let second = Shop::open("i1").await;
    let socket = customer(&[&first]).await;
    let inventory = socket.service("inventory");
    let key = inventory.keyed("a customer");
    let held = actix::spawn(key.ask(&order("wait")));
    assert_eq!(first.told().await, "wait");
    socket.connect(&second.endpoint[..]).await.unwrap();
    inventory.wait_for(2).await.unwrap();
    let draining = actix::spawn({
        let socket = first.socket.clone();
        async move { socket.drain(support::PATIENCE).await }
    });
    eventually("the drain to be known", || {
        let instances = inventory.instances();
        let draining = actix_aiomsg::service::InstanceStatus::Draining;
        instances.iter().any(|instance| instance.status == draining)
    })
    .await;
    let moved = key.ask(&order("apples")).await;
    assert_eq!(moved, Ok(By("i1".to_owned())));
    assert!(!draining.is_finished(), "a handler is not through");
    first.go_on();
    assert_eq!(held.await.unwrap(), Ok(By("i0".to_owned())));
    draining.await.unwrap().unwrap();
}

#[actix::test]
async fn a_peer_that_does_not_know_what_draining_is_keeps_nobody_from_ending() {
    let shop = Shop::open("i0").await;
    let address = shop.endpoint.strip_prefix("tcp://").unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    let peer = aside(move || RawPeer::introduced(address, [7; 16])).await;
    shop.socket.wait_for_peers(1).await.unwrap();
    let drain = shop.socket.drain(support::PATIENCE);
    let drained = tokio::time::timeout(Duration::from_secs(10), drain).await;
    drained.expect("it is not waited for").unwrap();
    drop(peer);
}

#[actix::test]
async fn a_consumer_that_hangs_takes_no_more_than_half_of_the_time_of_a_drain() {
    let shop = Shop::open("i0").await;
    let endpoint = shop.endpoint.clone();
    let (asked, has_asked) = tokio::sync::oneshot::channel();
    let (go_on, told_to_go_on) = std::sync::mpsc::channel::<()>();
    let consumer = std::thread::spawn(move || {
        actix::System::new().block_on(async {
            let socket = customer(&[]).await;
            socket.connect(&endpoint[..]).await.unwrap();
            let inventory = socket.service("inventory");
            inventory.wait_for(1).await.unwrap();
            inventory.ask(&order("apples")).await.unwrap();
            asked.send(()).unwrap();
            // It blocks its thread.
            let _ = told_to_go_on.recv_timeout(support::PATIENCE);
        });
    });
    within_patience("an ask", has_asked).await.unwrap();
    let limit = Duration::from_secs(16);
    let drained = tokio::time::timeout(limit * 3 / 4, shop.socket.drain(limit)).await;
    drained.expect("half of its time").unwrap();
    go_on.send(()).unwrap();
    consumer.join().unwrap();
}
