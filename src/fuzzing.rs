//! Checks by the fuzzers of parts that are not public. Built for fuzzing and for tests alone.

use crate::address::Role;

use crate::engine::{Handshake, MAX_HELLO_ENVELOPE_BYTES, Step};
use crate::id::Identity;
use crate::payload::{Metadata, begins_as_envelope, read_envelope};
use crate::wire::{Extension, OfferHead, is_extension, put_load, put_offer};

/// The first byte says where the rest is split in two, the second which end we are. The verdict is
/// the same as over the whole, falls once, and never wants more bytes than the limit.
pub fn handshake(input: &[u8]) {
    let [cut, role, stream @ ..] = input else {
        return;
    };
    let role = match role % 2 {
        0 => Role::BindEnd,
        _ => Role::ConnectEnd,
    };
    let cut = stream.len().min((*cut).into());
    let whole = judge(role, &[stream]);
    assert_eq!(judge(role, &[&stream[..cut], stream]), whole);
    let longest = 4 + MAX_HELLO_ENVELOPE_BYTES as usize;
    assert!(stream.len() < longest || whole != Ok(Step::NeedMore));
}

/// One envelope of our own extension. Only its types are read as one, and none that is cut short is taken
/// for the whole.
pub fn extension(input: &[u8]) {
    let whole = Extension::decode(input);
    if let Some(&kind) = input.first() {
        assert!(whole.is_err() || is_extension(kind));
    }
    assert!(whole.is_err() || input.len() <= 4096);
    if let Ok(Extension::Refused { text, .. }) = whole {
        let fields = 2 + 16 + 2 + text.len();
        assert_eq!(Extension::decode(&input[..fields]), whole);
        assert!(Extension::decode(&input[..fields - 1]).is_err());
    }
    match whole {
        Ok(Extension::Offer(offer)) => {
            let head = OfferHead {
                start: offer.start,
                generation: offer.generation,
                draining: offer.draining,
            };
            let mut again = Vec::new();
            put_offer(&mut again, head, offer.services);
            let services: Vec<_> = offer.services.collect();
            assert!(again.len() <= 4 + input.len());
            let Ok(Extension::Offer(again)) = Extension::decode(&again[4..]) else {
                panic!("an offer is read back");
            };
            assert_eq!(again.services.collect::<Vec<_>>(), services);
        }
        Ok(Extension::Load(load)) => {
            let entries: Vec<_> = load.entries().collect();
            let mut again = Vec::new();
            put_load(&mut again, load.generation, &entries);
            assert!(entries.is_empty() || again.len() <= 4 + input.len());
        }
        Ok(_) | Err(_) => {}
    }
}

/// A payload as whoever reads metadata gets it. What is read is written and read again as the same, within the limits.
pub fn metadata(input: &[u8]) {
    let Ok((metadata, length)) = read_envelope(input) else {
        assert!(begins_as_envelope(input));
        return;
    };
    assert!(length <= input.len().min(Metadata::MAX_BYTES));
    assert_eq!(length > 0, begins_as_envelope(input));
    assert!(metadata.headers().count() <= Metadata::MAX_HEADERS);
    let Ok(envelope) = metadata.clone().envelope() else {
        panic!("what was read can be written");
    };
    assert!(envelope.len() <= length);
    assert_eq!(read_envelope(&envelope), Ok((metadata, envelope.len())));
}

fn judge(role: Role, prefixes: &[&[u8]]) -> Result<Step, String> {
    let ours = Identity::from_bytes([7; 16]);
    let mut handshake = Handshake::new(role, ours);
    let spoke_first = handshake.start().is_some();
    assert_eq!(spoke_first, role == Role::ConnectEnd);
    for prefix in prefixes {
        match handshake.handle_bytes(prefix) {
            Ok(Step::NeedMore) => {}
            Ok(step @ Step::PeerHello { consumed, .. }) => {
                assert!(consumed <= prefix.len());
                assert_eq!(handshake.handle_bytes(prefix), Ok(Step::NeedMore));
                assert_eq!(handshake.admit().is_some(), role == Role::BindEnd);
                assert!(handshake.admit().is_none());
                return Ok(step);
            }
            Ok(Step::Known(_)) => panic!("it has not asked"),
            Err(refusal) => {
                assert!(handshake.admit().is_none());
                return Err(refusal.to_string());
            }
        }
    }
    Ok(Step::NeedMore)
}

#[cfg(test)]
fn replay(target: &str, check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let inputs = std::fs::read_dir(folder.join("fuzz/corpus").join(target));
    let inputs = inputs.expect("the corpus is committed");
    let inputs: Vec<_> = inputs.map(|input| input.unwrap().path()).collect();
    assert!(inputs.len() >= 10);
    for input in inputs {
        check(&std::fs::read(input).unwrap());
    }
}

#[cfg(test)]
#[test]
fn the_handshake_corpus_holds() {
    replay("handshake", handshake);
}

#[cfg(test)]
#[test]
fn the_extension_corpus_holds() {
    replay("extension", extension);
}

#[cfg(test)]
#[test]
fn the_metadata_corpus_holds() {
    replay("metadata", metadata);
}
