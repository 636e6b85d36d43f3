//! Dead letters of tells: to whom they go when they are redriven, and what never gets them.
#![cfg(all(feature = "json", feature = "outbox"))]

mod support;

use std::time::Duration;

use actix_aiomsg::event::DeadLetterReason;
use actix_aiomsg::outbox::{DeadLetterBounds, KeptLetter, LetterFilter, OutboxFile, Redriven};
use actix_aiomsg::prelude::*;
use support::actors::collect;
use support::folder::Scratch;
use support::shop::{Opening, Shop, Sold, customer, sold};
use support::{eventually, within_patience};

fn keeping() -> SocketBuilder {
    Socket::builder().dead_letter_queue(DeadLetterBounds::new())
}

/// Sockets that keep their letters in memory, and in a file.
fn both(scratch: &Scratch) -> [Socket; 2] {
    [keeping(), keeping().outbox(scratch.path())].map(|builder| builder.start().unwrap())
}

async fn letters(socket: &Socket) -> Vec<KeptLetter> {
    let all = LetterFilter::all();
    socket.dead_letter_queue().list(all, 1000).await.unwrap()
}

/// Redrives all letters: how many were sent, were delivered, and stay.
async fn redrive(socket: &Socket) -> (usize, usize, usize) {
    let redriven = socket.dead_letter_queue().redrive(LetterFilter::all());
    let redriven: Redriven = redriven.await.unwrap();
    (redriven.sent, redriven.delivered, redriven.left)
}

fn waits(number: u64) -> Sold {
    Sold {
        number,
        waits: true,
    }
}

fn with_room_for_one(service: &'static str) -> Opening {
    Opening {
        service,
        max_queued: Some(1),
        ..Opening::new("i0")
    }
}

/// The number of what a shop is told next.
async fn number(shop: &mut Shop) -> u64 {
    let told = shop.told().await;
    let (number, _) = told.split_once(' ').expect("a number and an origin");
    number.parse().expect("a number")
}

/// A tell of this number is a letter, because its instance has gone.
async fn leave_untold(socket: &Socket, number: u64) -> KeptLetter {
    let mut shop = Shop::open("i0").await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    within_patience("the shop", inventory.wait_for(1))
        .await
        .unwrap();
    let tell = inventory.tell(&waits(number));
    let tell = tell.time_to_live(Duration::from_millis(200));
    tell.guarantee(DeliveryGuarantee::AtLeastOnce)
        .await
        .unwrap();
    shop.told().await;
    socket.disconnect(shop.socket.identity()).await.unwrap();
    shop.socket.close().await;
    eventually("a letter", || socket.stats().kept_letters == 1).await;
    letters(socket).await.remove(0)
}

#[actix::test]
async fn a_tell_that_is_redriven_goes_to_an_instance_of_its_service_and_to_nobody_else() {
    let scratch = Scratch::new("service-letters");
    for socket in both(&scratch) {
        let letter = leave_untold(&socket, 7).await;
        assert_eq!(letter.reason, DeadLetterReason::Expired);
        assert_eq!((letter.peer, letter.received), (None, false));
        // It is what travels: the envelope of the service, and the message behind it.
        let sold = Codec::Json.encode(&waits(7)).unwrap();
        assert!(letter.payload.starts_with(b"\xa1ASK"), "{letter:?}");
        assert!(letter.payload.ends_with(&sold), "{letter:?}");
        let id = letter.message.expect("it was sent at least once");
        let plain = Socket::start().unwrap();
        let bare = collect(&plain);
        let mut other = Shop::with(with_room_for_one("shipping")).await;
        let endpoint = plain.bind("tcp://127.0.0.1:0").await.unwrap();
        socket.connect(endpoint).await.unwrap();
        socket.connect(&other.endpoint[..]).await.unwrap();
        socket.wait_for_peers(2).await.unwrap();

        assert_eq!(redrive(&socket).await, (1, 0, 0));
        assert_eq!(letters(&socket).await, []);
        assert_eq!(socket.stats().returned_tells, 1, "it waits for an instance");
        let mut shop = Shop::open("i1").await;
        socket.connect(&shop.endpoint[..]).await.unwrap();
        assert_eq!(
            shop.told().await,
            format!("7 {} {id}", socket.identity()),
            "it has the id that it had"
        );
        shop.go_on();
        eventually("its end", || socket.stats().returned_tells == 0).await;
        assert!(bare.is_empty());
        assert_eq!(other.asked(), 0);
        let report = socket.close().await;
        assert_eq!(report.unacknowledged, 0, "{report:?}");
    }
}

#[actix::test]
async fn a_tell_that_is_redriven_and_finds_no_instance_is_a_letter_again_when_the_socket_closes() {
    let scratch = Scratch::new("service-letters");
    let socket = keeping().outbox(scratch.path()).start().unwrap();
    let id = leave_untold(&socket, 7).await.message;
    assert_eq!(redrive(&socket).await, (1, 0, 0));
    socket.close_within(Duration::ZERO).await;
    let next = keeping().outbox(scratch.path()).start().unwrap();
    assert_eq!(next.stats().restored_messages, 0);
    let kept = letters(&next).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].reason, kept[0].message),
        (DeadLetterReason::Closed, id)
    );
    next.close().await;
}

