//! Tells to a service: which instance handles them, and what becomes of those that one does not.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix_aiomsg::AckPolicy;
use actix_aiomsg::error::{DeliveryError, ReceiptError, SendError};
use actix_aiomsg::prelude::*;
use actix_aiomsg::service::{Service, ServiceTelling};
use support::shop::{By, Opening, Shop, Sold, customer, order, sold};
use support::{eventually, within_patience};

/// The number and the origin of a tell.
fn parts(told: &str) -> (u64, String) {
    let (number, origin) = told.split_once(' ').expect("a number and an origin");
    (number.parse().expect("a number"), origin.to_owned())
}

fn waits(number: u64) -> Sold {
    Sold {
        number,
        waits: true,
    }
}

fn bounded(instance: &str, max_queued: usize) -> Opening {
    Opening {
        max_queued: Some(max_queued),
        ..Opening::new(instance)
    }
}

fn reliably(service: &Service, sold: &Sold) -> ServiceTelling {
    service.tell(sold).guarantee(DeliveryGuarantee::AtLeastOnce)
}

#[actix::test]
async fn a_tell_is_acknowledged_when_an_instance_has_handled_it() {
    let mut shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    inventory.tell(&sold(1)).await.unwrap();
    assert_eq!(parts(&shop.told().await), (1, String::new()));
    let acknowledged = actix::spawn(inventory.tell(&waits(2)).acknowledged());
    let (number, origin) = parts(&shop.told().await);
    assert_eq!(number, 2);
    assert!(origin.starts_with(&socket.identity().to_string()));
    assert!(!acknowledged.is_finished());
    shop.go_on();
    let done = within_patience("the acknowledgement", acknowledged).await;
    assert_eq!(done.unwrap(), Ok(()));
}

#[actix::test]
async fn tells_for_one_key_are_handled_in_order_by_the_instance_that_holds_it() {
    let (mut first, mut second) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first, &second]).await;
    let key = socket.service("inventory").keyed("a customer");
    for number in 0..200 {
        let sold = sold(number);
        let telling = key.tell(&sold).guarantee(DeliveryGuarantee::AtLeastOnce);
        telling.await.unwrap();
    }
    let mut told = Vec::new();
    while told.len() < 200 {
        let next = tokio::select! {
            next = first.told() => (0, parts(&next).0),
            next = second.told() => (1, parts(&next).0),
        };
        told.push(next);
    }
    assert!(told.iter().all(|(shop, _)| *shop == told[0].0));
    assert!(told.iter().map(|(_, number)| *number).eq(0..200));
}

#[actix::test]
async fn a_tell_that_there_is_no_room_for_is_handled_by_another_instance() {
    let mut full = Shop::with(bounded("i0", 1)).await;
    let socket = customer(&[&full]).await;
    let inventory = socket.service("inventory");
    reliably(&inventory, &waits(0)).await.unwrap();
    assert_eq!(parts(&full.told().await).0, 0);
    reliably(&inventory, &sold(1)).await.unwrap();
    eventually("the queue to be full", || {
        full.socket.offers()[0].waiting == 1
    })
    .await;
    let turned_down = actix::spawn(inventory.tell(&sold(2)).acknowledged());
    eventually("the refusal", || full.socket.offers()[0].refused >= 1).await;
    let mut other = Shop::open("i1").await;
    socket.connect(&other.endpoint[..]).await.unwrap();
    assert_eq!(parts(&other.told().await).0, 2);
    let done = within_patience("the acknowledgement", turned_down).await;
    assert_eq!(done.unwrap(), Ok(()));
    full.go_on();
    assert_eq!(parts(&full.told().await).0, 1);
    assert_eq!(full.asked(), 0);
}

