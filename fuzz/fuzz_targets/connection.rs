//! Any bytes as the whole of what a peer sends to a listening socket.
#![no_main]

#[path = "../connection.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(|input: &[u8]| connection::connection(input));
