//! What each overflow policy does to each queue. Nothing is ever written, unless a test takes it.

use std::task::{Poll, Waker};

use super::tests::{exchange, join, leave, peer, poll};
use super::*;
use crate::config::{Overflow, SendMode};
use crate::error::{ReceiptError, SendError};
use crate::link::{Guarantee, Hand, NextWrite};
use crate::sending::Sending;

type Sent = Poll<Result<(), SendError>>;

fn numbered(exchange: &Exchange, target: Target, number: u8) -> Sending<'_> {
    Sending::new(exchange, target, Bytes::copy_from_slice(&[number]))
}

/// Sends these numbers, each of which is accepted at once, or after a writer had its turn.
fn accept(exchange: &Exchange, target: Target, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let mut sending = numbered(exchange, target, number);
        let sent = match poll(&mut sending) {
            Poll::Pending => poll(&mut sending),
            sent => sent,
        };
        assert!(matches!(sent, Poll::Ready(Ok(()))), "{number}: {sent:?}");
    }
}

fn refuses(exchange: &Exchange, target: Target) -> bool {
    let sent: Sent = poll(&mut numbered(exchange, target, 99));
    let waits_not = numbered(exchange, target, 99).try_now();
    assert_eq!(waits_not, Err(SendError::Full(Bytes::from_static(&[99]))));
    sent == Poll::Ready(waits_not)
}

fn held_by(link: &Link) -> Vec<u8> {
    let left = link.close(Hand::default());
    let all = left.unacknowledged.iter().chain(&left.unsent);
    all.map(|entry| entry.payload[0]).collect()
}

/// For so many times so long that a peer that takes nothing counts as stalled.
fn stall(exchange: &Exchange, times: u32) {
    exchange.handle_sweep(Instant::now() + Duration::from_millis(1200) * times);
}

/// A link takes three messages, the outbox two.
fn bounded(link: Overflow, publish: Overflow, outbox: Overflow) -> impl FnOnce(&mut Config) {
    move |config| {
        config.initial.link.messages = 3;
        config.initial.outbox.messages = 2;
        (
            config.initial.link_overflow,
            config.initial.publish_overflow,
        ) = (link, publish);
        config.initial.outbox_overflow = outbox;
    }
}

fn links(policy: Overflow) -> Arc<Exchange> {
    exchange(bounded(policy, Overflow::Wait, Overflow::Wait))
}

fn publishers(policy: Overflow) -> Arc<Exchange> {
    exchange(|config| {
        bounded(Overflow::Wait, policy, Overflow::Wait)(config);
        config.send_mode = SendMode::Publish;
    })
}

fn outbox(policy: Overflow) -> Arc<Exchange> {
    exchange(bounded(Overflow::Wait, Overflow::Wait, policy))
}

#[test]
fn a_full_link_that_waits_keeps_its_sender_and_its_messages() {
    let exchange = links(Overflow::Wait);
    let link = join(&exchange, 1);
    accept(&exchange, Target::Mode, 1..=3);
    assert!(poll(&mut numbered(&exchange, Target::Mode, 4)).is_pending());
    assert!(numbered(&exchange, Target::Mode, 4).try_now().is_err());
    assert_eq!(held_by(&link), [1, 2, 3]);
    assert_eq!(exchange.stats().dead_letters, 0);
}

#[test]
fn a_full_link_that_fails_hands_the_payload_back() {
    let exchange = links(Overflow::Fail);
    let _link = join(&exchange, 1);
    accept(&exchange, Target::Mode, 1..=3);
    assert!(refuses(&exchange, Target::Mode));
    assert!(refuses(&exchange, Target::Peer(peer(1))));
    assert_eq!(exchange.stats().dead_letters, 0);
}

#[test]
fn a_full_link_that_drops_the_oldest_keeps_the_newest() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let exchange = links(Overflow::DropOldest);
        let link = join(&exchange, 1);
        accept(&exchange, target, 1..=9);
        assert_eq!(exchange.stats().losses.overflow, 6);
        assert!(numbered(&exchange, target, 10).try_now().is_ok());
        assert_eq!(held_by(&link), [8, 9, 10]);
    }
}

#[test]
fn a_full_link_that_drops_the_newest_keeps_the_oldest() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let exchange = links(Overflow::DropNewest);
        let link = join(&exchange, 1);
        accept(&exchange, target, 1..=9);
        assert_eq!(exchange.stats().losses.overflow, 6);
        assert_eq!(held_by(&link), [1, 2, 3]);
    }
}

