//! Peers that offer what they do not have, flood, or do not read: what they cost, and that others are served.
#![cfg(feature = "json")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::authorize::{Admission, Candidate};
use actix_aiomsg::prelude::*;
use support::full_line::send_until_full;
use support::raw_peer::{HEARTBEAT, RawPeer, frame};
use support::shop::{By, Order, Shop, order, sold};
use support::{aside, eventually, scale, within_patience};

const OFFER: u8 = 0xC0;
const LOAD: u8 = 0xC1;
const SEEN: u8 = 0xC3;

/// One OFFER frame of services that are all called so, and end with a number.
fn offer(generation: u32, more: bool, names: &[String]) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&[9; 8]);
    body.extend_from_slice(&generation.to_be_bytes());
    body.push(u8::from(more));
    body.push(u8::try_from(names.len()).unwrap());
    for name in names {
        body.push(u8::try_from(name.len()).unwrap());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[3]);
        body.extend_from_slice(b"bad");
        body.push(0);
    }
    frame(OFFER, &body)
}

/// All that one socket may offer, "inventory" among it, in several frames.
fn everything(generation: u32) -> Vec<u8> {
    let mut names: Vec<_> = (0..255)
        .map(|number| format!("service-{number:03}"))
        .collect();
    names.push("inventory".to_owned());
    let parts: Vec<_> = names.chunks(64).collect();
    let last = parts.len() - 1;
    let frames = parts.iter().enumerate();
    frames
        .flat_map(|(index, names)| offer(generation, index < last, names))
        .collect()
}

async fn bound(socket: &Socket) -> SocketAddr {
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let endpoint = endpoint.to_string();
    endpoint.strip_prefix("tcp://").unwrap().parse().unwrap()
}

#[actix::test]
async fn a_peer_that_offers_everything_and_answers_nothing_is_left_out_and_costs_no_ask_that_may_be_tried_again()
 {
    let (shop, socket) = (Shop::open("good").await, Socket::start().unwrap());
    let address = bound(&socket).await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        peer.say(&everything(1));
        peer
    })
    .await;
    inventory.wait_for(2).await.unwrap();
    let taken = socket.stats().catalog_bytes;
    assert!((256 * 64..64 * 1024).contains(&taken), "{taken}");
    let mut late = 0;
    for _ in 0..40 {
        let timeout = Duration::from_millis(400);
        let ask = inventory.ask(&order("apples")).timeout(timeout);
        match within_patience("its end", ask).await {
            Ok(by) => assert_eq!(by, By("good".to_owned())),
            Err(AskError::Timeout) => late += 1,
            Err(other) => panic!("{other}"),
        }
    }
    // It says nothing at all: one timeout.
    assert!(late <= 1, "{late}");
    for _ in 0..20 {
        let ask = inventory.ask(&order("apples")).retry(1).idempotent();
        assert_eq!(
            within_patience("an answer", ask).await,
            Ok(By("good".to_owned()))
        );
    }
    drop(peer);
    eventually("its offer to be gone", || {
        inventory.instances().len() == 1 && socket.stats().catalog_bytes < 1024
    })
    .await;
}

/// A probe of a silent instance stays where the connection ends on which it waits: the next process of the peer may
/// offer nothing, and its handlers would take it for a message.
#[actix::test]
async fn the_next_process_of_a_silent_instance_gets_no_probe() {
    const SILENT: Identity = Identity::from_bytes([7; 16]);
    let socket = Socket::start().unwrap();
    let address = bound(&socket).await;
    let inventory = socket.service("inventory");
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        peer.say(&offer(1, false, &["inventory".to_owned()]));
        peer
    })
    .await;
    within_patience("its offer", inventory.wait_for(1))
        .await
        .unwrap();
    // The link has room for a probe alone.
    send_until_full(&socket, SILENT).await;
    let queued = socket.stats().queued_messages;
    let ask = inventory
        .ask(&order("apples"))
        .timeout(Duration::from_millis(50));
    assert_eq!(
        within_patience("its end", ask).await,
        Err(AskError::Timeout)
    );
    eventually("a probe that waits", || {
        socket.stats().queued_messages > queued + 1
    })
    .await;
    drop(peer);
    eventually("the end", || socket.stats().peers == 0).await;
    let mut next = aside(move || RawPeer::introduced(address, [7; 16])).await;
    socket.send_to(SILENT, "the last").await.unwrap();
    let heard = aside(move || {
        let mut heard = vec![next.expect_data()];
        while heard.last().is_some_and(|last| last != b"the last") {
            heard.push(next.expect_data());
        }
        heard
    })
    .await;
    let strange = |payload: &&Vec<u8>| payload.starts_with(b"\xa1ASK");
    assert_eq!(heard.iter().find(strange), None);
    assert!(heard.len() > 1, "nothing had waited");
}

