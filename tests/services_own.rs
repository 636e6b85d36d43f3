//! A socket that uses a service which it offers itself: its own offer is an instance, too.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use futures_util::future::join_all;
use support::shop::{By, Opening, Shop, Sold, customer, order, sold};
use support::{eventually, within_patience};

fn by(instance: &str) -> By {
    By(instance.to_owned())
}

#[actix::test]
async fn a_socket_asks_and_tells_its_own_service_though_it_has_no_peers() {
    let mut shop = Shop::open("i0").await;
    let inventory = shop.socket.service("inventory");
    let answer = within_patience("the answer", inventory.ask(&order("apples"))).await;
    assert_eq!(answer, Ok(by("i0")));
    let instances = inventory.instances();
    assert_eq!(instances.len(), 1);
    assert_eq!(
        (&instances[0].name[..], instances[0].peer),
        ("i0", shop.socket.identity())
    );
    let refused = inventory.ask(&order("refuse")).await;
    assert_eq!(refused, Err(AskError::Remote("sold out".to_owned())));
    assert_eq!(
        inventory.keyed("key").ask(&order("apples")).await,
        Ok(by("i0"))
    );
    assert_eq!(shop.asked(), 3);
    let told = within_patience("its end", inventory.tell(&sold(7)).acknowledged()).await;
    assert_eq!(told, Ok(()));
    let origin = shop.told().await;
    assert!(
        origin.starts_with(&format!("7 {}", shop.socket.identity())),
        "{origin}"
    );
    // Large ones are not copied on their way.
    let large = order(&"x".repeat(1024 * 1024));
    assert_eq!(inventory.ask(&large).await, Ok(by("i0")));
    let stats = shop.socket.stats();
    assert_eq!(
        (stats.peers, stats.unacknowledged, stats.queued_messages),
        (0, 0, 0)
    );
    assert!(shop.socket.peers().is_empty());
}