#[test]
fn nothing_is_dropped_while_another_link_has_room() {
    let exchange = links(Overflow::DropOldest);
    let _full = join(&exchange, 1);
    accept(&exchange, Target::Peer(peer(1)), 1..=3);
    let _other = join(&exchange, 2);
    accept(&exchange, Target::Mode, 4..=6);
    assert_eq!(exchange.stats().dead_letters, 0);
    accept(&exchange, Target::Mode, [7]);
    assert_eq!(exchange.stats().losses.overflow, 1);
}

#[test]
fn what_the_writer_has_in_hand_is_never_dropped() {
    let exchange = links(Overflow::DropOldest);
    let link = join(&exchange, 1);
    accept(&exchange, Target::Mode, 1..=3);
    let mut hand = Hand::default();
    let _ = link.next_write(&mut hand, Waker::noop());
    assert_eq!(hand.len(), 18);
    // They take all the room there is.
    accept(&exchange, Target::Mode, 4..=5);
    assert_eq!(exchange.stats().losses.overflow, 2);
    assert_eq!((hand.len(), link.load().frames), (18, 3));
    let left = link.close(hand).unsent;
    let order: Vec<u8> = left.iter().map(|entry| entry.payload[0]).collect();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn an_at_least_once_message_that_is_dropped_fails_its_receipt() {
    let exchange = links(Overflow::DropOldest);
    let link = join(&exchange, 1);
    let mut receipts = Vec::new();
    for number in 1..=5 {
        let mut sending = Box::pin(numbered(&exchange, Target::Mode, number).receipt());
        match poll(&mut sending) {
            Poll::Ready(Ok(receipt)) => receipts.push(receipt),
            other => panic!("{other:?}"),
        }
    }
    let outcomes: Vec<_> = receipts.iter_mut().map(poll).collect();
    assert_eq!(outcomes[0], Poll::Ready(Err(ReceiptError::Overflow)));
    assert_eq!(outcomes[1], Poll::Ready(Err(ReceiptError::Overflow)));
    assert!(outcomes[2..].iter().all(Poll::is_pending));
    assert_eq!(link.load().unacknowledged, 3);
    assert_eq!(held_by(&link), [3, 4, 5]);
}

#[test]
fn an_at_least_once_message_that_is_on_its_way_is_not_dropped_for_another() {
    let exchange = exchange(|config| {
        config.initial.unacknowledged.messages = 2;
        config.initial.link_overflow = Overflow::DropOldest;
    });
    let link = join(&exchange, 1);
    let sent = |number| {
        let sending = numbered(&exchange, Target::Mode, number);
        let mut sending = sending.guarantee(crate::DeliveryGuarantee::AtLeastOnce);
        assert_eq!(poll(&mut sending), Poll::Ready(Ok(())));
    };
    (1..=2).for_each(sent);
    let mut hand = Hand::default();
    let _ = link.next_write(&mut hand, Waker::noop());
    (3..=4).for_each(sent);
    assert_eq!(exchange.stats().losses.overflow, 2);
    let ring = link.close(hand).unacknowledged;
    let order: Vec<u8> = ring.iter().map(|entry| entry.payload[0]).collect();
    assert_eq!(order, [1, 2]);
}

#[test]
fn a_full_link_that_disconnects_ends_one_connection_and_loses_nothing() {
    let exchange = links(Overflow::Disconnect);
    let (first, second) = (join(&exchange, 1), join(&exchange, 2));
    accept(&exchange, Target::Mode, 1..=7);
    let (cut, other) = match first.was_cut_off() {
        true => (first, second),
        false => (second, first),
    };
    assert!(cut.was_cut_off() && !other.was_cut_off());
    leave(&exchange, &cut);
    let stats = exchange.stats();
    assert_eq!((stats.peers, stats.dead_letters), (1, 0));
    assert_eq!((stats.queued_messages, stats.outbox_messages), (3, 4));
}

#[test]
fn by_identity_too_a_full_link_that_disconnects_loses_nothing() {
    let exchange = links(Overflow::Disconnect);
    let link = join(&exchange, 1);
    accept(&exchange, Target::Peer(peer(1)), 1..=4);
    assert!(link.was_cut_off());
    leave(&exchange, &link);
    let again = join(&exchange, 1);
    assert_eq!(held_by(&again), [1, 2, 3, 4]);
}

#[test]
fn a_publish_that_fails_reaches_nobody() {
    let exchange = publishers(Overflow::Fail);
    let (first, second) = (join(&exchange, 1), join(&exchange, 2));
    accept(&exchange, Target::Peer(peer(1)), 1..=3);
    assert!(refuses(&exchange, Target::Mode));
    assert_eq!(held_by(&first), [1, 2, 3]);
    assert!(held_by(&second).is_empty());
}

#[test]
fn a_publish_drops_for_the_full_link_alone() {
    for (policy, kept) in [
        (Overflow::DropOldest, [3, 4, 5]),
        (Overflow::DropNewest, [1, 2, 3]),
    ] {
        let exchange = publishers(policy);
        let (slow, other) = (join(&exchange, 1), join(&exchange, 2));
        let mut hand = Hand::default();
        for number in 1..=5 {
            accept(&exchange, Target::Mode, [number]);
            exchange.hand_out_batch();
            let _ = other.next_write(&mut hand, Waker::noop());
        }
        assert_eq!(exchange.stats().losses.overflow, 2);
        assert_eq!(held_by(&slow), kept);
        assert_eq!(other.counts().sent, 4);
    }
}

#[test]
fn a_publish_that_disconnects_reaches_the_others() {
    let exchange = publishers(Overflow::Disconnect);
    let (slow, other) = (join(&exchange, 1), join(&exchange, 2));
    accept(&exchange, Target::Peer(peer(1)), 1..=3);
    accept(&exchange, Target::Mode, [4]);
    assert!(slow.was_cut_off());
    assert_eq!(held_by(&other), [4]);
}

#[test]
fn a_publish_that_disconnects_lets_a_peer_take_what_has_waited_as_long_as_it_does() {
    let exchange = publishers(Overflow::Disconnect);
    accept(&exchange, Target::Mode, 1..=2);
    let link = join(&exchange, 1);
    accept(&exchange, Target::Mode, [3]);
    let mut waiting = numbered(&exchange, Target::Mode, 4);
    assert!(poll(&mut waiting).is_pending());
    assert!(!link.was_cut_off());
    stall(&exchange, 1);
    assert_eq!(poll(&mut waiting), Poll::Ready(Ok(())));
    assert!(link.was_cut_off());
}

#[test]
fn a_peer_that_never_reads_and_always_comes_back_is_not_given_more_each_time() {
    let target = |number: u8| [Target::Mode, Target::Peer(peer(1))][usize::from(number % 2)];
    let exchange = publishers(Overflow::Disconnect);
    for turn in 1..=10 {
        let link = join(&exchange, 1);
        stall(&exchange, turn);
        for number in 0..10 {
            let _ = poll(&mut numbered(&exchange, target(number), number));
        }
        assert!(link.was_cut_off());
        leave(&exchange, &link);
        let stats = exchange.stats();
        // What the link takes, and what the outbox does.
        assert!(stats.outbox_messages <= 3 + 2, "{stats:?}");
    }
    assert_eq!(exchange.stats().dead_letters, 0);
}

#[test]
fn a_full_outbox_does_what_its_policy_says() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let exchange = outbox(Overflow::Fail);
        accept(&exchange, target, 1..=2);
        assert!(refuses(&exchange, target));

        let exchange = outbox(Overflow::Wait);
        accept(&exchange, target, 1..=2);
        assert!(poll(&mut numbered(&exchange, target, 3)).is_pending());

        for (policy, kept) in [
            (Overflow::DropOldest, [4, 5]),
            (Overflow::DropNewest, [1, 2]),
        ] {
            let exchange = outbox(policy);
            accept(&exchange, target, 1..=5);
            assert_eq!(exchange.stats().losses.overflow, 3);
            assert_eq!(held_by(&join(&exchange, 1)), kept);
        }
    }
}

