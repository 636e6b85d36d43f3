//! What a peer sends again is not delivered again, and is acknowledged as often as it takes.

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::{Dedupe, SocketBuilder};
use support::each::each;
use support::proxy::FaultProxy;
use support::raw_peer::{ACK, DATA_REQ, RawPeer, frame};
use support::{aside, eventually, within_patience};

const PEER: [u8; 16] = [7; 16];
/// Long enough to notice what must not come, and never what a test waits for.
const WHILE: Duration = Duration::from_millis(40);
const HOUR: Duration = Duration::from_secs(3600);

fn builder() -> SocketBuilder {
    Socket::builder().dedupe(Dedupe::within(100, HOUR))
}

async fn bound(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    (socket, address)
}

async fn connected(address: SocketAddr) -> RawPeer {
    aside(move || RawPeer::introduced(address, PEER)).await
}

async fn asks(mut peer: RawPeer, ids: &[u8]) -> RawPeer {
    let frames: Vec<u8> = ids
        .iter()
        .flat_map(|&id| frame(DATA_REQ, &[&[id; 16][..], &[id][..]].concat()))
        .collect();
    aside(move || {
        peer.say(&frames);
        peer
    })
    .await
}

async fn hears(mut peer: RawPeer, ids: &[u8]) -> RawPeer {
    let expected: Vec<_> = ids.iter().map(|&id| (ACK, vec![id; 16])).collect();
    let (peer, heard) = aside(move || {
        let heard: Vec<_> = (0..expected.len()).map(|_| peer.next()).collect();
        let heard = heard.into_iter().map(|frame| (frame.kind, frame.body));
        let heard: Vec<_> = heard.collect();
        assert_eq!(heard, expected);
        (peer, heard)
    })
    .await;
    assert_eq!(heard.len(), ids.len());
    peer
}

async fn hears_nothing(mut peer: RawPeer) -> RawPeer {
    aside(move || {
        assert!(peer.is_silent_for(WHILE), "nothing is to be said yet");
        peer
    })
    .await
}

async fn message(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

async fn repetitions(socket: &Socket, count: u64) {
    eventually("the repetitions", || socket.stats().duplicates == count).await;
}

#[actix::test]
async fn a_duplicate_of_a_finished_message_is_acknowledged_again_and_not_delivered() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1]).await;
    message(&socket).await.ack();
    let peer = asks(hears(peer, &[1]).await, &[1]).await;
    let peer = asks(hears(peer, &[1]).await, &[1, 2, 1]).await;
    let next = message(&socket).await;
    assert_eq!(next.payload()[..], [2]);
    assert_eq!(socket.stats().duplicates, 3);
    let peer = hears(peer, &[1, 1]).await;
    next.ack();
    hears(peer, &[2]).await;
}

#[actix::test]
async fn a_duplicate_of_a_message_in_hand_is_absorbed_and_acknowledged_once() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1]).await;
    let in_hand = message(&socket).await;
    let peer = asks(peer, &[1, 1]).await;
    repetitions(&socket, 2).await;
    let peer = hears_nothing(peer).await;
    in_hand.ack();
    let peer = hears_nothing(hears(peer, &[1]).await).await;
    assert_eq!(socket.stats().inbox_messages, 0);
    drop(peer);
}

#[actix::test]
async fn duplicates_within_one_read_leave_the_others_in_order() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1, 2, 1, 3, 3, 2, 4]).await;
    for expected in 1..=4 {
        assert_eq!(message(&socket).await.payload()[..], [expected]);
    }
    hears(peer, &[1, 2, 3, 4]).await;
    assert_eq!(socket.stats().duplicates, 3);
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn a_peer_that_comes_back_is_remembered() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1]).await;
    message(&socket).await.ack();
    drop(hears(peer, &[1]).await);
    eventually("it to leave", || socket.stats().peers == 0).await;
    let peer = asks(connected(address).await, &[1, 2]).await;
    assert_eq!(message(&socket).await.payload()[..], [2]);
    hears(peer, &[1, 2]).await;
}

