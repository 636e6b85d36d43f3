use super::super::block::Unwritten;
use super::*;
use crate::id::Identity;
use crate::limits::DeliveryGuarantee;
use crate::link::Target;
use crate::wire::data_header;

fn queue_of(payloads: &[&'static [u8]]) -> SendQueue {
    let mut queue = SendQueue::default();
    for payload in payloads {
        let entry = Entry::new(
            Target::Mode,
            DeliveryGuarantee::AtMostOnce,
            Bytes::from_static(payload),
        );
        queue.push(
            &data_header(payload.len()),
            &entry,
            FrameRoute::in_turn(false),
        );
    }
    queue
}

fn unsent(queue: &mut SendQueue, written: usize) -> Vec<Bytes> {
    let mut out = Unwritten::default();
    let peer = Identity::from_bytes([7; 16]);
    for (index, block) in queue.take_all().into_iter().enumerate() {
        let written = if index == 0 { written } else { 0 };
        block.into_unsent(written, peer, &mut out);
    }
    out.messages
        .into_iter()
        .map(|entry| entry.payload)
        .collect()
}

#[test]
fn small_frames_share_a_block_and_a_large_payload_closes_it() {
    static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
    let mut queue = queue_of(&[b"a", b"b", &LARGE, b"c"]);
    assert_eq!(queue.frames(), 4);
    let first = queue.take().unwrap();
    assert_eq!(first.head().len(), 6 + 6 + 5);
    assert_eq!(first.tail().len(), GATHER_FROM);
    let bytes = queue.queued().bytes;
    let length = first.len();
    queue.release(first);
    assert_eq!(queue.queued().bytes, bytes - length);
    assert_eq!(queue.frames(), 1);
}

#[test]
fn the_oldest_frames_can_be_dropped_one_by_one_and_the_rest_is_as_it_was() {
    static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
    let payloads: [&[u8]; 5] = [b"aa", b"", b"bb", &LARGE, b"c"];
    let all: Vec<Bytes> = payloads.iter().map(|p| Bytes::from_static(p)).collect();
    for dropped in 0..=5 {
        let mut queue = queue_of(&payloads);
        for payload in &all[..dropped] {
            let first = queue.drop_first().unwrap();
            let entry = first.into_entry(Identity::from_bytes([7; 16]));
            assert_eq!(entry.payload, payload);
        }
        let rest = &all[dropped..];
        assert_eq!(queue.frames(), rest.len());
        let bytes: usize = rest.iter().map(|payload| payload.len() + 5).sum();
        assert_eq!(queue.queued().bytes, bytes);
        assert_eq!(unsent(&mut queue, 0), rest);
    }
    let mut queue = queue_of(&payloads);
    queue.drop_first().unwrap();
    let block = queue.take().unwrap();
    assert_eq!(
        block.head(),
        [0, 0, 0, 1, 3, 0, 0, 0, 3, 3, b'b', b'b', 0, 0, 64, 1, 3]
    );
    let mut out = Unwritten::default();
    block.into_unsent(6, Identity::from_bytes([7; 16]), &mut out);
    let left: Vec<Bytes> = out
        .messages
        .into_iter()
        .map(|entry| entry.payload)
        .collect();
    assert_eq!(left, all[3..4]);
    let half = out.half_written.map(|entry| entry.payload);
    assert_eq!((half.as_ref(), out.frames), (Some(&all[2]), 2));
}

#[test]
fn what_the_kernel_took_in_part_is_apart_and_the_rest_comes_back_in_order() {
    static LARGE: [u8; GATHER_FROM] = [1; GATHER_FROM];
    let payloads: [&[u8]; 4] = [b"aa", b"", b"bb", &LARGE];
    let all: Vec<Bytes> = payloads.iter().map(|p| Bytes::from_static(p)).collect();
    assert_eq!(unsent(&mut queue_of(&payloads), 0), all);
    assert_eq!(unsent(&mut queue_of(&payloads), 1), all[1..]);
    assert_eq!(unsent(&mut queue_of(&payloads), 7), all[1..]);
    assert_eq!(unsent(&mut queue_of(&payloads), 12), all[2..]);
    assert_eq!(unsent(&mut queue_of(&payloads), 13), all[3..]);
    assert_eq!(unsent(&mut queue_of(&payloads), 20), Vec::<Bytes>::new());
}
