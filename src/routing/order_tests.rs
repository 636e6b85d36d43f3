//! The order in which a peer gets what waited for it (docs/GUARANTEES.md, "Order").

use std::sync::Arc;

use bytes::Bytes;

use super::tests::{core, join, leave, peer};
use crate::core::SocketCore;
use crate::limits::{Capacity, SendMode};
use crate::link::{Link, Target, WriteBatch};
use crate::socket::Sending;

const TO_THE_FIRST: Target = Target::Peer(peer(1));

fn send(core: &Arc<SocketCore>, target: Target, number: u8) {
    let payload = Bytes::copy_from_slice(&[number]);
    assert!(
        Sending::new(&core.router, target, payload)
            .try_now()
            .is_ok()
    );
}

/// What a link holds, in the order in which it will be written.
fn held_by(link: &Link) -> Vec<u8> {
    let left = link.close(WriteBatch::default()).unsent;
    left.iter().map(|entry| entry.payload[0]).collect()
}

#[test]
fn a_peer_that_returns_gets_what_was_sent_to_it_and_to_anybody_in_one_order() {
    let core = core(|_| {});
    let link = join(&core, 1);
    for number in 0..3 {
        send(&core, Target::Mode, 2 * number);
        send(&core, TO_THE_FIRST, 2 * number + 1);
    }
    leave(&core, &link);
    send(&core, TO_THE_FIRST, 6);
    send(&core, Target::Mode, 7);
    send(&core, TO_THE_FIRST, 8);
    assert_eq!(held_by(&join(&core, 1)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn who_comes_instead_gets_what_was_for_anybody_in_its_order() {
    let core = core(|_| {});
    let link = join(&core, 1);
    send(&core, Target::Mode, 0);
    send(&core, TO_THE_FIRST, 1);
    send(&core, Target::Mode, 2);
    leave(&core, &link);
    send(&core, Target::Mode, 3);
    assert_eq!(held_by(&join(&core, 2)), [0, 2, 3]);
    assert_eq!(held_by(&join(&core, 1)), [1]);
}

#[test]
fn what_is_for_a_returning_peer_alone_does_not_wait_for_room_for_the_rest() {
    let one = Capacity {
        messages: 1,
        bytes: 10_000,
    };
    let core = core(|config| config.limits.link_capacity = one);
    let link = join(&core, 1);
    leave(&core, &link);
    send(&core, Target::Mode, 0);
    send(&core, Target::Mode, 1);
    send(&core, TO_THE_FIRST, 2);
    assert_eq!(held_by(&join(&core, 1)), [0, 2]);
    assert_eq!(core.stats().outbox_messages, 1);
}

#[test]
fn a_subscriber_that_returns_gets_what_was_published_to_it_alone_and_with_others_in_one_order() {
    let core = core(|config| config.send_mode = SendMode::Publish);
    let link = join(&core, 1);
    send(&core, Target::Mode, 0);
    let other = join(&core, 2);
    send(&core, Target::Mode, 1);
    leave(&core, &other);
    send(&core, Target::Mode, 2);
    leave(&core, &link);
    send(&core, Target::Mode, 3);
    assert_eq!(held_by(&join(&core, 1)), [0, 1, 2, 3]);
}

#[test]
fn what_one_of_several_peers_leaves_goes_to_the_others_before_what_is_sent_later() {
    let core = core(|_| {});
    let (first, second) = (join(&core, 1), join(&core, 2));
    (0..6).for_each(|number| send(&core, Target::Mode, number));
    leave(&core, &first);
    (6..8).for_each(|number| send(&core, Target::Mode, number));
    let order = held_by(&second);
    let (own, rest) = order.split_at(3);
    assert!([0, 2, 4] == own || [1, 3, 5] == own, "{order:?}");
    let (moved, later) = rest.split_at(3);
    assert!(
        moved.is_sorted() && moved.iter().all(|n| *n < 6),
        "{order:?}"
    );
    assert_eq!(later, [6, 7]);
}

#[test]
fn what_waits_while_all_are_full_comes_behind_what_a_departed_peer_leaves() {
    let two = Capacity {
        messages: 2,
        bytes: 10_000,
    };
    let core = core(|config| config.limits.link_capacity = two);
    let (first, second) = (join(&core, 1), join(&core, 2));
    (0..4).for_each(|number| send(&core, Target::Mode, number));
    leave(&core, &first);
    send(&core, Target::Mode, 4);
    leave(&core, &second);
    let third = join(&core, 3);
    let mut order = held_by(&third);
    assert_eq!(order.len(), 2, "as many as it has room for");
    leave(&core, &third);
    let fourth = join(&core, 4);
    order.extend(held_by(&fourth));
    leave(&core, &fourth);
    order.extend(held_by(&join(&core, 5)));
    assert_eq!(order.last(), Some(&4), "{order:?}");
}
