//! Any bytes as a payload that may be in the envelope of its metadata.
#![no_main]

use actix_aiomsg::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::metadata(input));
