//! Named services: who is asked, what is sent and what is not, and how an ask ends.
#![cfg(feature = "json")]

mod support;

use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::service::{InstanceStatus, Offer};
use futures_util::future::join_all;
use support::panics::print_panics_briefly;
use support::raw_peer::{self, DATA, RawPeer};
use support::shop::{By, Opening, Order, Shop, customer, order};
use support::{aside, eventually, within_patience};

fn by(instance: &str) -> By {
    By(instance.to_owned())
}

fn port_of(endpoint: &str) -> std::net::SocketAddr {
    let address = endpoint.strip_prefix("tcp://").expect("a TCP endpoint");
    address.parse().expect("an address")
}

#[actix::test]
async fn a_service_is_asked_by_its_name_and_answers() {
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    assert_eq!(inventory.ask(&order("apples")).await, Ok(by("i0")));
    let instances = inventory.instances();
    assert_eq!(instances.len(), 1);
    assert_eq!(instances[0].name, "i0");
    assert_eq!(instances[0].peer, shop.socket.identity());
    assert_eq!(instances[0].status, InstanceStatus::Ready);
    assert_eq!(instances[0].outstanding, 0);
    let refused = inventory.ask(&order("refuse")).await;
    assert_eq!(refused, Err(AskError::Remote("sold out".to_owned())));
}

#[actix::test]
async fn nothing_is_sent_to_a_peer_that_does_not_offer_the_service() {
    let shop = Shop::open("i0").await;
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let address = port_of(&endpoint.to_string());
    let mut bystander = aside(move || RawPeer::introduced(address, [7; 16])).await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    for _ in 0..50 {
        inventory.ask(&order("apples")).await.unwrap();
    }
    // The first that it gets is what is sent to it.
    socket
        .send_to(bystander_identity(), "at last")
        .await
        .unwrap();
    let got = aside(move || bystander.next()).await;
    assert_eq!((got.kind, &got.body[..]), (DATA, &b"at last"[..]));
}

fn bystander_identity() -> Identity {
    Identity::from_bytes([7; 16])
}

#[actix::test]
async fn a_socket_that_offers_nothing_sends_not_a_byte_more_though_it_follows_services() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let address = port_of(&endpoint.to_string());
    let inventory = socket.service("inventory");
    let nobody = inventory.ask(&order("apples")).fail_fast().await;
    assert_eq!(nobody, Err(AskError::NoService));
    let ours = socket.identity();
    let recorded = aside(move || {
        let mut peer = RawPeer::connect(address);
        peer.hello([7; 16]);
        let hello = peer.arrived();
        (peer, hello)
    });
    let (mut peer, hello) = recorded.await;
    assert_eq!(hello, raw_peer::hello(*ours.as_bytes()));
    // A peer that offers gets nothing for that.
    aside(move || {
        peer.say(b"\0\0\0\x1e\xC0\x01startxyz\0\0\0\x01\0\x01\x09elsewhere\x02i0\0");
        peer.say(&raw_peer::frame(DATA, b"hello"));
        assert!(peer.is_silent_for(Duration::from_millis(300)));
        peer
    })
    .await;
}

