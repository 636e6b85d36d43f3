//! A service that is asked more than it can answer.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use futures_util::future::join_all;
use support::shop::{Opening, Shop, customer, order};
use support::{eventually, within_patience};

/// The ends of asks.
#[derive(Debug, Default)]
struct Ends {
    answered: usize,
    busy: usize,
    late: usize,
}

#[actix::test]
async fn a_provider_that_is_asked_twice_what_it_can_do_refuses_at_once_and_handles_what_it_accepts()
{
    let opening = Opening {
        options: SubscribeOptions::default().max_in_flight(1),
        ..Opening::new("i0")
    };
    let mut shop = Shop::with(opening).await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    // Each takes 20 ms, and twenty ask again as soon as they have an end: that is more than fits into their time.
    let slow = order("slow");
    let patience = Duration::from_millis(200);
    let ask_on = || async {
        let mut ends = Ends::default();
        for _ in 0..40 {
            match inventory.ask(&slow).timeout(patience).await {
                Ok(_) => ends.answered += 1,
                Err(AskError::Busy) => {
                    ends.busy += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(AskError::Timeout) => ends.late += 1,
                Err(other) => panic!("{other}"),
            }
        }
        ends
    };
    let mut ends = Ends::default();
    let all = join_all((0..20).map(|_| ask_on()));
    for each in within_patience("the end of the load", all).await {
        ends.answered += each.answered;
        ends.busy += each.busy;
        ends.late += each.late;
    }
    let handled = shop.asked();
    println!("{ends:?}, {handled} handled");
    assert_eq!(ends.answered + ends.busy + ends.late, 800);
    assert!(ends.busy > 100, "{ends:?}");
    // How much of it is late depends on the machine; `services_overload` looks at that on a stopped clock.
    assert!(handled <= ends.answered + ends.late);
    eventually("the queue to be empty", || {
        shop.socket.offers()[0].waiting == 0
    })
    .await;
}

#[actix::test]
async fn a_refusal_comes_though_the_ordinary_inbox_is_full() {
    let socket = Socket::builder().inbox_capacity(4, 1024).start().unwrap();
    let opening = Opening {
        options: SubscribeOptions::default().max_in_flight(1),
        max_queued: Some(1),
        ..Opening::new("i0")
    };
    let mut shop = Shop::on(socket, opening).await;
    let customer = customer(&[&shop]).await;
    // Nobody receives these.
    let _inbox = shop.socket.messages();
    for number in 0..64 {
        let message = format!("{number} {}", "x".repeat(200));
        customer.send(message).await.unwrap();
    }
    eventually("the inbox to be full", || {
        shop.socket.stats().inbox_messages >= 4
    })
    .await;
    let inventory = customer.service("inventory");
    let wait = order("wait");
    let first = actix::spawn(inventory.ask(&wait));
    assert_eq!(shop.told().await, "wait");
    let second = actix::spawn(inventory.ask(&wait));
    eventually("the queue to be full", || {
        shop.socket.offers()[0].waiting == 1
    })
    .await;
    let busy = within_patience("the refusal", inventory.ask(&order("apples"))).await;
    assert_eq!(busy, Err(AskError::Busy));
    for ask in [first, second] {
        shop.go_on();
        assert!(ask.await.unwrap().is_ok());
    }
}

#[actix::test]
async fn a_service_whose_bytes_are_used_up_refuses_at_once_and_takes_more_when_they_are_free() {
    let opening = Opening {
        options: SubscribeOptions::default().max_in_flight(1),
        max_queued_bytes: Some(100),
        ..Opening::new("i0")
    };
    let mut shop = Shop::with(opening).await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let wait = order("wait");
    let first = actix::spawn(inventory.ask(&wait));
    assert_eq!(shop.told().await, "wait");
    // An empty queue takes one of any size.
    let second = actix::spawn(inventory.ask(&order(&"x".repeat(10_000))));
    eventually("the queue to be full", || {
        shop.socket.offers()[0].waiting == 1
    })
    .await;
    let [offer] = &shop.socket.offers()[..] else {
        panic!("it offers one service");
    };
    assert!((10_000..10_100).contains(&offer.waiting_bytes), "{offer:?}");
    let busy = within_patience("the refusal", inventory.ask(&order("apples"))).await;
    assert_eq!(busy, Err(AskError::Busy));
    shop.go_on();
    for ask in [first, second] {
        assert!(within_patience("an answer", ask).await.unwrap().is_ok());
    }
    let offers = shop.socket.offers();
    assert_eq!((offers[0].waiting, offers[0].waiting_bytes), (0, 0));
    let apples = inventory.ask(&order("apples")).retry(1);
    assert!(within_patience("an answer", apples).await.is_ok());
}

#[actix::test]
async fn a_service_is_asked_past_messages_that_nobody_has_subscribed_to() {
    let socket = Socket::builder().inbox_capacity(4, 1024).start().unwrap();
    let shop = Shop::on(socket, Opening::new("i0")).await;
    let customer = customer(&[&shop]).await;
    // More than is read ahead.
    let stray = vec![b'x'; 8 << 10];
    let sending = async {
        for _ in 0..100 {
            customer.send(stray.clone()).await.unwrap();
        }
    };
    within_patience("what nobody receives", sending).await;
    let ask = customer.service("inventory").ask(&order("apples"));
    let answer = within_patience("the answer", ask.timeout(Duration::from_secs(60))).await;
    assert!(answer.is_ok(), "{answer:?}");
    let stats = shop.socket.stats();
    assert!(stats.losses.unclaimed > 0, "{stats:?}");
}
