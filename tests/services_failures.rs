//! Services whose instances go, hang, restart or lie: what becomes of asks, and of keys.
#![cfg(feature = "json")]

mod support;

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::service::{
    InstanceDownReason, InstanceStatus, InstanceUpReason, Service, ServiceEvent, ServiceEvents,
};
use futures_util::future::join_all;
use support::raw_peer::{DATA, HEARTBEAT, RawPeer, frame};
use support::shop::{By, Opening, Shop, customer, order};
use support::{aside, eventually, within_patience};

fn by(instance: &str) -> By {
    By(instance.to_owned())
}

/// An OFFER of the service "inventory" by this instance.
fn offer(start: u8, generation: u8, instance: &str) -> Vec<u8> {
    let length = u8::try_from(instance.len()).unwrap();
    let mut body = vec![1];
    body.extend_from_slice(&[start; 8]);
    body.extend_from_slice(&[0, 0, 0, generation, 0, 1, 9]);
    body.extend_from_slice(b"inventory");
    body.push(length);
    body.extend_from_slice(instance.as_bytes());
    body.push(0);
    frame(0xC0, &body)
}

/// A provider that is scripted, and what connects to it.
async fn scripted(socket: &Socket, identity: u8, instance: &str) -> RawPeer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    socket
        .connect(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    let offer = offer(identity, 1, instance);
    aside(move || {
        let mut peer = RawPeer::accept(&listener);
        peer.expect_hello();
        peer.hello([identity; 16]);
        peer.say(&offer);
        peer
    })
    .await
}

async fn event(events: &mut ServiceEvents) -> ServiceEvent {
    let event = within_patience("an event", events.next()).await;
    event.expect("the socket is open")
}

fn up(instance: &str, peer: Identity, reason: InstanceUpReason) -> (String, Identity, String) {
    (instance.to_owned(), peer, format!("{reason:?}"))
}

/// The parts of an event that comes or goes.
fn parts(event: ServiceEvent) -> (String, Identity, String) {
    match event {
        ServiceEvent::Up {
            instance,
            peer,
            reason,
            ..
        } => (instance, peer, format!("{reason:?}")),
        ServiceEvent::Down {
            instance,
            peer,
            reason,
            ..
        } => (instance, peer, format!("{reason:?}")),
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn an_ask_that_is_not_sent_when_its_instance_goes_is_asked_of_another() {
    let socket = Socket::start().unwrap();
    let peer = scripted(&socket, 7, "raw").await;
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    // More than the kernel takes while nobody reads: it is written in part.
    let large = order(&"x".repeat(16 * 1024 * 1024));
    let ask = actix::spawn(inventory.ask(&large).timeout(support::PATIENCE));
    eventually("the ask to be queued", || socket.stats().asks == 1).await;
    let peer = aside(move || {
        let mut peer = peer;
        assert!(!peer.arrived().is_empty());
        peer
    })
    .await;
    let mut shop = Shop::open("i0").await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    inventory.wait_for(2).await.unwrap();
    drop(peer);
    let answer = within_patience("the answer", ask).await.unwrap();
    assert_eq!(answer, Ok(by("i0")));
    assert_eq!(shop.asked(), 1);
}

#[actix::test]
async fn an_ask_that_was_sent_is_tried_again_only_if_it_may_be_handled_twice() {
    let (mut first, second) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first]).await;
    let inventory = socket.service("inventory");
    let wait = order("wait");
    let once = actix::spawn(inventory.ask(&wait).retry(3));
    let twice = actix::spawn(inventory.ask(&wait).retry(1).idempotent());
    let _ = (first.told().await, first.told().await);
    socket.connect(&second.endpoint[..]).await.unwrap();
    inventory.wait_for(2).await.unwrap();
    socket.disconnect(first.socket.identity()).await.unwrap();
    let once = within_patience("the end of the ask", once).await.unwrap();
    assert_eq!(once, Err(AskError::PeerGone));
    second.go_on();
    let twice = within_patience("the answer", twice).await.unwrap();
    assert_eq!(twice, Ok(by("i1")));
}

