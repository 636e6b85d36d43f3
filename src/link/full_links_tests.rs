use std::task::Waker;

use bytes::Bytes;

use super::super::{Bound, Link, LinkLimits, Refused, Target, WriteBatch};
use super::*;
use crate::engine::pressure::Shed;
use crate::id::Identity;

fn link() -> Link {
    let limits = LinkLimits {
        unacked_messages: 2,
        ..LinkLimits::of(100, 1000)
    };
    let peer = Identity::from_bytes([7; 16]);
    Link::without_socket(peer, 1, limits)
}

fn entry(bytes: usize) -> Entry {
    let payload = Bytes::from(vec![7; bytes]);
    Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload)
}

fn acknowledged(bytes: usize) -> Entry {
    Entry {
        guarantee: DeliveryGuarantee::AtLeastOnce,
        ..entry(bytes)
    }
}

fn places(piece: &FullLinks, from: usize, entry: &Entry) -> Vec<usize> {
    let next = |after: &usize| piece.next(after + 1, entry);
    std::iter::successors(piece.next(from, entry), next).collect()
}

/// The writer takes a block, and has written it.
fn write(link: &Link) {
    let mut batch = WriteBatch::default();
    let _ = link.next_write(&mut batch, Waker::noop());
    batch.written = batch.len();
    let _ = link.next_write(&mut batch, Waker::noop());
}

#[test]
fn the_next_place_is_the_one_that_a_look_at_all_would_find() {
    let sizes = Sizes::new();
    let mut expected = [NOTHING_REFUSED; PLACES];
    let mut dice = 7_usize;
    for _ in 0..5000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (place, bytes) = ((dice >> 33) % PLACES, (dice >> 45) % 40);
        expected[place] = if bytes == 0 {
            NOTHING_REFUSED
        } else {
            bytes / 4
        };
        sizes.set(place, expected[place]);
        let (from, wanted) = ((dice >> 20) % PLACES, (dice >> 51) % 12);
        let found = (from..PLACES).find(|place| expected[*place] > wanted);
        assert_eq!(sizes.next(from, wanted), found);
    }
    assert_eq!(sizes.next(PLACES, 0), None);
}

#[test]
fn full_links_are_looked_at_once_and_then_only_the_one_that_gets_room() {
    let piece = FullLinks::new();
    let links: Vec<_> = (0..PLACES).map(|_| link()).collect();
    let send = || {
        let mut looks = 0;
        let mut from = 0;
        while let Some(place) = piece.next(from, &entry(95)) {
            looks += 1;
            if links[place]
                .push_in_turn(&mut entry(95), &piece, place)
                .is_ok()
            {
                return (Some(place), looks);
            }
            from = place + 1;
        }
        (None, looks)
    };
    let accepted = (0..).take_while(|_| send().0.is_some()).count();
    assert_eq!(accepted, 10 * PLACES, "the bound of each is exact");
    assert_eq!(send(), (None, 0));
    write(&links[70]);
    for _ in 0..10 {
        assert_eq!(send(), (Some(70), 1));
    }
    assert_eq!(send(), (None, 1));
    assert_eq!(send(), (None, 0));
}

#[test]
fn what_is_smaller_or_not_acknowledged_is_not_refused_unseen() {
    let piece = FullLinks::new();
    let link = link();
    link.push(&mut entry(900), Bound::Link).unwrap();
    for bytes in [500, 200, 300] {
        let refused = link.push_in_turn(&mut entry(bytes), &piece, 0);
        assert_eq!(refused, Err(Refused::Full));
    }
    assert_eq!(piece.next(0, &entry(200)), Some(1));
    assert_eq!(piece.next(0, &acknowledged(200)), Some(1));
    assert_eq!(piece.next(0, &entry(199)), Some(0));
    write(&link);
    assert_eq!(piece.next(0, &entry(500)), Some(0));
    for _ in 0..2 {
        link.push_in_turn(&mut acknowledged(1), &piece, 0).unwrap();
    }
    assert!(link.push_in_turn(&mut acknowledged(1), &piece, 0).is_err());
    assert_eq!(piece.next(0, &acknowledged(1)), Some(1));
    assert_eq!(piece.next(0, &entry(500)), Some(0), "the ring is full");
}

#[test]
fn whatever_may_make_room_is_told_to_the_newest_piece() {
    let makers: [fn(&Link); 6] = [
        write,
        |link| link.set_limits(LinkLimits::of(100, 2000), usize::MAX),
        |link| link.set_share(1000),
        |link| drop(link.push_shedding(&mut entry(1), Shed::Oldest)),
        |link| link.abort(),
        |link| drop(link.close(WriteBatch::default())),
    ];
    for make_room in makers {
        let (older, newer) = (FullLinks::new(), FullLinks::new());
        let link = link();
        link.push(&mut entry(1000), Bound::Link).unwrap();
        for (piece, place) in [(&older, 0), (&newer, 1), (&older, 0)] {
            assert!(link.push_in_turn(&mut entry(1), piece, place).is_err());
        }
        let all: Vec<_> = (0..PLACES).collect();
        assert_eq!(places(&older, 0, &entry(1)), all[1..]);
        assert_eq!(places(&newer, 1, &entry(1)), all[2..]);
        make_room(&link);
        assert_eq!(places(&newer, 0, &entry(1)), all);
        assert_eq!(
            places(&older, 0, &entry(1)),
            all[1..],
            "its senders find the newer one"
        );
    }
}
