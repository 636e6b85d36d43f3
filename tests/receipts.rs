//! Whose acknowledgement counts, what waiting costs, and what a close leaves to be read.

mod support;

use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use support::host::Host;
use support::raw_peer::{ACK, DATA, RawPeer};
use support::{aside, eventually, within_patience};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

fn reliable() -> SocketBuilder {
    Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
}

async fn introduced(address: SocketAddr, identity: [u8; 16]) -> RawPeer {
    aside(move || RawPeer::introduced(address, identity)).await
}

#[actix::test]
async fn an_acknowledgement_counts_only_from_the_peer_that_got_the_message() {
    let mut host = Host::alone(reliable()).await;
    let first = introduced(host.address, FIRST).await;
    let second = introduced(host.address, SECOND).await;
    let receipt = host.socket.send_to(FIRST.into(), "for the first").receipt();
    let mut receipt = std::pin::pin!(receipt.await.unwrap());
    let (mut first, id, second) = aside(move || {
        let (mut first, mut second) = (first, second);
        let (id, _) = first.expect_data_req();
        second.frame(ACK, &id);
        second.data(b"I have acknowledged it");
        (first, id, second)
    })
    .await;
    assert_eq!(host.message().await, "I have acknowledged it");
    assert_eq!(host.socket.stats().unacknowledged, 1);
    std::future::poll_fn(|cx| {
        assert!(receipt.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    first.frame(ACK, &id);
    within_patience("the receipt", receipt).await.unwrap();
    drop(second);
}

#[actix::test]
async fn a_message_that_the_peer_refuses_fails_its_receipt_though_its_acknowledgement_follows() {
    let host = Host::alone(reliable()).await;
    let peer = introduced(host.address, FIRST).await;
    let receipts = [
        host.socket.send("bad").receipt(),
        host.socket.send("good").receipt(),
    ];
    let receipts = futures_util::future::try_join_all(receipts.map(IntoFuture::into_future));
    let receipts = receipts.await.unwrap();
    let peer = aside(move || {
        let mut peer = peer;
        for text in [&b"bad"[..], b"good"] {
            let (id, payload) = peer.expect_data_req();
            assert_eq!(payload, text);
            if payload == b"bad" {
                peer.frame(0xC2, &[&[1][..], &id, b"\x02\x02no"].concat());
            }
            peer.frame(ACK, &id);
        }
        peer
    })
    .await;
    let outcomes = futures_util::future::join_all(receipts);
    let outcomes = within_patience("the receipts", outcomes).await;
    assert_eq!(outcomes, [Err(ReceiptError::Rejected), Ok(())]);
    let stats = host.socket.stats();
    assert_eq!((stats.unacknowledged, stats.resent), (0, 0));
    drop(peer);
}

#[actix::test]
async fn a_send_that_waits_for_room_is_not_polled_until_there_is_some() {
    let host = Host::alone(Socket::builder()).await;
    let peer = introduced(host.address, FIRST).await;
    let payload = Bytes::from(vec![1; 32 * 1024]);
    let mut in_vain = 0;
    while in_vain < 100 {
        match host.socket.try_send(payload.clone()) {
            Ok(()) => in_vain = 0,
            Err(_) => {
                in_vain += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    let mut polls = 0;
    let mut sending = std::pin::pin!(host.socket.send(payload).into_future());
    let counted = std::future::poll_fn(|cx| {
        polls += 1;
        sending.as_mut().poll(cx)
    });
    let waited = tokio::time::timeout(Duration::from_millis(1_200), counted).await;
    assert!(waited.is_err(), "the peer reads nothing");
    // Sweeps of the socket may have a look.
    assert!(polls <= 10, "it was polled {polls} times");
    let reading = actix::spawn(aside(move || {
        let mut peer = peer;
        peer.expect_data();
        let mut count = 1;
        while let Some(frame) = peer.read().expect("a clean end") {
            count += usize::from(frame.kind == DATA);
        }
        count
    }));
    within_patience("room", sending).await.unwrap();
    host.socket.close().await;
    assert_eq!(reading.await.unwrap() as u64, host.socket.stats().sent);
}

#[actix::test]
async fn what_was_written_last_arrives_although_the_peer_had_sent_what_nobody_read() {
    let socket = Socket::builder().inbox_capacity(4, 1024).start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().unwrap()));
    let mut peer = introduced(address, FIRST).await;
    // Nobody subscribes: most of this stays in the kernel.
    for _ in 0..100 {
        peer.data(&[7; 1024]);
    }
    eventually("the inbox to be full", || socket.stats().inbox_messages > 0).await;
    socket.send("the last word").await.unwrap();
    socket.close().await;
    let heard = aside(move || {
        let heard = peer.expect_data();
        peer.finish();
        peer.expect_end();
        heard
    })
    .await;
    assert_eq!(heard, b"the last word");
}

#[actix::test]
async fn a_time_to_live_ends_the_wait_for_room_too() {
    let host = Host::alone(reliable().link_capacity(4, 1 << 20)).await;
    let peer = introduced(host.address, FIRST).await;
    for _ in 0..4 {
        host.socket.send("unacknowledged").await.unwrap();
    }
    let sending = host.socket.send("too late");
    let sending = sending
        .time_to_live(Duration::from_millis(50))
        .acknowledged();
    let late = within_patience("its end", sending).await.unwrap_err();
    let expired = DeliveryError::Receipt(ReceiptError::Expired);
    assert_eq!(late.to_string(), expired.to_string());
    drop(peer);
}

#[actix::test]
async fn a_time_to_live_ends_also_while_other_messages_wait_to_be_written() {
    let host = Host::alone(reliable()).await;
    let peer = introduced(host.address, FIRST).await;
    let mortal = host
        .socket
        .send("mortal")
        .time_to_live(Duration::from_millis(50));
    let receipt = mortal.receipt().await.unwrap();
    // More than the kernel takes for a peer that reads nothing.
    let large = Bytes::from(vec![0; 1024 * 1024]);
    for _ in 0..16 {
        let sending = host.socket.try_send(large.clone());
        if sending.is_err() {
            break;
        }
    }
    let end = within_patience("its end", receipt).await;
    assert_eq!(end, Err(ReceiptError::Expired));
    drop(peer);
}