/// As a bridge does that is killed and started again.
#[actix::test]
async fn what_is_sent_again_by_a_given_id_is_a_duplicate_after_a_restart_of_its_sender() {
    let (socket, address) = bound(builder()).await;
    let (identity, id) = (
        Identity::from_name("bridge"),
        MessageId::from_bytes([5; 16]),
    );
    for _ in 0..2 {
        let sender = Socket::builder().identity(identity).start().unwrap();
        sender.connect(format!("tcp://{address}")).await.unwrap();
        let sending = sender.send("once").id(id).acknowledged();
        let receiving = async {
            if socket.stats().duplicates == 0 && socket.stats().received == 0 {
                let received = message(&socket).await;
                assert_eq!(received.origin(), Some((identity, id)));
                assert_eq!(received.text().unwrap(), "once");
                received.ack();
            }
        };
        let (sent, ()) =
            within_patience("the end", async { tokio::join!(sending, receiving) }).await;
        sent.unwrap();
        sender.close().await;
    }
    assert_eq!(socket.stats().duplicates, 1);
    assert_eq!(socket.stats().inbox_messages, 0);
}

#[actix::test]
async fn another_peer_may_use_the_same_message_id() {
    let (socket, address) = bound(builder()).await;
    let first = asks(connected(address).await, &[1]).await;
    message(&socket).await.ack();
    let first = hears(first, &[1]).await;
    let second = aside(move || RawPeer::introduced(address, [8; 16])).await;
    let second = asks(second, &[1]).await;
    message(&socket).await.ack();
    hears(second, &[1]).await;
    drop(first);
}

#[actix::test]
async fn a_message_in_hand_is_acknowledged_on_the_connection_that_sent_it_again() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1]).await;
    let in_hand = message(&socket).await;
    drop(peer);
    eventually("it to leave", || socket.stats().peers == 0).await;
    let peer = asks(connected(address).await, &[1]).await;
    repetitions(&socket, 1).await;
    let peer = hears_nothing(peer).await;
    in_hand.ack();
    hears(peer, &[1]).await;
}

