//! What each overflow policy does to each queue. Nothing is ever written, unless a test takes it.

use super::send_refusal::SendRefusal;
use crate::config::Config;
use crate::core::SocketCore;
use crate::link::Entry;
use crate::link::Link;
use crate::link::Target;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use super::tests::{core, join, leave, peer, poll};
use crate::error::{ReceiptError, SendError};
use crate::limits::DeliveryGuarantee;
use crate::limits::{Overflow, SendMode};
use crate::link::{CloseCause, NextWrite, WriteBatch};
use crate::socket::Sending;

type Sent = Poll<Result<(), SendError>>;

fn numbered(core: &Arc<SocketCore>, target: Target, number: u8) -> Sending<'_> {
    Sending::new(&core.router, target, Bytes::copy_from_slice(&[number]))
}

/// Sends these numbers, each of which is accepted at once, or after a writer had its turn.
fn accept(core: &Arc<SocketCore>, target: Target, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let mut sending = numbered(core, target, number);
        let sent = match poll(&mut sending) {
            Poll::Pending => poll(&mut sending),
            sent => sent,
        };
        assert!(matches!(sent, Poll::Ready(Ok(()))), "{number}: {sent:?}");
    }
}

fn refuses(core: &Arc<SocketCore>, target: Target) -> bool {
    let sent: Sent = poll(&mut numbered(core, target, 99));
    let waits_not = numbered(core, target, 99).try_now();
    assert_eq!(waits_not, Err(SendError::Full(Bytes::from_static(&[99]))));
    sent == Poll::Ready(waits_not)
}

fn held_by(link: &Link) -> Vec<u8> {
    let left = link.close(WriteBatch::default());
    let ring = left.unacknowledged.iter().map(|left| &left.entry);
    let all = ring.chain(&left.unsent);
    all.map(|entry| entry.payload[0]).collect()
}

/// For so many times so long that a peer that takes nothing counts as stalled.
fn stall(core: &Arc<SocketCore>, times: u32) {
    core.handle_sweep(Instant::now() + Duration::from_millis(1200) * times);
}

/// A link takes three messages, the outbox two.
fn bounded(link: Overflow, publish: Overflow, outbox: Overflow) -> impl FnOnce(&mut Config) {
    move |config| {
        config.limits.link_capacity.messages = 3;
        config.limits.outbox_capacity.messages = 2;
        (config.limits.link_overflow, config.limits.publish_overflow) = (link, publish);
        config.limits.outbox_overflow = outbox;
    }
}

fn links(policy: Overflow) -> Arc<SocketCore> {
    core(bounded(policy, Overflow::Wait, Overflow::Wait))
}

fn publishers(policy: Overflow) -> Arc<SocketCore> {
    core(|config| {
        bounded(Overflow::Wait, policy, Overflow::Wait)(config);
        config.send_mode = SendMode::Publish;
    })
}

fn outbox(policy: Overflow) -> Arc<SocketCore> {
    core(bounded(Overflow::Wait, Overflow::Wait, policy))
}

fn was_cut_off(link: &Link) -> bool {
    link.close_cause() == Some(CloseCause::Overflow)
}

#[test]
fn a_full_link_that_waits_keeps_its_sender_and_its_messages() {
    let core = links(Overflow::Wait);
    let link = join(&core, 1);
    accept(&core, Target::Mode, 1..=3);
    assert!(poll(&mut numbered(&core, Target::Mode, 4)).is_pending());
    assert!(numbered(&core, Target::Mode, 4).try_now().is_err());
    assert_eq!(held_by(&link), [1, 2, 3]);
    assert_eq!(core.stats().dead_letters, 0);
}

#[test]
fn a_full_link_that_fails_hands_the_payload_back() {
    let core = links(Overflow::Fail);
    let _link = join(&core, 1);
    accept(&core, Target::Mode, 1..=3);
    assert!(refuses(&core, Target::Mode));
    assert!(refuses(&core, Target::Peer(peer(1))));
    assert_eq!(core.stats().dead_letters, 0);
}

#[test]
fn a_full_link_that_drops_the_oldest_keeps_the_newest() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let core = links(Overflow::DropOldest);
        let link = join(&core, 1);
        accept(&core, target, 1..=9);
        assert_eq!(core.stats().losses.overflow, 6);
        assert!(numbered(&core, target, 10).try_now().is_ok());
        assert_eq!(held_by(&link), [8, 9, 10]);
    }
}