#[actix::test]
async fn an_instance_that_says_nothing_for_a_timeout_is_asked_no_more_until_it_says_anything() {
    let socket = Socket::start().unwrap();
    let inventory = socket.service("inventory");
    let mut events = inventory.events();
    let mut peer = scripted(&socket, 7, "raw").await;
    let raw = Identity::from_bytes([7; 16]);
    assert_eq!(
        parts(event(&mut events).await),
        up("raw", raw, InstanceUpReason::Offered)
    );
    let hung = inventory.ask(&order("apples"));
    let hung = hung.timeout(Duration::from_millis(50)).await;
    assert_eq!(hung, Err(AskError::Timeout));
    let down = parts(event(&mut events).await);
    let silent = format!("{:?}", InstanceDownReason::Silent);
    assert_eq!(down, ("raw".to_owned(), raw, silent));
    let shop = Shop::open("i0").await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    inventory.wait_for(1).await.unwrap();
    let apples = order("apples");
    let asks = (0..20).map(|_| inventory.ask(&apples));
    for answer in join_all(asks).await {
        assert_eq!(answer, Ok(by("i0")));
    }
    // Any frame is enough.
    let _ = event(&mut events).await;
    let _peer = aside(move || {
        peer.frame(HEARTBEAT, b"");
        peer
    })
    .await;
    assert_eq!(
        parts(event(&mut events).await),
        up("raw", raw, InstanceUpReason::Heard)
    );
}

#[actix::test]
async fn whoever_waits_for_no_time_blames_nobody() {
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    let apples = order("apples");
    for timeout in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_micros(1),
    ] {
        let hasty = inventory.ask(&apples).timeout(timeout).await;
        assert!(matches!(hasty, Err(AskError::Timeout) | Ok(_)), "{hasty:?}");
        assert_eq!(inventory.instances()[0].status, InstanceStatus::Ready);
    }
    assert_eq!(inventory.ask(&apples).fail_fast().await, Ok(by("i0")));
}

#[actix::test]
async fn a_peer_that_says_nothing_for_a_timeout_is_asked_no_other_of_its_services_either() {
    let socket = Socket::start().unwrap();
    let (inventory, orders) = (socket.service("inventory"), socket.service("orders"));
    let mut peer = scripted(&socket, 7, "raw").await;
    let mut both = vec![1];
    both.extend_from_slice(&[7; 8]);
    both.extend_from_slice(b"\0\0\0\x02\0\x02\x09inventory\x03raw\0\x06orders\x03raw\0");
    let _peer = aside(move || {
        peer.say(&frame(0xC0, &both));
        peer
    })
    .await;
    orders.wait_for(1).await.unwrap();
    let hung = inventory.ask(&order("apples"));
    let hung = hung.timeout(Duration::from_millis(50)).await;
    assert_eq!(hung, Err(AskError::Timeout));
    let nobody = orders.ask(&order("apples")).fail_fast().await;
    assert_eq!(nobody, Err(AskError::NoService));
}

#[actix::test]
async fn an_instance_that_is_left_out_is_called_and_comes_back_when_it_answers() {
    let socket = Socket::start().unwrap();
    let inventory = socket.service("inventory");
    let mut peer = scripted(&socket, 7, "raw").await;
    inventory.wait_for(1).await.unwrap();
    let hung = inventory.ask(&order("apples"));
    let hung = hung.timeout(Duration::from_millis(50)).await;
    assert_eq!(hung, Err(AskError::Timeout));
    assert_eq!(inventory.instances()[0].status, InstanceStatus::LeftOut);
    // The ask, its cancellation, and a call: an ask of no service at all.
    let call = aside(move || {
        for _ in 0..2 {
            assert_eq!(peer.next().kind, DATA);
        }
        let call = peer.next().body;
        let mut refusal = call.clone();
        refusal.truncate(26);
        refusal[4] = 7;
        refusal[22..26].fill(0);
        refusal.extend_from_slice(&[6, 0, 0, 0, 0]);
        peer.data(&refusal);
        (peer, call)
    });
    let (_peer, call) = within_patience("the call", call).await;
    assert_eq!(
        (&call[..5], &call[26..]),
        (&b"\xa1ASK\x05"[..], &[0, 0][..])
    );
    inventory.wait_for(1).await.unwrap();
    assert_eq!(socket.stats().late_answers, 0);
}