#[actix::test]
async fn a_session_of_a_socket_that_offers_nothing_is_these_bytes() {
    let socket = Socket::builder()
        .identity(Identity::from_bytes(*b"the-offerer-none"))
        .send_mode(SendMode::Publish)
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let address = port_of(&endpoint.to_string());
    // It follows a service, which changes nothing.
    let inventory = socket.service("inventory");
    let mut messages = socket.messages();
    let mut peer = aside(move || RawPeer::introduced(address, [7; 16])).await;
    socket.wait_for_peers(1).await.unwrap();
    let mut session = Vec::new();
    // What comes next, for as long as anything does.
    async fn heard(mut peer: RawPeer, expected: usize, session: &mut Vec<u8>) -> RawPeer {
        let (peer, bytes) = aside(move || {
            let mut bytes = Vec::new();
            while bytes.len() < expected {
                bytes.extend(peer.arrived());
            }
            (peer, bytes)
        })
        .await;
        session.extend(bytes);
        peer
    }
    socket.send("published").await.unwrap();
    peer = heard(peer, 14, &mut session).await;
    socket.send_to([7; 16].into(), "by name").await.unwrap();
    peer = heard(peer, 12, &mut session).await;
    peer.data_req([9; 16], b"handled");
    let handled = within_patience("a message", messages.next()).await.unwrap();
    assert_eq!(&handled.payload()[..], b"handled");
    drop(handled);
    peer = heard(peer, 21, &mut session).await;
    peer.data(b"a question");
    let asked = within_patience("a message", messages.next()).await.unwrap();
    asked.reply("an answer").unwrap();
    peer = heard(peer, 14, &mut session).await;
    let nobody = inventory.ask(&order("apples")).fail_fast().await;
    assert_eq!(nobody, Err(AskError::NoService));
    assert!(inventory.instances().is_empty());
    let expected = [
        &b"\0\0\0\x0a\x03published"[..],
        b"\0\0\0\x08\x03by name",
        b"\0\0\0\x11\x05\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09",
        b"\0\0\0\x0a\x03an answer",
    ];
    assert_eq!(session, expected.concat());
    let silent = aside(move || peer.is_silent_for(Duration::from_millis(200)));
    assert!(silent.await);
}

#[actix::test]
async fn asks_are_spread_over_all_who_offer_the_service() {
    let mut shops = [
        Shop::open("i0").await,
        Shop::open("i1").await,
        Shop::open("i2").await,
    ];
    let socket = customer(&[&shops[0], &shops[1], &shops[2]]).await;
    let inventory = socket.service("inventory");
    let slow = order("slow");
    let asks = (0..60).map(|_| inventory.ask(&slow));
    assert!(join_all(asks).await.iter().all(Result::is_ok));
    for shop in &mut shops {
        let asked = shop.asked();
        assert!((15..=25).contains(&asked), "{asked} of 60");
    }
}

#[actix::test]
async fn who_asks_before_anybody_offers_waits_and_gets_its_answer() {
    let socket = Socket::start().unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let inventory = socket.service("inventory");
    let apples = order("apples");
    let waiting = inventory.ask(&apples).timeout(support::PATIENCE);
    let late = async {
        let shop = Shop::open("late").await;
        shop.socket.connect(endpoint).await.unwrap();
        shop
    };
    let (answer, _shop) = tokio::join!(waiting, late);
    assert_eq!(answer, Ok(by("late")));
    let nobody = socket.service("nothing").ask(&order("apples"));
    let nobody = nobody.timeout(Duration::from_millis(50)).await;
    assert_eq!(nobody, Err(AskError::NoService));
}

#[actix::test]
async fn a_service_that_is_withdrawn_is_asked_no_more_and_one_that_is_offered_again_is() {
    let (first, second) = (Shop::open("i0").await, Shop::open("i1").await);
    let socket = customer(&[&first, &second]).await;
    let inventory = socket.service("inventory");
    first.withdraw();
    for _ in 0..20 {
        // One that crosses the withdrawal is refused, and surely not handled.
        let answer = inventory.ask(&order("apples")).retry(2).await;
        assert_eq!(answer, Ok(by("i1")));
    }
    eventually("the withdrawal", || inventory.instances().len() == 1).await;
}

/// Serves by an offer that it is given.
struct Successor(Offer);

impl Actor for Successor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.0.clone().serve::<Order>(ctx);
    }
}

impl Handler<Ask<Order>> for Successor {
    type Result = Answer<Order>;

    fn handle(&mut self, _: Ask<Order>, _: &mut Context<Self>) -> Self::Result {
        Ok(by("the successor"))
    }
}

#[actix::test]
async fn who_serves_by_a_clone_of_an_offer_that_was_withdrawn_offers_it_again() {
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let offer = shop.offer();
    offer.clone().withdraw();
    eventually("the withdrawal", || inventory.instances().is_empty()).await;
    Successor(offer).start();
    let asking = inventory.ask(&order("apples")).timeout(support::PATIENCE);
    assert_eq!(asking.await, Ok(by("the successor")));
}