#[actix::test]
async fn a_tell_waits_at_no_instance_whose_link_is_full_while_another_has_room() {
    const ROOM: u64 = 8;
    const TELLS: u64 = 200;
    let mut hung = Shop::open("i0").await;
    let socket = Socket::builder().unacknowledged_capacity(ROOM as usize, 1 << 20);
    let socket = socket.start().unwrap();
    socket.connect(&hung.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    reliably(&inventory, &waits(0)).await.unwrap();
    assert_eq!(parts(&hung.told().await).0, 0);
    for number in 1..ROOM {
        reliably(&inventory, &sold(number)).await.unwrap();
    }
    let refused = reliably(&inventory, &sold(ROOM))
        .fail_fast()
        .await
        .unwrap_err();
    assert!(matches!(refused, SendError::Full(_)), "{refused}");

    let (first, tell) = (sold(ROOM), inventory.clone());
    let waiting = actix::spawn(async move { reliably(&tell, &first).await });
    let mut other = Shop::open("i1").await;
    socket.connect(&other.endpoint[..]).await.unwrap();
    let waited = within_patience("the one that stood in line", waiting).await;
    waited.unwrap().unwrap();
    for number in ROOM + 1..=TELLS {
        let tell = reliably(&inventory, &sold(number));
        within_patience("a tell to be queued", tell).await.unwrap();
    }
    for number in ROOM..=TELLS {
        assert_eq!(parts(&other.told().await).0, number);
    }
}

#[actix::test]
async fn a_tell_that_the_only_instance_turns_down_comes_again_when_there_is_room() {
    let mut full = Shop::with(bounded("i0", 1)).await;
    let socket = customer(&[&full]).await;
    let inventory = socket.service("inventory");
    inventory.tell(&waits(0)).await.unwrap();
    assert_eq!(parts(&full.told().await).0, 0);
    inventory.tell(&sold(1)).await.unwrap();
    eventually("the queue to be full", || {
        full.socket.offers()[0].waiting == 1
    })
    .await;
    let turned_down = actix::spawn(inventory.tell(&sold(2)).acknowledged());
    eventually("the refusal", || full.socket.offers()[0].refused >= 1).await;
    full.go_on();
    let done = within_patience("the acknowledgement", turned_down).await;
    assert_eq!(done.unwrap(), Ok(()));
    assert_eq!(parts(&full.told().await).0, 1);
    assert_eq!(parts(&full.told().await).0, 2);
    assert_eq!(full.asked(), 0, "each is handled once");
}

#[actix::test]
async fn tells_of_an_instance_that_ends_are_handled_by_another_in_order_and_none_is_lost() {
    let mut first = Shop::open("i0").await;
    let socket = customer(&[&first]).await;
    let inventory = socket.service("inventory");
    let mut receipts = Vec::new();
    for number in 0..100 {
        let message = if number == 10 {
            waits(number)
        } else {
            sold(number)
        };
        receipts.push(inventory.tell(&message).receipt().await.unwrap());
    }
    let mut origins = Vec::new();
    for _ in 0..=10 {
        origins.push(parts(&first.told().await));
    }
    // It ends within the eleventh.
    let mut second = Shop::open("i1").await;
    socket.connect(&second.endpoint[..]).await.unwrap();
    inventory.wait_for(2).await.unwrap();
    first.socket.close().await;
    let mut handled = Vec::new();
    while handled.len() < 90 {
        let told = parts(&second.told().await);
        if told.0 == 10 {
            second.go_on();
        }
        handled.push(told);
    }
    assert!(handled.iter().map(|(number, _)| *number).eq(10..100));
    assert_eq!(handled[0], origins[10], "it is recognised by its origin");
    for receipt in receipts {
        within_patience("a receipt", receipt).await.unwrap();
    }
}

#[actix::test]
async fn tells_go_back_to_the_same_process_if_it_is_there_again_in_time() {
    let mut first = Shop::open("i0").await;
    let mut second = Shop::open("i1").await;
    let socket = customer(&[&first]).await;
    let inventory = socket.service("inventory");
    let receipt = inventory.tell(&waits(1)).receipt().await.unwrap();
    let before = parts(&first.told().await);
    socket.connect(&second.endpoint[..]).await.unwrap();
    inventory.wait_for(2).await.unwrap();
    // It dials again at once.
    socket.disconnect(first.socket.identity()).await.unwrap();
    first.go_on();
    let again = parts(&first.told().await);
    assert_eq!(again, before);
    first.go_on();
    within_patience("the receipt", receipt).await.unwrap();
    assert_eq!(second.asked(), 0);
}

#[actix::test]
async fn a_tell_that_nobody_takes_waits_for_its_time_and_no_longer() {
    let socket = Socket::start().unwrap();
    let inventory = socket.service("inventory");
    let message = sold(1);
    let at_once = inventory.tell(&message).fail_fast().await.unwrap_err();
    assert!(matches!(at_once, SendError::NoService(_)), "{at_once}");
    let late = inventory
        .tell(&message)
        .time_to_live(Duration::from_millis(30))
        .acknowledged();
    let late = late.await.unwrap_err();
    assert!(
        matches!(late, DeliveryError::Send(SendError::NoService(_))),
        "{late}"
    );
    socket.close().await;
    let closed = inventory.tell(&message).await.unwrap_err();
    assert!(closed.is_closed());
}

#[actix::test]
async fn a_tell_waits_for_room_for_its_time_and_no_longer() {
    let mut shop = Shop::open("i0").await;
    let socket = Socket::builder().unacknowledged_capacity(1, 1 << 20);
    let socket = socket.start().unwrap();
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    let _in_hand = inventory.tell(&waits(0)).receipt().await.unwrap();
    shop.told().await;
    let late = inventory.tell(&sold(1));
    let late = late.time_to_live(Duration::from_millis(50)).acknowledged();
    let late = within_patience("its end", late).await.unwrap_err();
    let full = matches!(late, DeliveryError::Send(SendError::Full(_)));
    assert!(full, "{late}");
}

#[actix::test]
async fn a_tell_that_has_come_back_waits_for_its_time_and_no_longer() {
    let mut only = Shop::open("i0").await;
    let socket = customer(&[&only]).await;
    let inventory = socket.service("inventory");
    let told = inventory.tell(&waits(1));
    let told = told.time_to_live(Duration::from_millis(300)).acknowledged();
    let told = actix::spawn(told);
    only.told().await;
    socket.disconnect(only.socket.identity()).await.unwrap();
    only.socket.close().await;
    let late = within_patience("its end", told).await.unwrap().unwrap_err();
    let expired = matches!(late, DeliveryError::Receipt(ReceiptError::Expired));
    assert!(expired, "{late}");
    assert_eq!(socket.stats().returned_tells, 0);
}

#[actix::test]
async fn a_tell_that_has_come_back_holds_those_of_other_keys_up_no_longer_than_itself() {
    let (mut first, mut second) = (Shop::with(bounded("i0", 1)).await, Shop::open("i1").await);
    let socket = customer(&[&first, &second]).await;
    let inventory = socket.service("inventory");
    let (mut full, mut free) = (None, None);
    for number in 0.. {
        let key = inventory.keyed(format!("{number}"));
        let By(holder) = key.ask(&order("apples")).await.unwrap();
        *(if holder == "i0" { &mut full } else { &mut free }) = Some(key);
        if full.is_some() && free.is_some() {
            break;
        }
    }
    let (full, free) = (full.unwrap(), free.unwrap());
    first.asked();
    second.asked();
    for number in 0..2 {
        full.tell(&waits(number)).await.unwrap();
    }
    first.told().await;
    let turned_down = actix::spawn(full.tell(&waits(2)).acknowledged());
    eventually("the refusal", || first.socket.offers()[0].refused >= 1).await;
    within_patience("the other one", free.tell(&sold(3)).acknowledged())
        .await
        .unwrap();
    assert_eq!(parts(&second.told().await).0, 3);
    assert!(!turned_down.is_finished());
}

#[actix::test]
async fn a_tell_that_comes_back_while_the_socket_closes_is_delivered() {
    let mut full = Shop::with(bounded("i0", 1)).await;
    let socket = customer(&[&full]).await;
    let inventory = socket.service("inventory");
    inventory.tell(&waits(0)).await.unwrap();
    full.told().await;
    inventory.tell(&sold(1)).await.unwrap();
    eventually("the queue to be full", || {
        full.socket.offers()[0].waiting == 1
    })
    .await;
    let receipt = inventory.tell(&sold(2)).receipt().await.unwrap();
    eventually("the refusal", || full.socket.offers()[0].refused >= 1).await;
    let closing = actix::spawn({
        let socket = socket.clone();
        async move { socket.close_within(support::PATIENCE).await }
    });
    full.go_on();
    assert_eq!(parts(&full.told().await).0, 1);
    assert_eq!(parts(&full.told().await).0, 2);
    within_patience("the receipt", receipt).await.unwrap();
    let report = within_patience("the close", closing).await.unwrap();
    assert_eq!(report.unsent, 0, "{report:?}");
}

#[actix::test]
async fn a_name_that_nobody_can_offer_is_no_service() {
    let socket = Socket::start().unwrap();
    let telling = socket.service(&"x".repeat(256)).tell(&sold(1)).await;
    let error = telling.unwrap_err();
    assert!(matches!(error, SendError::NoService(_)), "{error}");
}

#[actix::test]
async fn a_tell_that_no_handler_of_the_service_takes_is_refused() {
    for policy in [AckPolicy::OnHandled, AckPolicy::OnReceipt] {
        let provider = Socket::builder().ack_policy(policy).start().unwrap();
        let shop = Shop::on(provider, Opening::new("i0")).await;
        let socket = customer(&[&shop]).await;
        let inventory = socket.service("inventory");
        let refused = inventory.tell(&"something else".to_owned()).acknowledged();
        let refused = within_patience("the refusal", refused).await.unwrap_err();
        let unwanted = ReceiptError::Unwanted;
        assert_eq!(refused, DeliveryError::Receipt(unwanted));
        assert_eq!(shop.socket.stats().losses.unwanted, 1);
    }
}
