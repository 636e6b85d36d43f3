//! What became of a message at its peer, as its sender learns it: handled, or refused and why (WIRE §10).
#![cfg(feature = "json")]

mod support;

use std::net::SocketAddr;

use actix::prelude::*;
use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use actix_aiomsg::{AckPolicy, Dedupe, Handled};
use serde::{Deserialize, Serialize};
use support::each::each;
use support::raw_peer::{ACK, DATA_REQ, Frame, HEARTBEAT, RawPeer};
use support::{aside, within_patience};

const REFUSED: u8 = 0xC2;
const ME: [u8; 16] = [5; 16];

async fn connected(server: &Socket) -> Socket {
    let client = Socket::start().unwrap();
    let endpoint = server.bind("tcp://127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    within_patience("the peer", client.wait_for_peers(1))
        .await
        .unwrap();
    client
}

async fn outcome(client: &Socket, text: &'static str) -> Result<(), ReceiptError> {
    let sent = within_patience("the outcome", client.send(text).acknowledged());
    match sent.await {
        Ok(()) => Ok(()),
        Err(DeliveryError::Receipt(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// A server whose handler does what it is told.
fn obedient(server: &Socket) {
    each(server, |message: Received| {
        let text = message.text().unwrap_or_default().to_owned();
        match text.as_str() {
            "reject" => message.reject(),
            "fail" => return Err("on demand").into(),
            _ => {}
        }
        Handled::from(Ok::<(), String>(()))
    });
}

#[actix::test]
async fn acknowledged_is_ok_when_the_peer_has_handled_the_message_and_says_why_when_not() {
    let server = Socket::builder().max_delivery_attempts(3).start().unwrap();
    obedient(&server);
    let client = connected(&server).await;
    assert_eq!(outcome(&client, "handle").await, Ok(()));
    assert_eq!(
        outcome(&client, "reject").await,
        Err(ReceiptError::Rejected)
    );
    assert_eq!(outcome(&client, "fail").await, Err(ReceiptError::Poison));
    assert_eq!(outcome(&client, "handle").await, Ok(()));
    let stats = client.stats();
    assert_eq!(
        (stats.acknowledged, stats.unacknowledged, stats.resent),
        (4, 0, 0)
    );
    let losses = server.stats().losses;
    assert_eq!((losses.rejected, losses.poison), (1, 1));
}

#[actix::test]
async fn a_handler_that_panics_each_time_refuses_its_message() {
    let server = Socket::builder().max_delivery_attempts(2).start().unwrap();
    let socket = server.downgrade();
    let _crash = supervise(move || Crash(socket.clone())).start();
    let client = connected(&server).await;
    assert_eq!(outcome(&client, "panic").await, Err(ReceiptError::Poison));
    assert_eq!(outcome(&client, "handle").await, Ok(()));
}

struct Crash(WeakSocket);

impl Actor for Crash {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe(ctx);
    }
}

impl Handler<Received> for Crash {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        if message.payload() == "panic" {
            // Without the hook that would print it.
            std::panic::resume_unwind(Box::new("on demand"));
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Order {
    apples: u32,
}

payload!(Order = "order ");

struct Shop(WeakSocket);

impl Actor for Shop {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<Order>(ctx);
    }
}

impl Handler<Received<Order>> for Shop {
    type Result = ();

    fn handle(&mut self, _: Received<Order>, _: &mut Self::Context) {}
}

#[actix::test]
async fn what_cannot_be_decoded_and_what_nobody_wants_is_refused_as_that() {
    let server = Socket::start().unwrap();
    let _shop = Shop(server.downgrade()).start();
    let client = connected(&server).await;
    let order = client.send_typed(&Order { apples: 3 }).acknowledged();
    assert_eq!(within_patience("the order", order).await, Ok(()));
    let undecodable = Err(ReceiptError::Undecodable);
    assert_eq!(outcome(&client, "order of no sense").await, undecodable);
    assert_eq!(outcome(&client, "pears").await, Err(ReceiptError::Unwanted));
}

/// A server of which one subscription rejects everything and the other handles it.
async fn half_hearted(first_rejects: bool) -> Result<(), ReceiptError> {
    let server = Socket::start().unwrap();
    for rejects in [first_rejects, !first_rejects] {
        each(&server, move |message: Received| {
            if rejects {
                message.reject();
            }
        });
    }
    let client = connected(&server).await;
    outcome(&client, "for both").await
}

#[actix::test]
async fn of_several_subscriptions_any_refusal_wins() {
    assert_eq!(half_hearted(true).await, Err(ReceiptError::Rejected));
    assert_eq!(half_hearted(false).await, Err(ReceiptError::Rejected));
}

#[actix::test]
async fn under_on_receipt_a_message_is_acknowledged_before_anybody_can_refuse_it() {
    let builder = Socket::builder().ack_policy(AckPolicy::OnReceipt);
    let server = builder.max_delivery_attempts(1).start().unwrap();
    obedient(&server);
    let client = connected(&server).await;
    assert_eq!(outcome(&client, "reject").await, Ok(()));
    assert_eq!(outcome(&client, "fail").await, Ok(()));
}

async fn bound(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    (socket, address)
}

/// The next frame that is not a heartbeat, one that others would skip among them.
fn heard(peer: &mut RawPeer) -> Frame {
    loop {
        let frame = peer.read().expect("it speaks").expect("it stays");
        if frame.kind != HEARTBEAT {
            return frame;
        }
    }
}

/// Sends a message, and expects its refusal directly before its ACK.
fn is_refused(peer: &mut RawPeer, id: [u8; 16], text: &[u8], reason: u8) {
    peer.frame(DATA_REQ, &[&id[..], text].concat());
    let refused = heard(peer);
    let body = [&[1][..], &id, &[reason, 0]].concat();
    assert_eq!((refused.kind, refused.body), (REFUSED, body));
    let ack = heard(peer);
    assert_eq!((ack.kind, &ack.body[..]), (ACK, &id[..]));
}

#[actix::test]
async fn a_refusal_stands_directly_before_its_acknowledgement_and_none_before_another() {
    let (server, address) = bound(Socket::builder().max_delivery_attempts(1)).await;
    obedient(&server);
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        is_refused(&mut peer, [1; 16], b"fail", 1);
        is_refused(&mut peer, [2; 16], b"reject", 2);
        peer.frame(DATA_REQ, &[&[3; 16][..], b"handle"].concat());
        let ack = heard(&mut peer);
        assert_eq!((ack.kind, &ack.body[..]), (ACK, &[3; 16][..]));
    })
    .await;
}

#[actix::test]
async fn a_repetition_of_what_was_refused_is_refused_again() {
    let dedupe = Dedupe::within(100, std::time::Duration::from_secs(3600));
    let (server, address) = bound(Socket::builder().dedupe(dedupe)).await;
    obedient(&server);
    aside(move || {
        let mut peer = RawPeer::introduced(address, ME);
        is_refused(&mut peer, [2; 16], b"reject", 2);
        is_refused(&mut peer, [2; 16], b"reject", 2);
    })
    .await;
    assert_eq!(server.stats().losses.rejected, 1);
    assert_eq!(server.stats().duplicates, 1);
}

#[actix::test]
async fn the_acknowledgement_behind_a_refusal_that_came_too_early_does_not_count() {
    let (server, address) = bound(Socket::builder()).await;
    let mut peer = aside(move || RawPeer::introduced(address, ME)).await;
    server.wait_for_peers(1).await.unwrap();
    let one = server.send("one").receipt().await.unwrap();
    let (mut peer, next) = aside(move || {
        let (first, _) = peer.expect_data_req();
        let next = (u128::from_be_bytes(first) + 1).to_be_bytes();
        // Nothing of this id is in flight yet.
        peer.frame(REFUSED, &[&[1][..], &next, &[2, 0]].concat());
        peer.frame(ACK, &first);
        (peer, next)
    })
    .await;
    within_patience("the first", one).await.unwrap();
    let two = server.send("two").receipt().await.unwrap();
    let mut peer = aside(move || {
        assert_eq!(peer.expect_data_req(), (next, b"two".to_vec()));
        peer.frame(ACK, &next);
        peer.data(b"behind it");
        peer
    })
    .await;
    within_patience("what is behind it", server.recv())
        .await
        .unwrap();
    assert_eq!(server.stats().acknowledged, 1);
    aside(move || peer.frame(ACK, &next)).await;
    within_patience("the second", two).await.unwrap();
}
