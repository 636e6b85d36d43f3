//! What encoding and decoding cost, beside raw bytes: `cargo bench --bench codecs --all-features`.

use std::hint::black_box;
use std::time::Instant;

use actix_aiomsg::{Codec, Payload, payload, payload::Protobuf};
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 9;
const MESSAGES: u32 = 100_000;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Order {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    customer: String,
    #[prost(double, tag = "3")]
    price: f64,
    #[prost(uint32, repeated, tag = "4")]
    items: Vec<u32>,
}

/// The same, as protobuf.
#[derive(Clone, PartialEq, prost::Message)]
struct Parcel {
    #[prost(message, optional, tag = "1")]
    order: Option<Order>,
}

payload!(Order = "order ");

impl Payload for Parcel {
    type Format = Protobuf;
    const TOPIC: &'static str = "order ";
}

fn main() {
    let order = Order {
        id: 1_234_567,
        customer: "somebody@example.org".to_owned(),
        price: 19.99,
        items: vec![1, 22, 333, 4_444],
    };
    let parcel = Parcel {
        order: Some(order.clone()),
    };
    println!("medians of {ROUNDS} rounds, ns for each message\n");
    println!("| codec | bytes | encode | decode |");
    println!("|---|---|---|---|");
    let raw = Codec::Json.encode(&order).expect("it can be");
    row("raw bytes", Codec::Json, &raw);
    row("JSON", Codec::Json, &order);
    row("MessagePack", Codec::MessagePack, &order);
    row("postcard", Codec::Postcard, &order);
    row("protobuf", Codec::Json, &parcel);
}

fn row<T: Payload>(name: &str, codec: Codec, value: &T) {
    let payload = codec.encode(value).expect("it can be");
    let encode = median(|| {
        black_box(codec.encode(black_box(value)).expect("it can be"));
    });
    let decode = median(|| {
        let value = codec.decode::<T>(black_box(payload.clone()));
        black_box(value.is_ok());
    });
    println!("| {name} | {} | {encode:.0} | {decode:.0} |", payload.len());
}

fn median(mut once: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..MESSAGES {
                once();
            }
            begun.elapsed().as_secs_f64() * 1e9 / f64::from(MESSAGES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
