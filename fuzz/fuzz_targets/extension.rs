//! Any bytes as an envelope that only this implementation knows.
#![no_main]

use actix_aiomsg::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::extension(input));