#[actix::test]
async fn what_is_delivered_again_here_is_no_duplicate() {
    let (socket, address) = bound(builder()).await;
    let peer = asks(connected(address).await, &[1]).await;
    message(&socket).await.nack(Duration::ZERO);
    let careless = socket.clone();
    let task = actix::spawn(async move {
        let _message = careless.recv().await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    let peer = hears_nothing(peer).await;
    message(&socket).await.ack();
    hears(peer, &[1]).await;
    assert_eq!(socket.stats().duplicates, 0);
}

#[actix::test]
async fn a_message_that_became_a_dead_letter_is_finished() {
    let (socket, address) = bound(builder().max_delivery_attempts(1)).await;
    let peer = asks(connected(address).await, &[1, 2]).await;
    message(&socket).await.reject();
    let careless = socket.clone();
    let task = actix::spawn(async move {
        let _message = careless.recv().await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    let peer = hears(peer, &[1, 2]).await;
    assert_eq!(socket.stats().dead_letters, 2);
    hears(asks(peer, &[2, 1]).await, &[2, 1]).await;
    assert_eq!(socket.stats().duplicates, 2);
}

/// The peer, by its next connection.
async fn returned(socket: &Socket, address: SocketAddr, peer: RawPeer) -> RawPeer {
    drop(peer);
    eventually("it to leave", || socket.stats().peers == 0).await;
    connected(address).await
}

#[actix::test]
async fn the_window_forgets_by_count() {
    let (socket, address) = bound(Socket::builder().dedupe(Dedupe::within(2, HOUR))).await;
    let peer = asks(connected(address).await, &[1, 2, 3]).await;
    for _ in 1..=3 {
        message(&socket).await.ack();
    }
    let peer = returned(&socket, address, hears(peer, &[1, 2, 3]).await).await;
    let peer = asks(peer, &[2, 3, 1]).await;
    assert_eq!(message(&socket).await.payload()[..], [1]);
    hears(peer, &[2, 3, 1]).await;
}

#[actix::test]
async fn the_window_forgets_by_time() {
    let short = Dedupe::within(100, Duration::from_millis(1));
    let (socket, address) = bound(Socket::builder().dedupe(short)).await;
    let mut peer = asks(connected(address).await, &[1]).await;
    message(&socket).await.ack();
    peer = hears(peer, &[1]).await;
    let mut again = Box::pin(message(&socket));
    loop {
        // The connection itself remembers, however short the window is.
        peer = asks(returned(&socket, address, peer).await, &[1]).await;
        let waited = tokio::time::timeout(WHILE, &mut again).await;
        if let Ok(message) = waited {
            assert_eq!(message.payload()[..], [1]);
            return;
        }
        peer = hears(peer, &[1]).await;
    }
}

#[actix::test]
async fn what_was_read_and_dropped_with_its_connection_is_new_when_it_comes_again() {
    let (socket, address) = bound(builder().inbox_capacity(1, 1 << 20)).await;
    let peer = connected(address).await;
    // Its acknowledgement is missing, so that the reader goes on for it without room.
    let guarantee = DeliveryGuarantee::AtLeastOnce;
    let ours = socket.send("please acknowledge").guarantee(guarantee);
    ours.await.unwrap();
    let peer = asks(peer, &[1]).await;
    let in_hand = message(&socket).await;
    let peer = asks(peer, &[2]).await;
    eventually("both to be read", || socket.stats().received == 2).await;
    drop(peer);
    eventually("it to leave", || socket.stats().peers == 0).await;
    let peer = asks(connected(address).await, &[1, 2]).await;
    in_hand.ack();
    let second = message(&socket).await;
    assert_eq!(second.payload()[..], [2]);
    drop((second, peer));
}

#[actix::test]
async fn through_cut_links_everything_arrives_exactly_once_while_the_receiver_lives() {
    let scale: u64 = std::env::var("AIOMSG_SCALE").map_or(1, |n| n.parse().expect("a number"));
    let (cuts, count) = (10 * scale, 5_000 * scale);
    let window = Dedupe::within(10_000, HOUR);
    let (receiver, address) = bound(Socket::builder().dedupe(window)).await;
    let seen = Rc::new(RefCell::new(HashMap::new()));
    let tally = Rc::clone(&seen);
    each(&receiver, move |message| {
        let number: [u8; 8] = message.payload()[..8].try_into().expect("eight bytes");
        *tally.borrow_mut().entry(number).or_insert(0) += 1;
    });
    let proxy = FaultProxy::start(address);
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(Backoff::fixed(Duration::from_millis(1)))
        .resend_timeout(Duration::from_millis(200))
        .start()
        .unwrap();
    sender.connect(proxy.address()).await.unwrap();
    let sending = async {
        for number in 0..count {
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(200, 0);
            sender.send(payload).await.unwrap();
        }
    };
    let cutting = async {
        for cut in 1..=cuts {
            let due = count * cut / (cuts + 1);
            eventually("the next cut", || receiver.stats().received >= due).await;
            proxy.cut();
        }
    };
    tokio::join!(sending, cutting);
    eventually("all to be acknowledged", || {
        let stats = sender.stats();
        stats.outbox_messages + stats.queued_messages + stats.unacknowledged == 0
    })
    .await;
    let seen = seen.borrow();
    assert_eq!(seen.len() as u64, count, "none is lost");
    assert!(seen.values().all(|&times| times == 1), "none comes twice");
    let stats = receiver.stats();
    assert_eq!(stats.received, count + stats.duplicates);
    println!("{cuts} cuts, {} duplicates absorbed", stats.duplicates);
}