/// Which instance holds each of a hundred keys.
async fn holders(inventory: &Service) -> HashMap<u32, By> {
    let apples = order("apples");
    let mut holders = HashMap::new();
    for key in 0..100_u32 {
        let ask = inventory.keyed(key.to_string()).ask(&apples);
        holders.insert(key, ask.await.unwrap());
    }
    holders
}

#[actix::test]
async fn the_keys_of_an_instance_that_is_gone_move_and_no_others_do() {
    let shops = [
        Shop::open("i0").await,
        Shop::open("i1").await,
        Shop::open("i2").await,
    ];
    let socket = customer(&[&shops[0], &shops[1], &shops[2]]).await;
    let inventory = socket.service("inventory");
    let before = holders(&inventory).await;
    for instance in ["i0", "i1", "i2"] {
        let held = before.values().filter(|by| by.0 == instance).count();
        assert!((15..=55).contains(&held), "{instance} holds {held}");
    }
    let other = customer(&[&shops[2], &shops[0], &shops[1]]).await;
    assert_eq!(holders(&other.service("inventory")).await, before);
    let gone = Instant::now();
    shops[0].socket.close().await;
    eventually("its end to be seen", || inventory.instances().len() == 2).await;
    let after = holders(&inventory).await;
    assert!(
        gone.elapsed() >= Duration::from_millis(900),
        "it has time to come back"
    );
    for (key, by) in &before {
        match by.0 == "i0" {
            true => assert_ne!(after[key], *by),
            false => assert_eq!(after[key], *by),
        }
    }
    // It comes back under its name, as another process does, and has its keys again.
    let back = Shop::open("i0").await;
    socket.connect(&back.endpoint[..]).await.unwrap();
    inventory.wait_for(3).await.unwrap();
    assert_eq!(holders(&inventory).await, before);
}

#[actix::test]
async fn a_key_of_an_instance_that_is_busy_waits_for_it_and_goes_nowhere_else() {
    let bounded = |instance: &str| Opening {
        max_queued: Some(1),
        options: SubscribeOptions::default().max_in_flight(1),
        ..Opening::new(instance)
    };
    let mut shops = [
        Shop::with(bounded("i0")).await,
        Shop::with(bounded("i1")).await,
    ];
    let socket = customer(&[&shops[0], &shops[1]]).await;
    let inventory = socket.service("inventory");
    let key = inventory.keyed("a customer");
    let holder = key.ask(&order("apples")).await.unwrap();
    let wait = order("wait");
    let first = actix::spawn(key.ask(&wait));
    let holds = |shop: &&mut Shop| shop.socket.offers()[0].instance == holder.0;
    let shop = shops.iter_mut().find(holds).unwrap();
    let _ = (shop.told().await, shop.told().await);
    let second = actix::spawn(key.ask(&wait));
    eventually("the queue to be full", || {
        shop.socket.offers()[0].waiting == 1
    })
    .await;
    assert_eq!(key.ask(&order("apples")).await, Err(AskError::Busy));
    for ask in [first, second] {
        shop.go_on();
        assert_eq!(ask.await.unwrap(), Ok(holder.clone()));
    }
    let later = key.ask(&order("apples")).retry(20);
    assert_eq!(later.await, Ok(holder));
}

