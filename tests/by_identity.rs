//! Messages for one peer, whatever the send mode: where they wait while it is away, and that nobody else
//! gets them.

mod support;

use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    AbsentPeer,
    error::{ReceiptError, SendError},
};
use support::host::Host;
use support::raw_peer::{ACK, RawPeer};
use support::{aside, eventually, within_patience};

const ADDRESSEE: [u8; 16] = [5; 16];
const OTHER: [u8; 16] = [6; 16];
/// Long enough to notice what must not come, and never what a test waits for.
const WHILE: Duration = Duration::from_millis(100);

fn addressee() -> Identity {
    Identity::from_bytes(ADDRESSEE)
}

async fn introduced(host: &Host, identity: [u8; 16]) -> RawPeer {
    let address = host.address;
    let before = host.socket.stats().peers;
    let peer = aside(move || RawPeer::introduced(address, identity)).await;
    eventually("it to be up", || host.socket.stats().peers == before + 1).await;
    peer
}

/// Ends a connection, and waits until the socket has noticed.
async fn leaves(host: &Host, peer: RawPeer) {
    let before = host.socket.stats().peers;
    peer.reset();
    eventually("it to be gone", || host.socket.stats().peers == before - 1).await;
}

#[actix::test]
async fn what_is_for_somebody_never_seen_waits_in_the_outbox_while_nobody_is_connected() {
    let host = Host::alone(Socket::builder()).await;
    for text in ["one", "two"] {
        host.socket.send_to(addressee(), text).await.unwrap();
    }
    assert_eq!(host.socket.stats().outbox_messages, 2);
    let mut other = introduced(&host, OTHER).await;
    let mut peer = introduced(&host, ADDRESSEE).await;
    aside(move || {
        assert_eq!(peer.expect_data(), b"one");
        assert_eq!(peer.expect_data(), b"two");
        assert!(other.is_silent_for(WHILE));
    })
    .await;
}

#[actix::test]
async fn what_is_for_somebody_never_seen_comes_back_while_others_are_connected() {
    let host = Host::alone(Socket::builder()).await;
    let _other = introduced(&host, OTHER).await;
    let expected = SendError::UnknownPeer {
        peer: addressee(),
        payload: "for nobody".into(),
    };
    let sent = host.socket.send_to(addressee(), "for nobody").await;
    assert_eq!(sent.unwrap_err(), expected);
    let receipt = host.socket.send_to(addressee(), "for nobody").receipt();
    assert_eq!(receipt.await.unwrap_err(), expected);
    assert_eq!(host.socket.stats().dead_letters, 0, "it was not accepted");
}

#[actix::test]
async fn what_is_for_a_peer_that_went_away_waits_for_it_in_order() {
    let host = Host::alone(Socket::builder()).await;
    let mut other = introduced(&host, OTHER).await;
    let peer = introduced(&host, ADDRESSEE).await;
    leaves(&host, peer).await;
    for number in 0..100 {
        let text = number.to_string();
        host.socket.send_to(addressee(), text).await.unwrap();
    }
    let mut peer = introduced(&host, ADDRESSEE).await;
    aside(move || {
        for number in 0..100 {
            assert_eq!(peer.expect_data(), number.to_string().as_bytes());
        }
        assert!(other.is_silent_for(WHILE));
    })
    .await;
}

#[actix::test]
async fn what_a_peer_has_not_acknowledged_is_sent_again_to_it_alone_and_under_its_id() {
    let builder = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let host = Host::alone(builder).await;
    let mut other = introduced(&host, OTHER).await;
    let mut peer = introduced(&host, ADDRESSEE).await;
    let sending = host.socket.send_to(addressee(), "precious");
    let receipt = sending.receipt().await.unwrap();
    let (peer, first) = aside(move || {
        let first = peer.expect_data_req();
        (peer, first)
    })
    .await;
    leaves(&host, peer).await;
    let other = aside(move || {
        assert!(other.is_silent_for(WHILE));
        other
    })
    .await;
    let mut peer = introduced(&host, ADDRESSEE).await;
    let peer = aside(move || {
        assert_eq!(peer.expect_data_req(), first);
        peer.frame(ACK, &first.0);
        peer
    })
    .await;
    within_patience("the receipt", receipt).await.unwrap();
    drop((peer, other));
}

#[actix::test]
async fn what_is_for_a_peer_that_went_away_is_a_dead_letter_at_once_by_choice() {
    let (recipient, mut letters) = Probe::recipient();
    let builder = Socket::builder()
        .absent_peer(AbsentPeer::DeadLetter)
        .on_dead_letter(recipient);
    let host = Host::alone(builder).await;
    let _other = introduced(&host, OTHER).await;
    let peer = introduced(&host, ADDRESSEE).await;
    leaves(&host, peer).await;
    let sending = host.socket.send_to(addressee(), "too late");
    let receipt = sending.receipt().await.unwrap();
    let letter: DeadLetter = letters.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::PeerGone);
    assert_eq!(letter.peer, Some(addressee()));
    assert_eq!(letter.payload, "too late");
    let outcome = within_patience("the receipt", receipt).await;
    assert_eq!(outcome, Err(ReceiptError::PeerGone));
    assert_eq!(host.socket.stats().dead_letters, 1, "it is announced once");
}
