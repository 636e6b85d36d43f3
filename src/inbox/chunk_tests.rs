//! Chunks: their messages, their cost, and what becomes of them.

use super::*;
use crate::id::Identity;
use crate::link::LinkLimits;

#[test]
fn a_copy_of_some_messages_has_their_frames_alone_with_their_ids() {
    let mut bytes = Vec::new();
    for number in 0..4_u8 {
        // DATA and DATA_REQ in turns, with a heartbeat behind each.
        let mut envelope = match number % 2 {
            0 => vec![0x03],
            _ => [&[0x04][..], &[number; 16]].concat(),
        };
        envelope.extend_from_slice(&[number; 100]);
        bytes.extend_from_slice(&(envelope.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&envelope);
        bytes.extend_from_slice(&wire::HEARTBEAT_FRAME);
    }
    let link = Link::without_socket(Identity::from_bytes([7; 16]), 1, LinkLimits::of(8, 1024));
    let cost = bytes.len();
    let chunk = Chunk::new(Arc::new(link), bytes.into(), 4, cost);
    let mut selection = MessageSet::default();
    selection.insert(1);
    selection.insert(2);
    let copy = chunk.copy_of(&selection);
    assert_eq!((copy.messages(), copy.cost()), (2, 5 + 16 + 100 + 5 + 100));
    let mut found = Vec::new();
    copy.for_each(|ordinal, id, payload| found.push((ordinal, id, payload.to_vec())));
    let id = MessageId::from_bytes([1; 16]);
    let expected = [(0, Some(id), vec![1; 100]), (1, None, vec![2; 100])];
    assert_eq!(found, expected);
}

/// A chunk of so many messages of 100 bytes at most once, each behind a heartbeat.
fn chunk_of(messages: u8) -> Chunk {
    let mut bytes = Vec::new();
    for number in 0..messages {
        bytes.extend_from_slice(&wire::HEARTBEAT_FRAME);
        bytes.extend_from_slice(&wire::data_header(100));
        bytes.extend_from_slice(&[number; 100]);
    }
    let link = Link::without_socket(Identity::from_bytes([7; 16]), 1, LinkLimits::of(8, 1024));
    let cost = bytes.len();
    Chunk::new(Arc::new(link), bytes.into(), messages.into(), cost)
}

#[test]
fn a_message_that_is_taken_out_has_its_part_of_the_cost() {
    let mut chunk = chunk_of(3);
    let all = chunk.cost();
    let mark = chunk.bookmark();
    let span = chunk.next().unwrap();
    let mut one = chunk.take_out(mark, span);
    assert_eq!((one.messages(), one.cost()), (1, all / 3));
    assert_eq!((chunk.cost(), one.charge()), (all / 3 * 2, 0));
    // One that is handed out costs nothing until it is put on the account again.
    let mut two = chunk.split_first();
    assert_eq!((two.cost(), chunk.cost()), (0, all / 3 * 2));
    assert_eq!((two.charge(), two.cost()), (all / 3, all / 3));
}

#[test]
fn a_compact_message_keeps_nothing_alive_but_itself_and_is_the_same() {
    let mut chunk = chunk_of(5);
    let metadata = Arc::new(Metadata::default());
    let table = (0..5).map(|n| (n * 110 + 10, Arc::clone(&metadata)));
    chunk = chunk.with_metadata(Some(Arc::new(table.collect())));
    let _ = chunk.split_first();
    chunk.share([2; 5]);
    let mut one = chunk.split_first().compact();
    one.charge();
    assert_eq!(one.bytes.len(), 110);
    assert_eq!(
        (one.cost(), one.ordinal(), one.is_unshared()),
        (110, 1, false)
    );
    let span = one.clone().next().unwrap();
    assert_eq!(one.payload(span), vec![1; 100]);
    assert!(Arc::ptr_eq(&one.metadata(span).unwrap(), &metadata));

    let alone = chunk_of(1).split_first();
    let kept = alone.bytes.clone();
    assert_eq!(alone.compact().bytes.as_ptr(), kept.as_ptr());
}

#[test]
fn a_shared_message_is_finished_with_its_last_share_and_the_first_refusal_counts() {
    let (handled, rejected) = (Ok(()), Err(NotHandled::Rejected));
    let poison = Err(NotHandled::Poison);
    for (verdicts, expected) in [
        ([handled, handled, handled], handled),
        ([rejected, handled, handled], rejected),
        ([handled, handled, rejected], rejected),
        ([handled, poison, rejected], poison),
    ] {
        let open = AtomicU64::new(3 << SHARES | 3);
        assert_eq!(finish_share(&open, verdicts[0]), None);
        assert_eq!(finish_share(&open, verdicts[1]), None);
        assert_eq!(finish_share(&open, verdicts[2]), Some(expected));
    }
}

#[test]
fn a_message_that_all_its_subscriptions_let_go_of_is_unhandled_with_the_last_of_them() {
    let open = AtomicU64::new(3 << SHARES | 3);
    assert_eq!(let_go_of_share(&open), LetGo::Elsewhere);
    assert_eq!(let_go_of_share(&open), LetGo::Elsewhere);
    assert_eq!(let_go_of_share(&open), LetGo::Unhandled);
}

#[test]
fn a_message_that_is_let_go_of_has_the_verdict_of_those_who_are_through_with_it() {
    for verdict in [Ok(()), Err(NotHandled::Rejected)] {
        let open = AtomicU64::new(3 << SHARES | 3);
        assert_eq!(let_go_of_share(&open), LetGo::Elsewhere);
        assert_eq!(finish_share(&open, verdict), None);
        assert_eq!(let_go_of_share(&open), LetGo::Finished(verdict));

        let open = AtomicU64::new(2 << SHARES | 2);
        assert_eq!(let_go_of_share(&open), LetGo::Elsewhere);
        assert_eq!(finish_share(&open, verdict), Some(verdict));
    }
}
