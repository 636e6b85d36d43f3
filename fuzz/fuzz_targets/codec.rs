//! Any bytes, split anywhere, through the codec and back.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::codec(input));
