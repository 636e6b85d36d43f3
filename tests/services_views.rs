//! Consumers that see different instances, and instances that come back under their name.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::service::{InstanceUpReason, ServiceEvent};
use support::shop::{By, Shop, customer, order};
use support::{eventually, within_patience};

/// The instance that each of so many keys comes to.
async fn places(socket: &Socket, keys: usize) -> Vec<String> {
    let inventory = socket.service("inventory");
    let mut places = Vec::new();
    for key in 0..keys {
        let ask = inventory.keyed(format!("key-{key}")).ask(&order("apples"));
        let By(instance) = within_patience("an answer", ask).await.unwrap();
        places.push(instance);
    }
    places
}

#[actix::test]
async fn consumers_with_different_views_differ_in_the_keys_of_what_one_does_not_see_and_in_no_others()
 {
    let shops = [
        Shop::open("i0").await,
        Shop::open("i1").await,
        Shop::open("i2").await,
    ];
    let all = customer(&[&shops[0], &shops[1], &shops[2]]).await;
    let two = customer(&[&shops[0], &shops[1]]).await;
    let (by_all, by_two) = (places(&all, 60).await, places(&two, 60).await);
    let mut split = 0;
    for (by_all, by_two) in by_all.iter().zip(&by_two) {
        match &by_all[..] {
            "i2" => split += 1,
            _ => assert_eq!(by_all, by_two),
        }
    }
    assert!((5..40).contains(&split), "{split}");
    // With the third in view they agree.
    two.connect(&shops[2].endpoint[..]).await.unwrap();
    within_patience("the third", two.service("inventory").wait_for(3))
        .await
        .unwrap();
    assert_eq!(places(&two, 60).await, by_all);
}

#[actix::test]
async fn an_instance_that_is_started_again_under_its_name_has_its_keys_again_and_others_keep_theirs()
 {
    let (first, other) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first, &other]).await;
    let inventory = socket.service("inventory");
    let before = places(&socket, 40).await;
    assert!(before.contains(&"i0".to_owned()) && before.contains(&"i1".to_owned()));
    let mut events = inventory.events();
    // Gone without a word, as when its process is killed.
    socket.disconnect(first.socket.identity()).await.unwrap();
    drop(first);
    eventually("it to be gone", || inventory.instances().len() == 1).await;
    let again = Shop::open("i0").await;
    socket.connect(&again.endpoint[..]).await.unwrap();
    within_patience("its return", inventory.wait_for(2))
        .await
        .unwrap();
    assert_eq!(places(&socket, 40).await, before);
    let is_up = |event: &ServiceEvent| {
        matches!(event, ServiceEvent::Up { instance, peer, reason: InstanceUpReason::Offered, .. }
            if instance == "i0" && *peer == again.socket.identity())
    };
    loop {
        let event = within_patience("an event", events.next()).await.unwrap();
        if is_up(&event) {
            break;
        }
    }
}

#[actix::test]
async fn a_key_of_an_instance_that_is_gone_waits_for_it_and_is_answered_by_whoever_comes_under_its_name()
 {
    let (first, other) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first, &other]).await;
    let inventory = socket.service("inventory").rehome(Duration::from_secs(60));
    let before = places(&socket, 40).await;
    let its = before.iter().position(|place| place == "i0").unwrap();
    let keyed = inventory.keyed(format!("key-{its}"));
    socket.disconnect(first.socket.identity()).await.unwrap();
    drop(first);
    eventually("it to be gone", || inventory.instances().len() == 1).await;
    let apples = order("apples");
    let ask = actix::spawn(keyed.ask(&apples).timeout(support::PATIENCE));
    // Others' keys do not wait.
    let others = before.iter().position(|place| place == "i1").unwrap();
    let at_once = inventory.keyed(format!("key-{others}")).ask(&apples);
    assert_eq!(
        within_patience("an answer", at_once).await,
        Ok(By("i1".to_owned()))
    );
    assert!(!ask.is_finished());
    let again = Shop::open("i0").await;
    socket.connect(&again.endpoint[..]).await.unwrap();
    let answer = within_patience("its answer", ask).await.unwrap();
    assert_eq!(answer, Ok(By("i0".to_owned())));
}

#[actix::test]
async fn with_a_short_rehome_the_keys_of_an_instance_that_is_gone_move_as_soon() {
    let (first, other) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first, &other]).await;
    let inventory = socket.service("inventory").rehome(Duration::ZERO);
    socket.disconnect(first.socket.identity()).await.unwrap();
    drop(first);
    eventually("it to be gone", || inventory.instances().len() == 1).await;
    for key in 0..40 {
        // Nobody waits for the one that is gone.
        let ask = inventory
            .keyed(format!("key-{key}"))
            .ask(&order("apples"))
            .fail_fast();
        assert_eq!(
            within_patience("an answer", ask).await,
            Ok(By("i1".to_owned()))
        );
    }
    drop(other);
}