#[actix::test]
async fn a_service_whose_bound_is_reached_refuses_at_once_and_the_others_are_asked() {
    let bounded = |instance: &str| Opening {
        max_queued: Some(4),
        options: SubscribeOptions::default().max_in_flight(1),
        ..Opening::new(instance)
    };
    let mut shop = Shop::with(bounded("i0")).await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let wait = order("wait");
    // One is handled, four wait, and the others are told at once.
    let first = actix::spawn(inventory.ask(&wait));
    assert_eq!(shop.told().await, "wait");
    let asks: Vec<_> = (0..4).map(|_| actix::spawn(inventory.ask(&wait))).collect();
    eventually("the queue to be full", || {
        shop.socket.offers()[0].waiting == 4
    })
    .await;
    let busy = within_patience("the refusal", inventory.ask(&order("apples"))).await;
    assert_eq!(busy, Err(AskError::Busy));
    assert!(shop.socket.offers()[0].refused >= 1);
    let other = Shop::open("i1").await;
    socket.connect(&other.endpoint[..]).await.unwrap();
    eventually("both to be known", || inventory.instances().len() == 2).await;
    for _ in 0..5 {
        let answer = inventory.ask(&order("apples")).retry(1).await;
        assert_eq!(answer, Ok(by("i1")));
    }
    for ask in std::iter::once(first).chain(asks) {
        shop.go_on();
        assert_eq!(ask.await.unwrap(), Ok(by("i0")));
    }
}

#[actix::test]
async fn an_ask_whose_handler_panics_is_answered_and_the_service_stays_offered() {
    print_panics_briefly();
    let shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let panicked = inventory.ask(&order("panic")).await;
    assert_eq!(
        panicked,
        Err(AskError::Remote("the handler failed".to_owned()))
    );
    assert_eq!(inventory.ask(&order("apples")).await, Ok(by("i0")));
}

#[actix::test]
async fn an_ask_that_was_written_when_its_instance_went_ends_as_peer_gone() {
    let mut shop = Shop::open("i0").await;
    let socket = customer(&[&shop]).await;
    let inventory = socket.service("inventory");
    let ask = actix::spawn(inventory.ask(&order("wait")));
    assert_eq!(shop.told().await, "wait");
    drop(shop);
    let answer = within_patience("the end of the ask", ask).await.unwrap();
    assert!(
        matches!(&answer, Err(AskError::PeerGone | AskError::Remote(_))),
        "{answer:?}"
    );
    assert!(inventory.instances().is_empty());
}

#[actix::test]
async fn everyone_who_offers_the_service_answers_who_asks_all() {
    let (first, second) = (Shop::open("i0").await, Shop::open("i1").await);
    let bystander = Socket::start().unwrap();
    let socket = customer(&[&first, &second]).await;
    let endpoint = bystander.bind("tcp://127.0.0.1:0").await.unwrap();
    socket.connect(endpoint).await.unwrap();
    socket.wait_for_peers(3).await.unwrap();
    let inventory = socket.service("inventory");
    let mut replies = inventory
        .ask_all(&order("apples"), support::PATIENCE)
        .unwrap();
    let mut answers = Vec::new();
    while let Some((_, answer)) = within_patience("an answer", replies.next()).await {
        answers.push(answer.unwrap().0);
    }
    answers.sort();
    assert_eq!(answers, ["i0", "i1"]);
    assert_eq!(bystander.stats().received, 0);
    let nobody = socket
        .service("nothing")
        .ask_all(&order("apples"), support::PATIENCE);
    assert_eq!(nobody.unwrap_err(), AskError::NoService);
}

#[actix::test]
async fn names_that_are_none_and_too_many_services_are_not_offered() {
    use actix_aiomsg::service::OfferError;
    let socket = Socket::start().unwrap();
    let refusal = |name: &str| socket.offer(name).map(|_| ()).unwrap_err();
    assert_eq!(refusal(""), OfferError::Name);
    assert_eq!(refusal(&"x".repeat(256)), OfferError::Name);
    for number in 0..256 {
        socket.offer(&format!("service-{number}")).unwrap();
    }
    assert_eq!(refusal("one more"), OfferError::TooMany);
    assert!(socket.offer("service-7").is_ok(), "it is offered already");
    socket.close().await;
    assert!(matches!(refusal("late"), OfferError::Closed(_)));
}