#[actix::test]
async fn a_second_holder_of_a_name_is_left_out_until_the_name_is_free() {
    let first = Shop::open("i0").await;
    let socket = customer(&[&first]).await;
    let inventory = socket.service("inventory");
    let mut events = inventory.events();
    let second = Shop::open("i0").await;
    socket.connect(&second.endpoint[..]).await.unwrap();
    let down = parts(event(&mut events).await);
    let reason = format!("{:?}", InstanceDownReason::SecondHolder);
    assert_eq!(down, ("i0".to_owned(), second.socket.identity(), reason));
    first.withdraw();
    let gone = parts(event(&mut events).await);
    let reason = format!("{:?}", InstanceDownReason::Withdrawn);
    assert_eq!(gone, ("i0".to_owned(), first.socket.identity(), reason));
    assert_eq!(
        parts(event(&mut events).await),
        up("i0", second.socket.identity(), InstanceUpReason::NameFree)
    );
    assert_eq!(inventory.ask(&order("apples")).await, Ok(by("i0")));
}

#[actix::test]
async fn a_peer_that_floods_offers_or_offers_too_much_is_counted_and_others_are_asked() {
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let mut peer = scripted(&socket, 7, "raw").await;
    inventory.wait_for(2).await.unwrap();
    let peer = aside(move || {
        for generation in 0..200 {
            peer.say(&offer(9, generation, &format!("raw{generation}")));
        }
        // Three hundred services in one generation, in parts.
        let mut body = vec![1];
        body.extend_from_slice(&[9; 8]);
        body.extend_from_slice(&[0, 0, 1, 0, 1, 150]);
        for service in 0..150 {
            let name = format!("name-{service:03}");
            body.push(8);
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0, 0]);
        }
        peer.say(&frame(0xC0, &body));
        for byte in body.iter_mut().filter(|byte| **byte == b'n') {
            *byte = b'x';
        }
        peer.say(&frame(0xC0, &body));
        peer
    })
    .await;
    eventually("the misfit to be counted", || socket.stats().malformed >= 1).await;
    for _ in 0..20 {
        let ask = inventory.ask(&order("apples")).retry(1).idempotent();
        let ask = ask.timeout(Duration::from_secs(2));
        assert_eq!(ask.await, Ok(by("i0")));
    }
    drop(peer);
}

/// An OFFER of 15 services with long names, which is not the last of its generation.
fn long_offer(start: u8, part: u8, flags: u8) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&[start; 8]);
    body.extend_from_slice(&[0, 0, 0, 1, flags, 15]);
    for service in 0..15 {
        body.push(255);
        body.extend_from_slice(&[b'a' + service; 254]);
        body.push(b'a' + part);
        body.extend_from_slice(&[0, 0]);
    }
    frame(0xC0, &body)
}

#[actix::test]
async fn what_peers_offer_takes_an_eighth_of_the_budget_at_most_and_is_freed_with_them() {
    let socket = Socket::builder().memory_budget(1 << 20).start().unwrap();
    let mut peers = Vec::new();
    for identity in 0..5 {
        let mut peer = scripted(&socket, 10 + identity, "raw").await;
        let peer = aside(move || {
            for part in 0..10 {
                peer.say(&long_offer(100 + identity, part, 1));
            }
            peer
        });
        peers.push(peer.await);
    }
    eventually("an offer above the bound", || socket.stats().malformed > 0).await;
    let taken = socket.stats().catalog_bytes;
    assert!((64 << 10..=128 << 10).contains(&taken), "{taken}");
    drop(peers);
    eventually("all to be gone", || socket.stats().catalog_bytes == 0).await;
}

#[actix::test]
async fn a_peer_that_drains_without_end_and_reads_nothing_makes_no_queue_grow() {
    let socket = Socket::start().unwrap();
    let mut peer = scripted(&socket, 7, "raw").await;
    let peer = aside(move || {
        for generation in 2..=u8::MAX {
            let mut offer = offer(7, generation, "raw");
            // Version, start and generation come before the flags.
            offer[4 + 1 + 1 + 8 + 4] = 2;
            peer.say(&offer);
        }
        peer
    })
    .await;
    const TOO_MANY: u64 = 254 - 64;
    eventually("the drains to be read", || {
        socket.stats().malformed >= TOO_MANY
    })
    .await;
    let stats = socket.stats();
    assert_eq!(stats.malformed, TOO_MANY);
    assert!(stats.queued_messages <= 64, "{stats:?}");
    drop(peer);
}