#[actix::test]
async fn its_own_offer_gets_its_share_and_another_instance_what_there_is_no_room_for() {
    let opening = Opening {
        options: SubscribeOptions::default().max_in_flight(1),
        max_queued: Some(1),
        ..Opening::new("own")
    };
    let (mut own, mut other) = (Shop::with(opening).await, Shop::open("other").await);
    own.socket.connect(&other.endpoint[..]).await.unwrap();
    let inventory = own.socket.service("inventory");
    within_patience("both", inventory.wait_for(2))
        .await
        .unwrap();
    let slow = order("slow");
    for _ in 0..10 {
        // One after the other: whoever has less to do, or either.
        assert!(
            within_patience("an answer", inventory.ask(&slow))
                .await
                .is_ok()
        );
    }
    let (by_own, by_other) = (own.asked(), other.asked());
    assert_eq!(by_own + by_other, 10);
    let asks = (0..40).map(|_| inventory.ask(&slow).retry(3).timeout(support::PATIENCE));
    let answers = within_patience("the answers", join_all(asks)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let (by_own, by_other) = (own.asked(), other.asked());
    assert!(by_own > 0 && by_other > by_own, "{by_own} and {by_other}");
    // It is busy no longer.
    within_patience("both", inventory.wait_for(2))
        .await
        .unwrap();
    let mut replies = inventory
        .ask_all(&order("apples"), support::PATIENCE)
        .unwrap();
    let mut answered = Vec::new();
    while let Some((_, reply)) = within_patience("a reply", replies.next()).await {
        answered.push(reply.unwrap().0);
    }
    answered.sort();
    assert_eq!(answered, ["other", "own"]);
}

#[actix::test]
async fn a_tell_to_itself_that_takes_longer_than_the_resend_timeout_is_handled_once() {
    let socket = Socket::builder().resend_timeout(Duration::from_millis(20));
    let mut own = Shop::on(socket.start().unwrap(), Opening::new("own")).await;
    let inventory = own.socket.service("inventory");
    let waits = Sold {
        number: 1,
        waits: true,
    };
    let told = actix::spawn(inventory.tell(&waits).acknowledged());
    assert!(own.told().await.starts_with("1 "));
    eventually("it to be resent", || own.socket.stats().resent > 1).await;
    eventually("the repetition to be known", || {
        own.socket.stats().duplicates > 0
    })
    .await;
    own.go_on();
    assert_eq!(within_patience("its end", told).await.unwrap(), Ok(()));
    assert_eq!(own.asked(), 0);
    assert_eq!(own.socket.stats().unacknowledged, 0);
}

#[actix::test]
async fn a_tell_to_itself_is_given_up_at_the_resend_limit() {
    let socket = Socket::builder()
        .resend_timeout(Duration::from_millis(20))
        .resend_limit(2);
    let mut own = Shop::on(socket.start().unwrap(), Opening::new("own")).await;
    let inventory = own.socket.service("inventory");
    let waits = Sold {
        number: 1,
        waits: true,
    };
    let told = actix::spawn(inventory.tell(&waits).acknowledged());
    assert!(own.told().await.starts_with("1 "));
    let end = within_patience("its end", told).await.unwrap();
    assert!(end.is_err(), "{end:?}");
    assert_eq!(own.socket.stats().losses.resend_limit, 1);
    own.go_on();
}

#[actix::test]
async fn its_own_offer_is_withdrawn_and_offered_again_and_a_tell_waits_for_room_in_it() {
    let opening = Opening {
        options: SubscribeOptions::default().max_in_flight(1),
        max_queued: Some(1),
        ..Opening::new("own")
    };
    let mut own = Shop::with(opening).await;
    let inventory = own.socket.service("inventory");
    let waits = Sold {
        number: 1,
        waits: true,
    };
    let first = actix::spawn(inventory.tell(&waits).acknowledged());
    assert!(own.told().await.starts_with("1 "));
    let rest: Vec<_> = (2..5)
        .map(|number| actix::spawn(inventory.tell(&sold(number)).acknowledged()))
        .collect();
    eventually("one to be refused", || own.socket.offers()[0].refused > 0).await;
    own.go_on();
    for tell in rest.into_iter().chain([first]) {
        assert_eq!(within_patience("its end", tell).await.unwrap(), Ok(()));
    }
    let mut handled: Vec<_> = Vec::new();
    for _ in 2..5 {
        handled.push(own.told().await[..1].to_owned());
    }
    handled.sort();
    assert_eq!(handled, ["2", "3", "4"]);
    assert_eq!(own.socket.stats().returned_tells, 0);
    own.withdraw();
    eventually("it to be gone", || inventory.instances().is_empty()).await;
    let nobody = inventory.ask(&order("apples")).fail_fast().await;
    assert_eq!(nobody, Err(AskError::NoService));
}

#[actix::test]
async fn a_socket_that_drains_asks_itself_no_more_and_ends_when_it_has_handled_what_it_had() {
    let mut own = Shop::open("own").await;
    let other = Shop::open("other").await;
    own.socket.connect(&other.endpoint[..]).await.unwrap();
    let inventory = own.socket.service("inventory");
    within_patience("both", inventory.wait_for(2))
        .await
        .unwrap();
    let wait = order("wait");
    let asks: Vec<_> = (0..2).map(|_| actix::spawn(inventory.ask(&wait))).collect();
    assert_eq!(own.told().await, "wait");
    let socket = own.socket.clone();
    let drained = actix::spawn(async move { socket.drain(Duration::from_secs(20)).await });
    eventually("it to be about to end", || {
        inventory
            .instances()
            .iter()
            .any(|known| known.name == "own" && format!("{:?}", known.status) == "Draining")
    })
    .await;
    own.go_on();
    other.go_on();
    for ask in asks {
        assert!(within_patience("the answer", ask).await.unwrap().is_ok());
    }
    within_patience("the drain", drained)
        .await
        .unwrap()
        .unwrap();
}

#[actix::test]
async fn keys_that_come_from_whoever_sees_fewer_instances_are_counted_by_a_provider_that_sees_more()
{
    let (first, second) = (Shop::open("i0").await, Shop::open("i1").await);
    first.socket.connect(&second.endpoint[..]).await.unwrap();
    let own = first.socket.service("inventory");
    within_patience("both", own.wait_for(2)).await.unwrap();
    let split = || first.socket.offers()[0].split_keys;
    let (all, one) = (
        customer(&[&first, &second]).await,
        customer(&[&first]).await,
    );
    for socket in [&all, &first.socket] {
        for key in 0..40 {
            let ask = socket.service("inventory").keyed(format!("key-{key}"));
            assert!(
                within_patience("an answer", ask.ask(&order("apples")))
                    .await
                    .is_ok()
            );
        }
    }
    assert_eq!(split(), 0);
    for key in 0..40 {
        let ask = one.service("inventory").keyed(format!("key-{key}"));
        let answer = within_patience("an answer", ask.ask(&order("apples"))).await;
        assert_eq!(answer, Ok(by("i0")));
    }
    assert!((5..35).contains(&split()), "{}", split());
}
