//! What every codec writes it reads, and it reads nothing else.
#![cfg(all(
    feature = "json",
    feature = "messagepack",
    feature = "postcard",
    feature = "protobuf"
))]

use std::collections::BTreeMap;

use actix_aiomsg::{Codec, Payload, payload, payload::Protobuf};
use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    number: i64,
    large: u64,
    real: f64,
    truth: bool,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<Box<Everything>>,
    either: Either,
    list: Vec<(u16, String)>,
    map: BTreeMap<String, i32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Either {
    Nothing,
    One(String),
    Two { a: u8, b: Option<i8> },
}

payload!(Everything = "all ");

#[derive(Clone, PartialEq, prost::Message)]
struct Parcel {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(uint64, tag = "2")]
    weight: u64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    contents: Vec<Bytes>,
    #[prost(message, optional, boxed, tag = "4")]
    inner: Option<Box<Parcel>>,
}

impl Payload for Parcel {
    type Format = Protobuf;
    const TOPIC: &'static str = "parcel ";
}

fn either() -> impl Strategy<Value = Either> {
    prop_oneof![
        Just(Either::Nothing),
        ".*".prop_map(Either::One),
        any::<(u8, Option<i8>)>().prop_map(|(a, b)| Either::Two { a, b }),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let scalars = (
        any::<i64>(),
        any::<u64>(),
        prop::num::f64::NORMAL | prop::num::f64::ZERO,
        any::<bool>(),
        any::<char>(),
        ".*",
    );
    let lists = (
        any::<Vec<u8>>(),
        either(),
        prop::collection::vec((any::<u16>(), ".*"), 0..4),
        prop::collection::btree_map(".*", any::<i32>(), 0..4),
    );
    let leaf = (scalars, lists).prop_map(|(scalars, lists)| {
        let (number, large, real, truth, letter, text) = scalars;
        let (bytes, either, list, map) = lists;
        Everything {
            number,
            large,
            real,
            truth,
            letter,
            text,
            bytes,
            maybe: None,
            either,
            list,
            map,
        }
    });
    leaf.prop_recursive(3, 8, 1, |inner| {
        (inner.clone(), inner).prop_map(|(mut outer, inner)| {
            outer.maybe = Some(Box::new(inner));
            outer
        })
    })
}

fn parcel() -> impl Strategy<Value = Parcel> {
    let contents = prop::collection::vec(any::<Vec<u8>>().prop_map(Bytes::from), 0..4);
    let leaf = (".*", any::<u64>(), contents).prop_map(|(address, weight, contents)| Parcel {
        address,
        weight,
        contents,
        inner: None,
    });
    leaf.prop_recursive(3, 8, 1, |inner| {
        (inner.clone(), inner).prop_map(|(mut outer, inner)| {
            outer.inner = Some(Box::new(inner));
            outer
        })
    })
}

const CODECS: [Codec; 3] = [Codec::Json, Codec::MessagePack, Codec::Postcard];

proptest! {
    #[test]
    fn a_value_survives_every_codec(value in everything()) {
        for codec in CODECS {
            let payload = codec.encode(&value).unwrap();
            prop_assert!(payload.starts_with(b"all "));
            prop_assert_eq!(codec.decode::<Everything>(payload), Ok(value.clone()));
        }
    }

    #[test]
    fn a_protobuf_message_survives_whatever_the_codec_of_the_rest(value in parcel()) {
        for codec in CODECS {
            let payload = codec.encode(&value).unwrap();
            prop_assert!(payload.starts_with(b"parcel "));
            prop_assert_eq!(codec.decode::<Parcel>(payload), Ok(value.clone()));
        }
    }

    #[test]
    fn text_and_bytes_survive_as_they_are(text in ".*", bytes in any::<Vec<u8>>()) {
        for codec in CODECS {
            let payload = codec.encode(&text).unwrap();
            prop_assert_eq!(&payload[..], text.as_bytes());
            prop_assert_eq!(codec.decode::<String>(payload), Ok(text.clone()));
            let bytes = Bytes::from(bytes.clone());
            prop_assert_eq!(codec.decode::<Bytes>(codec.encode(&bytes).unwrap()), Ok(bytes));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(mut bytes in any::<Vec<u8>>()) {
        for topic in ["", "all ", "parcel "] {
            let payload = Bytes::from([topic.as_bytes(), &bytes].concat());
            for codec in CODECS {
                // Whatever it says, it says it.
                let _ = codec.decode::<Everything>(payload.clone());
                let _ = codec.decode::<Parcel>(payload.clone());
                let _ = codec.decode::<String>(payload.clone());
            }
        }
        bytes.clear();
    }

    #[test]
    fn a_value_that_is_cut_or_has_bytes_behind_it_is_refused(value in everything(), cut in 1..40_usize) {
        for codec in CODECS {
            let payload = codec.encode(&value).unwrap();
            let cut = cut.min(payload.len() - "all ".len());
            let short = payload.slice(..payload.len() - cut);
            prop_assert!(codec.decode::<Everything>(short).is_err());
            let long = Bytes::from([&payload[..], b"x"].concat());
            prop_assert!(codec.decode::<Everything>(long).is_err());
        }
    }
}

#[test]
fn a_length_that_is_only_announced_takes_no_memory() {
    // A text, a list and a map of four billion, of which nothing follows.
    for announced in [
        [0xdb, 0xff, 0xff, 0xff, 0xff],
        [0xdd, 0xff, 0xff, 0xff, 0xff],
    ] {
        let payload = Bytes::from([b"all ", &announced[..]].concat());
        assert!(Codec::MessagePack.decode::<Everything>(payload).is_err());
    }
    let payload = Bytes::from([b"all ", &[0xff; 16][..]].concat());
    assert!(Codec::Postcard.decode::<Everything>(payload).is_err());
}

#[test]
fn a_socket_without_a_codec_refuses_serde_types() {
    assert!(Codec::RawOnly.encode(&Parcel::default()).is_ok());
    let value: serde_json::Value = serde_json::json!({ "a": 1 });
    assert!(Codec::RawOnly.encode(&value).is_err());
    assert!(
        Codec::RawOnly
            .decode::<serde_json::Value>(Bytes::new())
            .is_err()
    );
}
