//! The answers of the handshake, one by one.

use proptest::prelude::*;

use super::*;
use crate::wire::{ASKS_WHETHER_KNOWN, Envelope, Oversize, known_frame};

const OURS: Identity = Identity::from_bytes([0xaa; 16]);
const THEIRS: Identity = Identity::from_bytes([0xbb; 16]);

fn handshake(role: Role) -> Handshake {
    Handshake::new(role, OURS)
}

fn hello() -> Option<HelloFrame> {
    Some(hello_frame(OURS))
}

#[test]
fn the_connect_end_speaks_first() {
    let mut end = handshake(Role::ConnectEnd);
    assert_eq!(end.start(), hello());
    let step = end.handle_bytes(&hello_frame(THEIRS));
    let consumed = HELLO_FRAME_BYTES;
    assert_eq!(
        step,
        Ok(Step::PeerHello {
            identity: THEIRS,
            consumed
        })
    );
    assert_eq!(end.admit(), None);
}

#[test]
fn a_connect_end_that_asks_is_told_by_whom_it_is_known() {
    let known = known_frame(THEIRS);
    let mut asking = handshake(Role::ConnectEnd).asking_whether_known(true);
    assert!(asking.asks_whether_known());
    for end in 0..known.len() {
        assert_eq!(asking.handle_bytes(&known[..end]), Ok(Step::NeedMore));
    }
    assert_eq!(asking.handle_bytes(&known), Ok(Step::Known(THEIRS)));
    assert_eq!(asking.admit(), None);
    // Whoever has not asked is told nothing, and a word without an identity is none.
    let mut silent = handshake(Role::ConnectEnd);
    let refusal = Err(RefusalReason::NotHello(KNOWN));
    assert_eq!(silent.handle_bytes(&known), refusal);
    let mut asking = handshake(Role::ConnectEnd).asking_whether_known(true);
    assert_eq!(asking.handle_bytes(&ASKS_WHETHER_KNOWN), refusal);
    // It is welcome all the same.
    let mut asking = handshake(Role::ConnectEnd).asking_whether_known(true);
    let step = asking.handle_bytes(&hello_frame(THEIRS));
    assert!(matches!(step, Ok(Step::PeerHello { .. })));
}

#[test]
fn the_bind_end_says_hello_only_to_a_peer_that_it_admits() {
    let mut end = handshake(Role::BindEnd);
    assert_eq!(end.start(), None);
    end.handle_bytes(&hello_frame(THEIRS)).unwrap();
    assert_eq!(end.admit(), hello());
    assert_eq!(end.admit(), None);
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_a_hello() {
    let mut end = handshake(Role::BindEnd);
    let frame = hello_frame(THEIRS);
    for cut in 0..frame.len() {
        assert_eq!(end.handle_bytes(&frame[..cut]), Ok(Step::NeedMore), "{cut}");
    }
    assert!(matches!(
        end.handle_bytes(&frame),
        Ok(Step::PeerHello { .. })
    ));
}

#[test]
fn what_is_pipelined_behind_the_hello_is_left_for_traffic() {
    let mut end = handshake(Role::BindEnd);
    let mut stream = hello_frame(THEIRS).to_vec();
    stream.extend_from_slice(b"\0\0\0\x02\x03x");
    let Ok(Step::PeerHello { consumed, .. }) = end.handle_bytes(&stream) else {
        panic!("a HELLO")
    };
    assert_eq!(&stream[consumed..], b"\0\0\0\x02\x03x");
    assert_eq!(end.handle_bytes(&stream[consumed..]), Ok(Step::NeedMore));
}

#[test]
fn a_longer_hello_counts_by_its_first_bytes() {
    let mut end = handshake(Role::ConnectEnd);
    let mut frame = hello_frame(THEIRS).to_vec();
    frame.extend_from_slice(b"future");
    frame[3] += 6;
    assert_eq!(
        end.handle_bytes(&frame),
        Ok(Step::PeerHello {
            identity: THEIRS,
            consumed: frame.len()
        })
    );
}

#[test]
fn anything_but_a_hello_of_our_version_is_refused_as_soon_as_it_shows() {
    let oversize = |announced| {
        let limit = MAX_HELLO_ENVELOPE_BYTES;
        RefusalReason::Oversize(Oversize { announced, limit })
    };
    for (bytes, refusal) in [
        (&b"GET "[..], oversize(0x4745_5420)),
        (b"\xff\xff\xff\xff", oversize(u32::MAX)),
        (b"\0\0\x10\x01", oversize(4097)),
        (b"\0\0\0\0", RefusalReason::Empty),
        (b"\0\0\0\x12\x03", RefusalReason::NotHello(3)),
        (b"\0\0\0\x01\x02", RefusalReason::NotHello(2)),
        (b"\0\0\0\x12\x01\x02", RefusalReason::Version(2)),
        (b"\0\0\0\x02\x01\x02", RefusalReason::Version(2)),
        (b"\0\0\0\x01\x01", RefusalReason::Short { length: 1 }),
        (b"\0\0\0\x11\x01\x01", RefusalReason::Short { length: 17 }),
    ] {
        let mut end = handshake(Role::BindEnd);
        let last = bytes.len() - 1;
        assert_eq!(end.handle_bytes(&bytes[..last]), Ok(Step::NeedMore));
        assert_eq!(end.handle_bytes(bytes), Err(refusal));
        assert_eq!(end.admit(), None);
    }
}

/// The same judgement, made on a stream that is there as a whole.
fn judged_whole(stream: &[u8]) -> Result<Step, RefusalReason> {
    let Some(prefix) = stream.first_chunk::<4>() else {
        return Ok(Step::NeedMore);
    };
    let announced = u32::from_be_bytes(*prefix);
    let limit = MAX_HELLO_ENVELOPE_BYTES;
    if announced > limit {
        return Err(Oversize { announced, limit }.into());
    }
    let length = announced as usize;
    let envelope = &stream[4..stream.len().min(4 + length)];
    match (length, envelope) {
        (0, _) => Err(RefusalReason::Empty),
        (_, []) => Ok(Step::NeedMore),
        (_, [kind, ..]) if *kind != 1 => Err(RefusalReason::NotHello(*kind)),
        (1, _) => Err(RefusalReason::Short { length }),
        (_, [_]) => Ok(Step::NeedMore),
        (_, [_, version, ..]) if *version != 1 => Err(RefusalReason::Version(*version)),
        (2..18, _) => Err(RefusalReason::Short { length }),
        _ if envelope.len() < length => Ok(Step::NeedMore),
        _ => match Envelope::decode(envelope) {
            Ok(Envelope::Hello { identity, .. }) => Ok(Step::PeerHello {
                identity,
                consumed: 4 + length,
            }),
            other => panic!("{other:?}"),
        },
    }
}

fn openings() -> impl Strategy<Value = Vec<u8>> {
    let noise = || prop::collection::vec(any::<u8>(), 0..40);
    let near = (0..30_u8, 0..4_u8, 0..3_u8, noise()).prop_map(|(length, kind, version, rest)| {
        [&[0, 0, 0, length, kind, version][..], &rest].concat()
    });
    prop_oneof![noise(), near]
}

proptest! {
    #[test]
    fn any_split_of_any_stream_is_judged_as_the_whole(stream in openings(), cut in 0..50_usize) {
        let mut end = handshake(Role::BindEnd);
        let cut = cut.min(stream.len());
        let split = match end.handle_bytes(&stream[..cut]) {
            Ok(Step::NeedMore) => end.handle_bytes(&stream),
            early => early,
        };
        prop_assert_eq!(split, judged_whole(&stream));
    }
}