#[test]
fn a_full_link_that_drops_the_newest_keeps_the_oldest() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let core = links(Overflow::DropNewest);
        let link = join(&core, 1);
        accept(&core, target, 1..=9);
        assert_eq!(core.stats().losses.overflow, 6);
        assert_eq!(held_by(&link), [1, 2, 3]);
    }
}

#[test]
fn nothing_is_dropped_while_another_link_has_room() {
    let core = links(Overflow::DropOldest);
    let _full = join(&core, 1);
    accept(&core, Target::Peer(peer(1)), 1..=3);
    let _other = join(&core, 2);
    accept(&core, Target::Mode, 4..=6);
    assert_eq!(core.stats().dead_letters, 0);
    accept(&core, Target::Mode, [7]);
    assert_eq!(core.stats().losses.overflow, 1);
}

#[test]
fn what_the_writer_has_in_hand_is_never_dropped() {
    let core = links(Overflow::DropOldest);
    let link = join(&core, 1);
    accept(&core, Target::Mode, 1..=3);
    let mut batch = WriteBatch::default();
    let _ = link.next_write(&mut batch, Waker::noop());
    assert_eq!(batch.len(), 18);
    // They take all the room there is.
    accept(&core, Target::Mode, 4..=5);
    assert_eq!(core.stats().losses.overflow, 2);
    assert_eq!((batch.len(), link.load().frames), (18, 3));
    let left = link.close(batch).unsent;
    let order: Vec<u8> = left.iter().map(|entry| entry.payload[0]).collect();
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn an_at_least_once_message_that_is_dropped_fails_its_receipt() {
    let core = links(Overflow::DropOldest);
    let link = join(&core, 1);
    let mut receipts = Vec::new();
    for number in 1..=5 {
        let mut sending = Box::pin(numbered(&core, Target::Mode, number).receipt());
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
    let core = core(|config| {
        config.limits.unacknowledged_capacity.messages = 2;
        config.limits.link_overflow = Overflow::DropOldest;
    });
    let link = join(&core, 1);
    let sent = |number| {
        let sending = numbered(&core, Target::Mode, number);
        let mut sending = sending.guarantee(DeliveryGuarantee::AtLeastOnce);
        assert_eq!(poll(&mut sending), Poll::Ready(Ok(())));
    };
    (1..=2).for_each(sent);
    let mut batch = WriteBatch::default();
    let _ = link.next_write(&mut batch, Waker::noop());
    (3..=4).for_each(sent);
    assert_eq!(core.stats().losses.overflow, 2);
    let ring = link.close(batch).unacknowledged;
    let order: Vec<u8> = ring.iter().map(|left| left.entry.payload[0]).collect();
    assert_eq!(order, [1, 2]);
}

#[test]
fn a_full_link_that_disconnects_ends_one_connection_and_loses_nothing() {
    let core = links(Overflow::Disconnect);
    let (first, second) = (join(&core, 1), join(&core, 2));
    accept(&core, Target::Mode, 1..=7);
    let (cut, other) = match was_cut_off(&first) {
        true => (first, second),
        false => (second, first),
    };
    assert!(was_cut_off(&cut) && !was_cut_off(&other));
    leave(&core, &cut);
    let stats = core.stats();
    assert_eq!((stats.peers, stats.dead_letters), (1, 0));
    assert_eq!((stats.queued_messages, stats.outbox_messages), (3, 4));
}

#[test]
fn by_identity_too_a_full_link_that_disconnects_loses_nothing() {
    let core = links(Overflow::Disconnect);
    let link = join(&core, 1);
    accept(&core, Target::Peer(peer(1)), 1..=4);
    assert!(was_cut_off(&link));
    leave(&core, &link);
    let again = join(&core, 1);
    assert_eq!(held_by(&again), [1, 2, 3, 4]);
}

#[test]
fn a_publish_that_fails_reaches_nobody() {
    let core = publishers(Overflow::Fail);
    let (first, second) = (join(&core, 1), join(&core, 2));
    accept(&core, Target::Peer(peer(1)), 1..=3);
    assert!(refuses(&core, Target::Mode));
    assert_eq!(held_by(&first), [1, 2, 3]);
    assert!(held_by(&second).is_empty());
}

#[test]
fn a_publish_drops_for_the_full_link_alone() {
    for (policy, kept) in [
        (Overflow::DropOldest, [3, 4, 5]),
        (Overflow::DropNewest, [1, 2, 3]),
    ] {
        let core = publishers(policy);
        let (slow, other) = (join(&core, 1), join(&core, 2));
        let mut batch = WriteBatch::default();
        for number in 1..=5 {
            accept(&core, Target::Mode, [number]);
            core.router.flush_batch();
            let _ = other.next_write(&mut batch, Waker::noop());
        }
        assert_eq!(core.stats().losses.overflow, 2);
        assert_eq!(held_by(&slow), kept);
        assert_eq!(other.counts().sent, 4);
    }
}

#[test]
fn a_publish_that_disconnects_reaches_the_others() {
    let core = publishers(Overflow::Disconnect);
    let (slow, other) = (join(&core, 1), join(&core, 2));
    accept(&core, Target::Peer(peer(1)), 1..=3);
    accept(&core, Target::Mode, [4]);
    assert!(was_cut_off(&slow));
    assert_eq!(held_by(&other), [4]);
}

#[test]
fn a_publish_that_disconnects_lets_a_peer_take_what_has_waited_as_long_as_it_does() {
    let core = publishers(Overflow::Disconnect);
    accept(&core, Target::Mode, 1..=2);
    let link = join(&core, 1);
    accept(&core, Target::Mode, [3]);
    let mut waiting = numbered(&core, Target::Mode, 4);
    assert!(poll(&mut waiting).is_pending());
    assert!(!was_cut_off(&link));
    stall(&core, 1);
    assert_eq!(poll(&mut waiting), Poll::Ready(Ok(())));
    assert!(was_cut_off(&link));
}

#[test]
fn a_peer_that_never_reads_and_always_comes_back_is_not_given_more_each_time() {
    let target = |number: u8| [Target::Mode, Target::Peer(peer(1))][usize::from(number % 2)];
    let core = publishers(Overflow::Disconnect);
    for turn in 1..=10 {
        let link = join(&core, 1);
        stall(&core, turn);
        for number in 0..10 {
            let _ = poll(&mut numbered(&core, target(number), number));
        }
        assert!(was_cut_off(&link));
        leave(&core, &link);
        let stats = core.stats();
        // What the link takes, and what the outbox does.
        assert!(stats.outbox_messages <= 3 + 2, "{stats:?}");
    }
    assert_eq!(core.stats().dead_letters, 0);
}

#[test]
fn a_full_outbox_does_what_its_policy_says() {
    for target in [Target::Mode, Target::Peer(peer(1))] {
        let core = outbox(Overflow::Fail);
        accept(&core, target, 1..=2);
        assert!(refuses(&core, target));

        let core = outbox(Overflow::Wait);
        accept(&core, target, 1..=2);
        assert!(poll(&mut numbered(&core, target, 3)).is_pending());

        for (policy, kept) in [
            (Overflow::DropOldest, [4, 5]),
            (Overflow::DropNewest, [1, 2]),
        ] {
            let core = outbox(policy);
            accept(&core, target, 1..=5);
            assert_eq!(core.stats().losses.overflow, 3);
            assert_eq!(held_by(&join(&core, 1)), kept);
        }
    }
}

#[test]
fn an_outbox_that_is_full_of_messages_for_others_drops_the_new_one() {
    let core = outbox(Overflow::DropOldest);
    accept(&core, Target::Peer(peer(1)), 1..=2);
    accept(&core, Target::Mode, [3]);
    accept(&core, Target::Peer(peer(2)), [4]);
    assert_eq!(core.stats().losses.overflow, 2);
    assert_eq!(held_by(&join(&core, 1)), [1, 2]);
}

#[test]
fn replies_to_a_peer_that_is_gone_are_bounded_too() {
    let core = outbox(Overflow::Wait);
    let link = join(&core, 1);
    leave(&core, &link);
    let reply = || {
        let payload = Bytes::from_static(b"reply");
        let mut entry = Entry::new(
            Target::Peer(peer(1)),
            DeliveryGuarantee::AtMostOnce,
            payload,
        );
        core.router.reply(&link, &mut entry)
    };
    for _ in 0..16 {
        reply().unwrap();
    }
    assert!(matches!(reply(), Err(SendRefusal::HeldFull(_))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_time_gets_room_within_it_or_the_payload_back() {
    let patience = Duration::from_secs(3);
    let core = links(Overflow::WaitFor(patience));
    let link = join(&core, 1);
    accept(&core, Target::Mode, 1..=3);
    let begun = tokio::time::Instant::now();
    let refused = numbered(&core, Target::Mode, 4).await;
    assert_eq!(refused, Err(SendError::Full(Bytes::from_static(&[4]))));
    assert_eq!(begun.elapsed().as_secs(), 3);
    let drain = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut batch = WriteBatch::default();
        let _ = link.next_write(&mut batch, Waker::noop());
        let _ = link.next_write(&mut batch, Waker::noop());
        link.room.notify();
        core.router.note_room();
    };
    let (sent, ()) = tokio::join!(numbered(&core, Target::Mode, 5), drain);
    assert_eq!(sent, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_publish_waits_once_for_all_slow_peers_together() {
    let core = publishers(Overflow::WaitFor(Duration::from_secs(3)));
    let slow: Vec<_> = (1..=5).map(|number| join(&core, number)).collect();
    accept(&core, Target::Mode, 1..=3);
    let begun = tokio::time::Instant::now();
    for number in 4..=6 {
        numbered(&core, Target::Mode, number).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(core.stats().losses.overflow, 15);
    for link in slow {
        assert_eq!(held_by(&link), [4, 5, 6]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_for_all_is_dropped_one_by_one_for_a_peer_that_is_dropped_from() {
    let core = publishers(Overflow::WaitFor(Duration::from_secs(3)));
    let (slow, other) = (join(&core, 1), join(&core, 2));
    accept(&core, Target::Mode, 1..=3);
    core.router.flush_batch();
    let mut batch = WriteBatch::default();
    let mut gathered = 0;
    for number in 4..=9 {
        while other.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {}
        numbered(&core, Target::Mode, number).await.unwrap();
        numbered(&core, Target::Mode, number + 10).await.unwrap();
        gathered += usize::from(core.router.flush_batch());
    }
    assert_eq!(gathered, 6, "each time for the peer that is not slow");
    let lost = core.stats().losses.overflow;
    assert_eq!(held_by(&slow), [18, 9, 19]);
    assert_eq!(lost, 12);
    assert_eq!(held_by(&other), [9, 19]);
}

#[tokio::test(start_paused = true)]
async fn what_expires_while_it_waits_is_a_dead_letter() {
    let core = core(|config| config.limits.outbox_capacity.messages = 1);
    let in_the_outbox = numbered(&core, Target::Mode, 1);
    let ttl = Duration::from_millis(20);
    let receipt = in_the_outbox.time_to_live(ttl).receipt().await.unwrap();
    // The sweep, or the peer that comes too late, finds it.
    core.handle_sweep(Instant::now());
    assert_eq!(core.stats().outbox_messages, 1);
    core.handle_sweep(Instant::now() + 2 * ttl);
    assert_eq!(receipt.await, Err(ReceiptError::Expired));
    assert_eq!(core.stats().outbox_messages, 0);

    let stale = numbered(&core, Target::Mode, 2).time_to_live(Duration::ZERO);
    stale.await.unwrap();
    let mut in_line = numbered(&core, Target::Mode, 3).time_to_live(Duration::ZERO);
    assert_eq!(poll(&mut in_line), Poll::Ready(Ok(())));
    assert!(held_by(&join(&core, 1)).is_empty());
    assert_eq!(core.stats().losses.expired, 3);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_by_the_time_its_peer_leaves_is_a_dead_letter() {
    let core = core(|_| {});
    let link = join(&core, 1);
    accept(&core, Target::Mode, [1]);
    let ttl = Duration::from_secs(1);
    let mortal = numbered(&core, Target::Mode, 2).time_to_live(ttl);
    let receipt = mortal.receipt().await.unwrap();
    let other = join(&core, 2);
    tokio::time::advance(2 * ttl).await;
    leave(&core, &link);
    assert_eq!(core.stats().losses.expired, 1);
    assert_eq!(receipt.await, Err(ReceiptError::Expired));
    assert_eq!(held_by(&other), [1]);
}
