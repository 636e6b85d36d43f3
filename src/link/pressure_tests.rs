use std::task::Waker;

use bytes::Bytes;

use super::super::{BLOCK_BYTES, Bound, Entry, LinkLimits, NextWrite, Refused, Target, WriteBatch};
use super::*;
use crate::id::Identity;
use crate::limits::DeliveryGuarantee;

const FRAMES: usize = 100;
const BYTES: usize = 10_000;

fn link() -> Link {
    let limits = LinkLimits {
        largest_payload: 1 << 20,
        ..LinkLimits::of(FRAMES, BYTES)
    };
    let peer = Identity::from_bytes([7; 16]);
    Link::without_socket(peer, 1, limits)
}

fn reply(link: &Link, bytes: usize, guarantee: DeliveryGuarantee) -> Result<(), Refused> {
    let peer = Target::Peer(link.peer());
    let mut entry = Entry::new(peer, guarantee, Bytes::from(vec![0; bytes]));
    link.push(&mut entry, Bound::Reply)
}

/// Replies that are taken until the peer is not read from any more.
fn answered(link: &Link, bytes: usize, guarantee: DeliveryGuarantee) -> usize {
    let taken = (0..8 * FRAMES)
        .take_while(|_| !link.owes_too_much() && reply(link, bytes, guarantee).is_ok())
        .count();
    assert!(link.is_in_debt());
    taken
}

#[test]
fn a_flood_of_questions_with_empty_answers_is_read_to_twice_the_frames_of_the_bound() {
    let link = link();
    assert_eq!(
        answered(&link, 0, DeliveryGuarantee::AtMostOnce),
        2 * FRAMES + 1
    );
}

#[test]
fn a_flood_of_questions_with_large_answers_is_read_to_twice_the_bytes_of_the_bound() {
    let link = link();
    // With their headers, ten are exactly the bound.
    assert_eq!(answered(&link, 995, DeliveryGuarantee::AtMostOnce), 21);
}

#[test]
fn the_header_of_an_answer_that_wants_an_acknowledgement_counts() {
    let link = link();
    // Two hundred bytes each, of which 21 are header.
    assert_eq!(answered(&link, 179, DeliveryGuarantee::AtLeastOnce), 101);
}

#[test]
fn who_reads_its_answers_and_acknowledges_none_is_read_from_until_they_are_refused() {
    let link = link();
    let mut batch = WriteBatch::default();
    let taken = (0..)
        .take_while(|_| {
            let taken = reply(&link, 0, DeliveryGuarantee::AtLeastOnce).is_ok();
            while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {}
            // Its acknowledgements are in its stream.
            assert!(!link.owes_too_much() && !link.is_in_debt());
            taken
        })
        .count();
    assert_eq!(taken, 8 * FRAMES);
}

#[test]
fn what_others_sent_is_not_held_against_the_peer() {
    let link = link();
    for _ in 0..4 * FRAMES {
        let data = Bytes::from_static(b"not an answer");
        let mut entry = Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, data);
        link.push(&mut entry, Bound::Unlimited).unwrap();
    }
    assert!(!link.owes_too_much());
}

#[test]
fn a_peer_that_reads_its_answers_is_read_from_again() {
    let link = link();
    answered(&link, 0, DeliveryGuarantee::AtMostOnce);
    assert!(link.owes_too_much() && link.is_in_debt());
    let mut batch = WriteBatch::default();
    while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {}
    assert!(!link.owes_too_much() && !link.is_in_debt());
}

fn link_with(waited: usize) -> Link {
    let limits = LinkLimits {
        largest_payload: 64,
        ..LinkLimits::of(4, 1024)
    };
    let peer = Identity::from_bytes([7; 16]);
    let link = Link::without_socket(peer, 1, limits);
    for _ in 0..waited {
        let payload = Bytes::from_static(b"waited");
        let mut entry = Entry::new(Target::Peer(peer), DeliveryGuarantee::AtMostOnce, payload);
        link.push(&mut entry, Bound::Unlimited).unwrap();
    }
    link.start_catching_up(Uptime::from_secs(1));
    link
}

#[test]
fn a_peer_for_which_much_has_waited_has_time_to_take_it() {
    let link = link_with(9);
    assert_ne!(link.backlog(Uptime::from_secs(2)), Backlog::None);
    assert!(!link.watch_backlog(Uptime::from_millis(1900)));
    assert_eq!(link.backlog(Uptime::from_secs(11)), Backlog::None);
    assert!(link.watch_backlog(Uptime::from_secs(11)));
    assert!(!link.watch_backlog(Uptime::from_secs(12)), "once");
}

#[test]
fn a_peer_takes_what_has_waited_as_long_as_something_is_written() {
    let link = link_with(9);
    // The large one fills the first block.
    for length in [BLOCK_BYTES, 1] {
        let payload = Bytes::from(vec![0; length]);
        let mut entry = Entry::new(
            Target::Peer(link.peer()),
            DeliveryGuarantee::AtMostOnce,
            payload,
        );
        link.push(&mut entry, Bound::Unlimited).unwrap();
    }
    assert_eq!(link.backlog(Uptime::from_millis(1900)), Backlog::Taken);
    let mut batch = WriteBatch::default();
    for _ in 0..2 {
        assert_eq!(
            link.next_write(&mut batch, Waker::noop()).0,
            NextWrite::Write
        );
    }
    // The first block is written by now.
    assert!(!link.watch_backlog(Uptime::from_millis(1900)));
    assert_eq!(link.backlog(Uptime::from_millis(2800)), Backlog::Taken);
    assert!(link.watch_backlog(Uptime::from_millis(2900)));
    assert_eq!(link.backlog(Uptime::from_millis(2900)), Backlog::Stalled);
    assert_ne!(link.backlog(Uptime::from_millis(2900)), Backlog::None);
}

#[test]
fn a_peer_that_has_taken_it_is_one_like_any_other() {
    let link = link_with(9);
    let mut batch = WriteBatch::default();
    while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {}
    assert_eq!(link.backlog(Uptime::from_secs(2)), Backlog::None);
    assert!(link.watch_backlog(Uptime::from_secs(2)));
    let other = link_with(0);
    assert_eq!(other.backlog(Uptime::from_secs(2)), Backlog::None);
    assert!(!other.watch_backlog(Uptime::from_secs(20)));
}
