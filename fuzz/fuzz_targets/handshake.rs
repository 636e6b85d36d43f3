//! Any bytes as the opening of a connection.
#![no_main]

use actix_aiomsg::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::handshake(input));
