//! A frame above the limit, over WebSocket: the close code says so to a browser, and to a socket of ours.

mod support;

use std::time::Duration;

use actix_aiomsg::Receipt;
use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use support::each::each;
use support::raw_peer::DATA_REQ;
use support::web_peer::WebPeer;
use support::within_patience;

const LIMIT: u32 = 1 << 20;

async fn small() -> (Socket, u16) {
    let socket = Socket::builder().max_frame_bytes(LIMIT).start().unwrap();
    each(&socket, |_: Received| {});
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    (socket, endpoint.port().unwrap())
}

/// A socket connected there that has sent a message at least once of twice the limit.
async fn sending_too_much(endpoint: &str) -> (Socket, Receipt) {
    let client = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .reconnect(Backoff::fixed(Duration::from_millis(20)))
        .start()
        .unwrap();
    client.connect(endpoint).await.unwrap();
    let large = client.send(vec![7; 2 * LIMIT as usize]).receipt().await;
    (client, large.unwrap())
}

#[actix::test]
async fn a_websocket_peer_whose_frame_is_above_the_limit_is_told_by_close_code_1009() {
    let (_socket, port) = small().await;
    let mut peer = WebPeer::introduced(([127, 0, 0, 1], port).into(), "/", [7; 16]).await;
    // Its length is enough: of the rest, little has come.
    let mut announced = (LIMIT + 1).to_be_bytes().to_vec();
    announced.push(DATA_REQ);
    peer.say(announced).await;
    assert_eq!(peer.expect_close().await, Some(1009));
}

#[actix::test]
async fn a_message_that_a_websocket_peer_closes_with_1009_for_is_found_out_and_what_is_behind_it_arrives()
 {
    let (socket, port) = small().await;
    let endpoint = format!("ws://127.0.0.1:{port}");
    let (client, large) = sending_too_much(&endpoint).await;
    let behind = client.send("behind it").acknowledged();
    within_patience("what is behind it", behind).await.unwrap();
    let outcome = within_patience("the receipt", large).await;
    assert_eq!(outcome, Err(ReceiptError::PeerCannotTake));
    let again = client.send(vec![7; 2 * LIMIT as usize]).acknowledged();
    let outcome = within_patience("the same again", again).await;
    let found = DeliveryError::Receipt(ReceiptError::PeerCannotTake);
    assert_eq!(outcome, Err(found));
    assert!(socket.stats().received >= 1);
}

#[actix::test]
async fn a_message_that_is_set_apart_goes_to_a_peer_that_joins_meanwhile() {
    let (_small, port) = small().await;
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let (client, large) = sending_too_much(&endpoint).await;
    // It has ended five connections, and waits until one has lasted without it.
    support::eventually("six connections", || client.stats().joins >= 6).await;
    let other = Socket::start().unwrap();
    each(&other, |_: Received| {});
    client
        .connect(other.bind("127.0.0.1:0").await.unwrap())
        .await
        .unwrap();
    let outcome = within_patience("the receipt", large).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(other.stats().received, 1);
}