#[actix::test]
async fn a_file_without_its_socket_leaves_tells_as_letters() {
    let scratch = Scratch::new("service-letters");
    let socket = keeping().outbox(scratch.path()).start().unwrap();
    let letter = leave_untold(&socket, 7).await;
    socket.close().await;
    let mut file = OutboxFile::open(scratch.path()).unwrap();
    let redriven = file.redrive(&LetterFilter::all()).unwrap();
    assert_eq!((redriven.sent, redriven.left), (0, 1));
    drop(file);
    let next = keeping().outbox(scratch.path()).start().unwrap();
    assert_eq!(letters(&next).await, [letter]);
    next.close().await;
}

/// A shop that has no room for its tell 2, which is a letter; tell 1 waits, and 0 is in hand.
async fn overflowing(socket: Socket) -> (Shop, Socket) {
    let mut shop = Shop::on(socket, with_room_for_one("inventory")).await;
    let client = customer(&[&shop]).await;
    let inventory = client.service("inventory");
    inventory.tell(&waits(0)).await.unwrap();
    assert_eq!(number(&mut shop).await, 0);
    inventory.tell(&sold(1)).await.unwrap();
    eventually("the queue to be full", || {
        shop.socket.offers()[0].waiting == 1
    })
    .await;
    inventory.tell(&sold(2)).await.unwrap();
    eventually("a letter", || shop.socket.stats().kept_letters == 1).await;
    (shop, client)
}

#[actix::test]
async fn a_received_tell_is_redriven_to_a_handler_of_its_service_when_that_has_room() {
    let scratch = Scratch::new("service-letters");
    for (socket, subscribes) in both(&scratch).into_iter().zip([false, true]) {
        let bare = subscribes.then(|| collect(&socket));
        let (mut shop, client) = overflowing(socket).await;
        let kept = letters(&shop.socket).await;
        assert_eq!(kept[0].reason, DeadLetterReason::Overflow);
        assert_eq!(kept[0].peer, Some(client.identity()));
        assert_eq!(redrive(&shop.socket).await, (0, 0, 1), "there is no room");
        assert_eq!(letters(&shop.socket).await, kept);
        shop.go_on();
        assert_eq!(number(&mut shop).await, 1);
        eventually("room", || shop.socket.offers()[0].waiting == 0).await;
        assert_eq!(redrive(&shop.socket).await, (0, 1, 0));
        assert_eq!(number(&mut shop).await, 2);
        eventually("its end", || shop.socket.stats().kept_letters == 0).await;
        assert!(bare.is_none_or(|bare| bare.is_empty()));
        assert_eq!(shop.asked(), 0);
        shop.socket.close().await;
    }
}

#[actix::test]
async fn a_received_tell_that_is_redriven_stays_while_its_service_is_not_offered() {
    let scratch = Scratch::new("service-letters");
    let socket = keeping().outbox(scratch.path()).start().unwrap();
    let (mut shop, _client) = overflowing(socket).await;
    let kept = letters(&shop.socket).await;
    shop.go_on();
    assert_eq!(number(&mut shop).await, 1);
    shop.socket.close().await;
    let next = keeping().outbox(scratch.path()).start().unwrap();
    let bare = collect(&next);
    assert_eq!(redrive(&next).await, (0, 0, 1));
    let mut other = Shop::on(next, with_room_for_one("shipping")).await;
    assert_eq!(redrive(&other.socket).await, (0, 0, 1));
    assert_eq!(letters(&other.socket).await, kept);
    assert!(bare.is_empty());
    assert_eq!(other.asked(), 0);
    other.socket.close().await;
}

#[actix::test]
async fn a_received_tell_whose_service_is_withdrawn_before_it_is_handled_is_a_letter_anew() {
    for socket in both(&Scratch::new("service-letters")) {
        let (mut shop, client) = overflowing(socket).await;
        let kept = letters(&shop.socket).await;
        shop.go_on();
        assert_eq!(number(&mut shop).await, 1);
        client.service("inventory").tell(&waits(3)).await.unwrap();
        assert_eq!(number(&mut shop).await, 3);
        assert_eq!(redrive(&shop.socket).await, (0, 1, 0));
        assert_eq!(redrive(&shop.socket).await, (0, 0, 1), "it waits already");
        shop.withdraw();
        eventually("it to be a letter anew", || {
            let stats = shop.socket.stats();
            (stats.losses.unwanted, stats.kept_letters) == (1, 1)
        })
        .await;
        let anew = letters(&shop.socket).await;
        assert_eq!(anew[0].payload, kept[0].payload);
        assert_ne!(anew[0].id, kept[0].id);
        shop.go_on();
        let mut next = Shop::on(shop.socket.clone(), Opening::new("i1")).await;
        eventually("the next offer", || !next.socket.offers().is_empty()).await;
        assert_eq!(redrive(&shop.socket).await, (0, 1, 0));
        assert_eq!(number(&mut next).await, 2);
        eventually("its end", || next.socket.stats().kept_letters == 0).await;
        shop.socket.close().await;
    }
}
