use proptest::prelude::*;

use super::super::extension::Extension;
use super::super::frame::{Walk, walk};
use super::*;

const HEAD: OfferHead = OfferHead {
    start: *b"startxyz",
    generation: 3,
    draining: false,
};

fn entry<'a>(name: &'a str, instance: &'a str) -> ServiceEntry<'a> {
    ServiceEntry { name, instance }
}

/// The envelopes of the frames that `bytes` consists of.
fn envelopes(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut envelopes = Vec::new();
    while !bytes.is_empty() {
        let Ok(Walk::Frame(frame)) = walk(bytes, 4096) else {
            panic!("a frame of at most 4 KiB");
        };
        bytes = &bytes[frame.len()..];
        envelopes.push(frame.envelope);
    }
    envelopes
}

fn offer(envelope: &[u8]) -> OfferFrame<'_> {
    match Extension::decode(envelope) {
        Ok(Extension::Offer(offer)) => offer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offer_frame_is_these_bytes() {
    let mut written = Vec::new();
    let head = OfferHead {
        draining: true,
        ..HEAD
    };
    put_offer(&mut written, head, [entry("inventory", "i0")]);
    let mut bytes = vec![0, 0, 0, 30, 0xC0, 1];
    bytes.extend_from_slice(b"startxyz\0\0\0\x03\x02\x01\x09inventory\x02i0\0");
    assert_eq!(written, bytes);
    let read = offer(&bytes[4..]);
    assert_eq!((read.start, read.generation), (*b"startxyz", 3));
    assert!(read.draining && !read.more);
    let services: Vec<_> = read.services.collect();
    assert_eq!(services, [entry("inventory", "i0")]);
}

#[test]
fn an_offer_of_nothing_is_one_frame() {
    let mut written = Vec::new();
    put_offer(&mut written, HEAD, []);
    let read = offer(&written[4..]);
    assert!(!read.more && !read.draining);
    assert_eq!(read.services.count(), 0);
}

#[test]
fn a_load_frame_is_these_bytes() {
    let entries = [
        LoadEntry {
            index: 0,
            state: OfferedState::Ready,
        },
        LoadEntry {
            index: 258,
            state: OfferedState::Busy {
                retry_after_millis: 500,
            },
        },
        LoadEntry {
            index: 2,
            state: OfferedState::Draining,
        },
    ];
    let mut written = Vec::new();
    put_load(&mut written, 9, &entries);
    let mut bytes = vec![0, 0, 0, 28, 0xC1, 1, 0, 0, 0, 9, 3];
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[1, 2, 1, 0, 0, 1, 0xf4]);
    bytes.extend_from_slice(&[0, 2, 2, 0, 0, 0, 0]);
    assert_eq!(written, bytes);
    let Ok(Extension::Load(read)) = Extension::decode(&bytes[4..]) else {
        panic!("a LOAD")
    };
    assert_eq!(read.generation, 9);
    assert_eq!(read.entries().collect::<Vec<_>>(), entries);
}

#[test]
fn a_state_of_a_later_version_is_left_out() {
    let bytes = *b"\xC1\x01\0\0\0\x09\x02\0\0\x07\0\0\0\0\0\x01\0\0\0\0\0";
    let Ok(Extension::Load(read)) = Extension::decode(&bytes) else {
        panic!("a LOAD")
    };
    let ready = LoadEntry {
        index: 1,
        state: OfferedState::Ready,
    };
    assert_eq!(read.entries().collect::<Vec<_>>(), [ready]);
}

#[test]
fn a_seen_frame_is_these_bytes() {
    let bytes = [0, 0, 0, 6, 0xC3, 1, 1, 2, 3, 4];
    assert_eq!(seen_frame(0x0102_0304), bytes);
    assert_eq!(
        Extension::decode(&bytes[4..]),
        Ok(Extension::Seen(0x0102_0304))
    );
}

#[test]
fn a_frame_about_services_that_is_cut_short_is_malformed() {
    let mut offer = Vec::new();
    put_offer(&mut offer, HEAD, [entry("a", ""), entry("b", "c")]);
    let mut load = Vec::new();
    let ready = LoadEntry {
        index: 0,
        state: OfferedState::Ready,
    };
    put_load(&mut load, 1, &[ready, ready]);
    for frame in [offer, load, seen_frame(7).to_vec()] {
        let envelope = &frame[4..];
        assert!(Extension::decode(envelope).is_ok());
        for length in 0..envelope.len() {
            assert!(Extension::decode(&envelope[..length]).is_err());
        }
    }
}

#[test]
fn a_service_without_a_name_or_whose_name_is_no_text_is_malformed() {
    for service in [&b"\0\0\0"[..], b"\x01\xff\0\0", b"\x01a\x01\xff\0"] {
        let envelope = [&b"\xC0\x01startxyz\0\0\0\x03\0\x01"[..], service].concat();
        assert!(Extension::decode(&envelope).is_err(), "{service:?}");
    }
}

proptest! {
    #[test]
    fn an_offer_reads_back_from_frames_of_which_all_but_the_last_say_that_more_follow(
        names in prop::collection::vec(("[a-z]{1,50}", "[a-z]{0,50}"), 0..280),
    ) {
        let mut written = Vec::new();
        let entries = names.iter().map(|(name, instance)| entry(name, instance));
        put_offer(&mut written, HEAD, entries.clone());
        let frames: Vec<_> = envelopes(&written).into_iter().map(offer).collect();
        let (last, others) = frames.split_last().unwrap();
        prop_assert!(!last.more && others.iter().all(|frame| frame.more));
        prop_assert!(frames.iter().all(|frame| frame.generation == 3));
        let read: Vec<_> = frames.iter().flat_map(|frame| frame.services).collect();
        prop_assert_eq!(read, entries.collect::<Vec<_>>());
    }
}