#[actix::test]
async fn a_peer_that_floods_all_frames_about_services_makes_nothing_grow_and_others_are_asked() {
    let (shop, socket) = (Shop::open("good").await, Socket::start().unwrap());
    let address = bound(&socket).await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    let rounds = u32::try_from(scale::of(4_000)).unwrap();
    let flood = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        for round in 1..=rounds {
            // Whole offers, offers of nothing, offers whose rest never comes.
            peer.say(&everything(3 * round));
            peer.say(&offer(3 * round + 1, false, &[]));
            peer.say(&offer(3 * round + 2, true, &["inventory".to_owned()]));
            // Loads of services that there are and are not, and drains that nobody has seen.
            let mut load = vec![1];
            load.extend_from_slice(&(3 * round).to_be_bytes());
            load.extend_from_slice(&[1, 0, 255, 1, 255, 255, 255, 255]);
            peer.frame(LOAD, &load);
            let mut seen = vec![1];
            seen.extend_from_slice(&round.to_be_bytes());
            peer.frame(SEEN, &seen);
            peer.frame(HEARTBEAT, &[]);
        }
        peer
    });
    let flooding = async {
        let peer = flood.await;
        eventually("the flood to be read", || inventory.instances().len() == 1).await;
        peer
    };
    let asking = async {
        for _ in 0..200 {
            let ask = inventory.ask(&order("apples")).retry(1).idempotent();
            let ask = ask.try_timeout(Duration::from_millis(500));
            assert_eq!(
                within_patience("an answer", ask).await,
                Ok(By("good".to_owned()))
            );
            let stats = socket.stats();
            assert!(stats.catalog_bytes < 128 * 1024, "{stats:?}");
            assert!(stats.control_bytes <= 64 * 1024, "{stats:?}");
        }
    };
    let (peer, ()) = futures_util::future::join(flooding, asking).await;
    drop(peer);
    assert_eq!(socket.stats().returned_tells, 0);
    inventory.tell(&sold(1)).acknowledged().await.unwrap();
}

#[actix::test]
async fn a_peer_whose_authorizer_says_no_is_asked_nothing_whatever_it_offers() {
    let shop = Shop::open("good").await;
    let socket = Socket::builder()
        .authorize(|candidate: Candidate| {
            let is_good = candidate.identity != Identity::from_bytes([7; 16]);
            async move {
                match is_good {
                    true => Admission::admit().may_offer(["inventory"]),
                    false => Admission::admit().may_offer(["something-else"]),
                }
            }
        })
        .start()
        .unwrap();
    let address = bound(&socket).await;
    socket.connect(&shop.endpoint[..]).await.unwrap();
    let inventory = socket.service("inventory");
    inventory.wait_for(1).await.unwrap();
    let mut peer = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        peer.say(&everything(1));
        peer
    })
    .await;
    eventually("its offer to be read", || {
        socket.stats().catalog_bytes > 16_000
    })
    .await;
    for _ in 0..50 {
        assert_eq!(
            inventory.ask(&order("apples")).await,
            Ok(By("good".to_owned()))
        );
        inventory.tell(&sold(1)).acknowledged().await.unwrap();
    }
    assert_eq!(inventory.instances().len(), 1);
    let heard = aside(move || {
        let mut heard = Vec::new();
        while !peer.is_silent_for(Duration::from_millis(100)) {
            heard.extend(peer.arrived());
        }
        heard
    })
    .await;
    let beats = heard
        .chunks(5)
        .all(|frame| frame == [0, 0, 0, 1, HEARTBEAT]);
    assert!(beats, "{heard:?}");
}

/// Offers as many services as one socket may, with long names.
struct Everything(WeakSocket);

/// So many, each of 250 bytes.
const MOST: usize = 256;

impl Actor for Everything {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for number in 0..MOST {
            let name = format!("{number:03}-{}", "x".repeat(246));
            let offer = self.0.offer(&name).expect("it is open");
            offer.serve::<Order>(ctx);
        }
    }
}

impl Handler<Ask<Order>> for Everything {
    type Result = Answer<Order>;

    fn handle(&mut self, _: Ask<Order>, _: &mut Context<Self>) -> Answer<Order> {
        Ok(By("everything".to_owned()))
    }
}

#[actix::test]
async fn peers_that_read_nothing_are_owed_no_more_of_an_offer_than_their_bound_and_get_all_of_it_when_they_do()
 {
    let socket = Socket::start().unwrap();
    let address = bound(&socket).await;
    let mut peers = aside(move || {
        let peer = |number| RawPeer::introduced(address, [number; 16]);
        (1..=8).map(peer).collect::<Vec<_>>()
    })
    .await;
    socket.wait_for_peers(8).await.unwrap();
    let _everything = Everything(socket.downgrade()).start();
    let follower = Socket::start().unwrap();
    follower.connect(format!("tcp://{address}")).await.unwrap();
    let last = follower.service(&format!("255-{}", "x".repeat(246)));
    within_patience("the last service", last.wait_for(1))
        .await
        .unwrap();
    // Each change is another offer of some 70 KiB, of which kernels take a few.
    let mut owed = 0;
    for change in 0..40 {
        let offer = socket.offer(&format!("000-{}", "x".repeat(246))).unwrap();
        drop(offer.instance(&format!("instance-{change}")).unwrap());
        tokio::time::sleep(Duration::from_millis(110)).await;
        let stats = socket.stats();
        owed = owed.max(stats.control_bytes);
        assert!(stats.control_bytes <= 9 * 64 * 1024, "{stats:?}");
    }
    println!("{} KiB were owed at most", owed / 1024);
    let mut peer = peers.pop().unwrap();
    let is_last = |service: &[u8]| service.windows(11).any(|part| part == b"instance-39");
    let told = aside(move || {
        loop {
            let frame = peer.read().unwrap().expect("it is connected");
            if frame.kind == OFFER && is_last(&frame.body) {
                return true;
            }
        }
    });
    assert!(within_patience("the last offer", told).await);
}
