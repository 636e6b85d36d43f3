//! Messages that a peer cannot take: they are found out, whatever is behind them arrives, and a bad network costs
//! none.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use bytes::Bytes;
use support::each::each;
use support::proxy::FaultProxy;
use support::raw_peer::RawPeer;
use support::{aside, eventually, within_patience};
use tokio::sync::mpsc;

const ME: [u8; 16] = [5; 16];
const MIB: usize = 1024 * 1024;

fn reliable() -> SocketBuilder {
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(Backoff::fixed(Duration::from_millis(20)))
}

/// What a socket receives, by its handler.
fn heard_by(socket: &Socket) -> mpsc::UnboundedReceiver<Bytes> {
    let (told, heard) = mpsc::unbounded_channel();
    each(socket, move |message: Received| {
        let _ = told.send(message.payload().clone());
    });
    heard
}

#[actix::test]
async fn what_is_behind_a_message_above_the_peers_frame_limit_arrives_and_that_is_a_dead_letter() {
    let server = Socket::builder()
        .max_frame_bytes(MIB as u32)
        .start()
        .unwrap();
    let mut heard = heard_by(&server);
    let (letters, mut dead) = Probe::recipient();
    let client = reliable().on_dead_letter(letters).start().unwrap();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let too_large = client.send(vec![7; 2 * MIB]).receipt().await.unwrap();
    for number in 0..10 {
        client.send(format!("{number}")).await.unwrap();
    }
    let mut small = Vec::new();
    while small.len() < 10 {
        let next = within_patience("a small message", heard.recv())
            .await
            .unwrap();
        if !small.contains(&next) {
            small.push(next);
        }
    }
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::PeerCannotTake);
    assert_eq!(letter.payload.len(), 2 * MIB);
    let detail = letter.detail.unwrap();
    assert!(detail.contains("frame limit"), "{detail}");
    let outcome = within_patience("the receipt", too_large).await;
    assert_eq!(outcome, Err(ReceiptError::PeerCannotTake));
    // Nothing is in its way any more.
    let last = client.send("last").acknowledged();
    within_patience("the last", last).await.unwrap();
    let losses = client.stats().losses;
    assert_eq!(
        (losses.peer_cannot_take, client.stats().dead_letters),
        (1, 1)
    );
}

#[actix::test]
async fn of_several_messages_above_the_peers_frame_limit_each_is_found_out() {
    let server = Socket::builder()
        .max_frame_bytes(MIB as u32)
        .start()
        .unwrap();
    let mut heard = heard_by(&server);
    let client = reliable().start().unwrap();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..3 {
        receipts.push(client.send(vec![7; 2 * MIB]).receipt().await.unwrap());
    }
    client.send("small").await.unwrap();
    let small = within_patience("what is behind them", heard.recv()).await;
    assert_eq!(small.unwrap(), "small");
    for receipt in receipts {
        let outcome = within_patience("a receipt", receipt).await;
        assert_eq!(outcome, Err(ReceiptError::PeerCannotTake));
    }
    assert_eq!(client.stats().losses.peer_cannot_take, 3);
}

#[actix::test]
async fn a_bad_network_costs_no_message_however_often_it_cuts() {
    let server = Socket::start().unwrap();
    let slow = |_: Received| {
        let wait = tokio::time::sleep(Duration::from_millis(200));
        Box::pin(wait) as actix::ResponseFuture<()>
    };
    each(&server, slow);
    let (letters, mut dead) = Probe::<DeadLetter>::recipient();
    let client = reliable().on_dead_letter(letters).start().unwrap();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], endpoint.port().unwrap()).into());
    client.connect(proxy.address()).await.unwrap();
    let sending = client.send("through all of it").acknowledged();
    let mut sending = std::pin::pin!(sending);
    let mut outcome = None;
    for _ in 0..200 {
        // On a machine that is busy, a cut may come too late for once.
        let waited = tokio::time::timeout(Duration::from_millis(100), &mut sending).await;
        if let Ok(acknowledged) = waited {
            outcome = Some(acknowledged);
            break;
        }
        proxy.cut();
    }
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => within_patience("the acknowledgement", sending).await,
    };
    assert_eq!(outcome, Ok(()));
    assert!(dead.rest().is_empty());
    assert_eq!(client.stats().dead_letters, 0);
}

#[actix::test]
async fn the_resend_limit_counts_transmissions_over_all_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = reliable().resend_limit(3).start().unwrap();
    client.connect(address).await.unwrap();
    let counting = actix::spawn(aside(move || {
        // It reads each time, and closes.
        for _ in 0..4 {
            let mut peer = RawPeer::accept(&listener);
            peer.expect_hello();
            peer.hello(ME);
            assert_eq!(peer.expect_data_req().1, b"in vain");
        }
        // Nothing is sent any more.
        let mut peer = RawPeer::accept(&listener);
        peer.expect_hello();
        peer.hello(ME);
        peer.is_silent_for(Duration::from_millis(300))
    }));
    let sent = within_patience("the outcome", client.send("in vain").acknowledged()).await;
    assert_eq!(sent, Err(DeliveryError::Receipt(ReceiptError::Expired)));
    assert!(within_patience("the peer", counting).await.unwrap());
    assert_eq!(client.stats().losses.resend_limit, 1);
}

#[actix::test]
async fn a_message_that_one_peer_cannot_take_goes_to_another_first() {
    let (socket, address) = bound(reliable()).await;
    let bad = aside(move || RawPeer::introduced(address, ME)).await;
    within_patience("the bad peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    let mut sending = std::pin::pin!(socket.send("for whoever takes it").acknowledged());
    let begun = tokio::time::timeout(Duration::from_millis(1), &mut sending).await;
    assert!(begun.is_err());
    // Another joins, before the first ends its connection and comes back.
    let good = Socket::start().unwrap();
    let mut heard = heard_by(&good);
    good.connect(address).await.unwrap();
    within_patience("the good peer", socket.wait_for_peers(2))
        .await
        .unwrap();
    let returned = aside(move || {
        let mut bad = bad;
        bad.expect_data_req();
        drop(bad);
    });
    returned.await;
    within_patience("the acknowledgement", sending)
        .await
        .unwrap();
    assert_eq!(heard.recv().await.unwrap(), "for whoever takes it");
    assert_eq!(socket.stats().dead_letters, 0);
}

async fn bound(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    (socket, address)
}

#[actix::test]
async fn at_most_once_a_half_written_message_is_a_dead_letter_and_was_not_sent() {
    let (letters, mut dead) = Probe::recipient();
    let (socket, address) = bound(Socket::builder().on_dead_letter(letters)).await;
    let peer = aside(move || RawPeer::introduced(address, ME)).await;
    within_patience("the peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    socket.send(vec![7; 32 * MIB]).await.unwrap();
    // It has begun to arrive, and is never whole.
    let peer = aside(move || {
        let mut peer = peer;
        assert!(!peer.arrived().is_empty());
        peer
    })
    .await;
    peer.reset();
    let letter: DeadLetter = dead.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::HalfWritten);
    assert_eq!(letter.payload.len(), 32 * MIB);
    eventually("its leave", || socket.stats().peers == 0).await;
    assert_eq!(socket.stats().sent, 0);
}
