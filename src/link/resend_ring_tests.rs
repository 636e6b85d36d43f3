//! The ring of unacknowledged messages.

use std::time::Instant;

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ring() -> ResendRing {
    ResendRing::with_ids(IdSequence::new(1), secs(5))
}

fn entry(payload: &'static str) -> Entry {
    Entry::new(
        Target::Mode,
        DeliveryGuarantee::AtLeastOnce,
        Bytes::from_static(payload.as_bytes()),
    )
}

fn resent(ring: &mut ResendRing, now: Uptime) -> Vec<MessageId> {
    let due = ring.handle_sweep(now, Instant::now(), None, true);
    assert!(due.given_up.is_empty());
    due.resend.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn acknowledgements_in_any_order_empty_the_ring() {
    let mut ring = ring();
    let ids: Vec<_> = (0..4)
        .map(|_| ring.insert(&mut entry("abc"), secs(0)))
        .collect();
    assert_eq!((ring.len(), ring.bytes()), (4, 12));
    for index in [2, 0, 3, 1] {
        assert!(ring.acknowledge(ids[index], secs(1)).is_some());
        assert!(ring.acknowledge(ids[index], secs(1)).is_none());
    }
    assert_eq!((ring.len(), ring.bytes(), ring.slots.len()), (0, 0, 0));
}

#[test]
fn those_that_are_not_acknowledged_for_long_keep_no_places_of_later_ones() {
    let mut ring = ring();
    let stuck: Vec<_> = (0..3)
        .map(|_| ring.insert(&mut entry("stuck"), secs(0)))
        .collect();
    let mut last = None;
    for second in 0..100_000 {
        let id = ring.insert(&mut entry("later"), secs(second));
        // Each is acknowledged when the next one is on its way.
        let before = last.replace(id);
        assert!(before.is_none_or(|id| ring.acknowledge(id, secs(second)).is_some()));
        assert!(ring.slots.len() <= LEAST_SPAN + ring.len());
    }
    assert_eq!((ring.len(), ring.bytes()), (4, 20));
    let mut left = VecDeque::new();
    for id in [stuck[1], last.unwrap()] {
        assert!(ring.acknowledge(id, secs(0)).is_some());
    }
    ring.take_all(Identity::from_bytes([7; 16]), &mut left);
    let left: Vec<_> = left
        .iter()
        .map(|left| left.entry.extras.as_ref().unwrap().id.unwrap())
        .collect();
    assert_eq!(left, [stuck[0], stuck[2]], "in order, with their ids");
    assert!(ring.foreign.is_empty());
}

#[test]
fn an_acknowledgement_that_was_never_asked_for_is_ignored() {
    let mut ring = ring();
    let id = ring.insert(&mut entry("a"), secs(0));
    assert!(
        ring.acknowledge(MessageId::from_bytes([9; 16]), secs(1))
            .is_none()
    );
    assert!(ring.acknowledge(ring.ids.id_of(7), secs(1)).is_none());
    assert!(
        ResendRing::with_ids(IdSequence::new(8), secs(5))
            .acknowledge(id, secs(1))
            .is_none()
    );
    assert_eq!(ring.len(), 1);
}

#[test]
fn a_message_keeps_its_id_on_the_next_link() {
    let other = IdSequence::new(3);
    let (mut first, mut second) = (ring(), ResendRing::with_ids(other, secs(5)));
    let id = first.insert(&mut entry("a"), secs(0));
    let mut moved = VecDeque::new();
    first.take_all(Identity::from_bytes([1; 16]), &mut moved);
    assert_eq!(first.len(), 0);
    let mut entry = moved.pop_front().unwrap().entry;
    assert_eq!(second.insert(&mut entry, secs(1)), id);
    assert!(second.acknowledge(id, secs(2)).is_some());
    assert_eq!(second.foreign.len(), 0);
}

#[test]
fn an_id_that_was_given_is_kept_and_one_that_is_open_stands_for_one_message() {
    let given = MessageId::from_bytes([9; 16]);
    let entry = || {
        let mut entry = entry("a");
        entry.extras.get_or_insert_default().id = Some(given);
        entry
    };
    let mut ring = ring();
    assert_eq!(ring.insert(&mut entry(), secs(0)), given);
    let second = ring.insert(&mut entry(), secs(0));
    assert_eq!(second, ring.ids.id_of(1));
    assert!(ring.acknowledge(given, secs(1)).is_some());
    assert!(ring.acknowledge(given, secs(1)).is_none());
    assert!(ring.acknowledge(second, secs(1)).is_some());
    assert_eq!((ring.len(), ring.foreign.len()), (0, 0));
    assert_eq!(ring.insert(&mut entry(), secs(2)), given);
}

#[test]
fn a_message_is_resent_when_nothing_was_acknowledged_for_its_interval_which_then_doubles() {
    let mut ring = ring();
    let id = ring.insert(&mut entry("a"), secs(0));
    assert_eq!(resent(&mut ring, secs(5)), []);
    assert_eq!(resent(&mut ring, secs(6)), [id]);
    assert_eq!(resent(&mut ring, secs(15)), []);
    assert_eq!(resent(&mut ring, secs(17)), [id]);
}

#[test]
fn what_queues_before_a_slow_handler_is_not_resent_while_acknowledgements_come() {
    let mut ring = ring();
    let first = ring.insert(&mut entry("a"), secs(0));
    let second = ring.insert(&mut entry("b"), secs(0));
    ring.acknowledge(first, secs(4));
    assert_eq!(resent(&mut ring, secs(8)), []);
    let third = ring.insert(&mut entry("c"), secs(8));
    ring.acknowledge(third, secs(9));
    assert_eq!(
        resent(&mut ring, secs(9)),
        [second],
        "a later one was acknowledged"
    );
}

#[test]
fn the_last_message_is_resent_when_acknowledgements_have_ceased_after_it_was_sent() {
    let mut ring = ring();
    let first = ring.insert(&mut entry("a"), secs(0));
    let second = ring.insert(&mut entry("b"), secs(0));
    ring.acknowledge(first, secs(1));
    assert_eq!(resent(&mut ring, secs(6)), []);
    assert_eq!(resent(&mut ring, secs(7)), [second]);
}

#[test]
fn a_message_above_its_resend_limit_or_its_time_is_given_up() {
    let mut ring = ring();
    let mut mortal = entry("a");
    let start = Instant::now();
    mortal.extras = Some(Box::new(Extras {
        expires: Some(start + secs(1)),
        ..Extras::default()
    }));
    ring.insert(&mut mortal, secs(0));
    ring.insert(&mut entry("b"), secs(0));
    let due = ring.handle_sweep(secs(2), start + secs(2), Some(1), true);
    assert_eq!(due.given_up[0].1, GivenUp::Expired);
    assert_eq!(due.resend.len(), 0);
    assert_eq!(
        ring.handle_sweep(secs(6), start, Some(1), true)
            .resend
            .len(),
        1
    );
    let due = ring.handle_sweep(secs(17), start, Some(1), true);
    assert_eq!(due.given_up[0].1, GivenUp::ResendLimit);
    assert_eq!((ring.len(), ring.slots.len()), (0, 0));
}

#[test]
fn a_long_time_to_resend_does_not_shrink() {
    let mut ring = ResendRing::with_ids(IdSequence::new(1), secs(600));
    ring.insert(&mut entry("a"), secs(0));
    assert_eq!(resent(&mut ring, secs(601)).len(), 1);
    assert_eq!(resent(&mut ring, secs(601 + 599)).len(), 0);
    assert_eq!(resent(&mut ring, secs(601 + 601)).len(), 1);
}

#[test]
fn a_message_that_is_resent_keeps_nothing_of_the_read_that_it_came_with() {
    let mut ring = ring();
    let read = Bytes::from(vec![7; 64 * 1024]);
    let mut slice = entry("");
    slice.payload = read.slice(10..110);
    ring.insert(&mut slice, secs(0));
    drop(slice);
    assert!(!read.is_unique());
    assert_eq!(resent(&mut ring, secs(6)).len(), 1);
    assert!(read.is_unique());
    assert_eq!(ring.bytes(), 100);
}
