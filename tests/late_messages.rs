//! What comes while a socket closes: nobody handles it, and it is accounted for.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::stats::CloseReport;
use actix_aiomsg::testing::Probe;
use support::each::each;
use support::raw_peer::RawPeer;
use support::{aside, eventually};

const PEER: [u8; 16] = [1; 16];

/// A socket of which each message is handled at once, and what it announces as lost.
async fn server(subscriptions: usize) -> (Socket, SocketAddr, Probe<DeadLetter>) {
    let (recipient, dead) = Probe::<DeadLetter>::recipient();
    let socket = Socket::builder().on_dead_letter(recipient).start().unwrap();
    for _ in 0..subscriptions {
        each(&socket, |_| {});
    }
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    (socket, ([127, 0, 0, 1], port).into(), dead)
}

/// Says so many messages at most once, and two at least once.
fn say(peer: &mut RawPeer, messages: u8) {
    (0..messages).for_each(|number| peer.data(&[number; 100]));
    (0..2).for_each(|number| peer.data_req([number; 16], b"again"));
}

async fn are_dead_letters(dead: &mut Probe<DeadLetter>, messages: u8) {
    for number in 0..messages {
        let letter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Closed);
        assert_eq!(letter.payload, [number; 100][..]);
    }
}

/// Of ten messages three were handled, five came too late, and two will be sent again.
fn tells_all_apart(report: CloseReport) {
    let CloseReport {
        handled,
        unfinished,
        unhandled,
        returned,
        ..
    } = report;
    assert_eq!(
        (handled, unfinished, unhandled, returned),
        (3, 0, 5, 2),
        "{report:?}"
    );
}

/// A server that has handled three messages of a peer, and what it tells of dead letters.
async fn three_are_handled(subscriptions: usize) -> (Socket, RawPeer, Probe<DeadLetter>) {
    let (server, address, dead) = server(subscriptions).await;
    let mut peer = aside(move || RawPeer::introduced(address, PEER)).await;
    (0..3).for_each(|_| peer.data(b"in time"));
    eventually("them to be handled", || {
        let stats = server.stats();
        (stats.received, stats.inbox_messages) == (3, 0)
    })
    .await;
    (server, peer, dead)
}

async fn what_comes_behind_our_end_is_lost_and_counted(subscriptions: usize) {
    let (server, mut peer, mut dead) = three_are_handled(subscriptions).await;
    let closing = actix::spawn(async move {
        let report = server.close_within(Duration::ZERO).await;
        (report, server.stats())
    });
    aside(move || {
        // We have ended our side, and still read.
        peer.expect_end();
        say(&mut peer, 5);
        peer.finish();
    })
    .await;
    let (report, stats) = closing.await.unwrap();
    tells_all_apart(report);
    assert_eq!((stats.received, stats.losses.closed), (10, 5));
    are_dead_letters(&mut dead, 5).await;
}

#[actix::test]
async fn what_comes_behind_the_end_of_our_side_is_a_dead_letter_and_is_not_handled() {
    what_comes_behind_our_end_is_lost_and_counted(1).await;
}

#[actix::test]
async fn of_two_subscriptions_too_each_message_that_comes_too_late_counts_once() {
    what_comes_behind_our_end_is_lost_and_counted(2).await;
}

async fn what_comes_to_closed_inboxes_is_lost_and_counted(subscriptions: usize) {
    let (server, mut peer, mut dead) = three_are_handled(subscriptions).await;
    // It waits for an acknowledgement that does not come before the peer has spoken.
    let sending = server
        .send("acknowledge this")
        .guarantee(DeliveryGuarantee::AtLeastOnce);
    sending.await.unwrap();
    let (id, mut peer) = aside(move || (peer.expect_data_req().0, peer)).await;
    let patient = server.clone();
    let closing = actix::spawn(async move { patient.close().await });
    eventually("it to be closing", || server.try_send("too late").is_err()).await;
    say(&mut peer, 5);
    eventually("all to be received", || server.stats().received == 10).await;
    assert_eq!(server.stats().peers, 1, "the connection stands");
    peer.frame(support::raw_peer::ACK, &id);
    aside(move || {
        peer.expect_end();
        peer.finish();
    })
    .await;
    let report = closing.await.unwrap();
    tells_all_apart(report);
    assert_eq!((report.acknowledged, report.unacknowledged), (1, 0));
    assert_eq!(server.stats().losses.closed, 5);
    are_dead_letters(&mut dead, 5).await;
}

#[actix::test]
async fn what_comes_to_the_inbox_of_a_closing_socket_is_a_dead_letter_and_is_not_handled() {
    what_comes_to_closed_inboxes_is_lost_and_counted(1).await;
}

#[actix::test]
async fn what_comes_to_two_inboxes_of_a_closing_socket_counts_once() {
    what_comes_to_closed_inboxes_is_lost_and_counted(2).await;
}

#[actix::test]
async fn what_comes_to_a_closing_socket_without_a_subscription_counts_too() {
    let (server, address, mut dead) = server(0).await;
    let mut peer = aside(move || RawPeer::introduced(address, PEER)).await;
    say(&mut peer, 2);
    eventually("all to be received", || server.stats().received == 4).await;
    let report = server.close_within(Duration::ZERO).await;
    assert_eq!(
        (report.handled, report.unhandled, report.returned),
        (0, 2, 2),
        "{report:?}"
    );
    are_dead_letters(&mut dead, 2).await;
}