#[test]
fn an_outbox_that_is_full_of_messages_for_others_drops_the_new_one() {
    let exchange = outbox(Overflow::DropOldest);
    accept(&exchange, Target::Peer(peer(1)), 1..=2);
    accept(&exchange, Target::Mode, [3]);
    accept(&exchange, Target::Peer(peer(2)), [4]);
    assert_eq!(exchange.stats().losses.overflow, 2);
    assert_eq!(held_by(&join(&exchange, 1)), [1, 2]);
}

#[test]
fn replies_to_a_peer_that_is_gone_are_bounded_too() {
    let exchange = outbox(Overflow::Wait);
    let link = join(&exchange, 1);
    leave(&exchange, &link);
    let reply = || {
        let payload = Bytes::from_static(b"reply");
        let mut entry = Entry::new(Target::Peer(peer(1)), Guarantee::AtMostOnce, payload);
        exchange.reply(&link, &mut entry)
    };
    for _ in 0..16 {
        reply().unwrap();
    }
    assert!(matches!(reply(), Err(NotTaken::HeldFull(_))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_time_gets_room_within_it_or_the_payload_back() {
    let patience = Duration::from_secs(3);
    let exchange = links(Overflow::WaitFor(patience));
    let link = join(&exchange, 1);
    accept(&exchange, Target::Mode, 1..=3);
    let begun = tokio::time::Instant::now();
    let refused = numbered(&exchange, Target::Mode, 4).await;
    assert_eq!(refused, Err(SendError::Full(Bytes::from_static(&[4]))));
    assert_eq!(begun.elapsed().as_secs(), 3);
    let drain = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut hand = Hand::default();
        let _ = link.next_write(&mut hand, Waker::noop());
        let _ = link.next_write(&mut hand, Waker::noop());
        link.room.notify();
        exchange.note_room();
    };
    let (sent, ()) = tokio::join!(numbered(&exchange, Target::Mode, 5), drain);
    assert_eq!(sent, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_publish_waits_once_for_all_slow_peers_together() {
    let exchange = publishers(Overflow::WaitFor(Duration::from_secs(3)));
    let slow: Vec<_> = (1..=5).map(|number| join(&exchange, number)).collect();
    accept(&exchange, Target::Mode, 1..=3);
    let begun = tokio::time::Instant::now();
    for number in 4..=6 {
        numbered(&exchange, Target::Mode, number).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(exchange.stats().losses.overflow, 15);
    for link in slow {
        assert_eq!(held_by(&link), [4, 5, 6]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_for_all_is_dropped_one_by_one_for_a_peer_that_is_dropped_from() {
    let exchange = publishers(Overflow::WaitFor(Duration::from_secs(3)));
    let (slow, other) = (join(&exchange, 1), join(&exchange, 2));
    accept(&exchange, Target::Mode, 1..=3);
    exchange.hand_out_batch();
    let mut hand = Hand::default();
    let mut gathered = 0;
    for number in 4..=9 {
        while other.next_write(&mut hand, Waker::noop()).0 == NextWrite::Write {}
        numbered(&exchange, Target::Mode, number).await.unwrap();
        numbered(&exchange, Target::Mode, number + 10)
            .await
            .unwrap();
        gathered += usize::from(exchange.hand_out_batch());
    }
    assert_eq!(gathered, 6, "each time for the peer that is not slow");
    let lost = exchange.stats().losses.overflow;
    assert_eq!(held_by(&slow), [18, 9, 19]);
    assert_eq!(lost, 12);
    assert_eq!(held_by(&other), [9, 19]);
}

#[tokio::test(start_paused = true)]
async fn what_expires_while_it_waits_is_a_dead_letter() {
    let exchange = exchange(|config| config.initial.outbox.messages = 1);
    let in_the_outbox = numbered(&exchange, Target::Mode, 1);
    let ttl = Duration::from_millis(20);
    let receipt = in_the_outbox.time_to_live(ttl).receipt().await.unwrap();
    // The sweep, or the peer that comes too late, finds it.
    exchange.handle_sweep(Instant::now());
    assert_eq!(exchange.stats().outbox_messages, 1);
    exchange.handle_sweep(Instant::now() + 2 * ttl);
    assert_eq!(receipt.await, Err(ReceiptError::Expired));
    assert_eq!(exchange.stats().outbox_messages, 0);

    let stale = numbered(&exchange, Target::Mode, 2).time_to_live(Duration::ZERO);
    stale.await.unwrap();
    let mut in_line = numbered(&exchange, Target::Mode, 3).time_to_live(Duration::ZERO);
    assert_eq!(poll(&mut in_line), Poll::Ready(Ok(())));
    assert!(held_by(&join(&exchange, 1)).is_empty());
    assert_eq!(exchange.stats().losses.expired, 3);
}
