//! What the benches share that set whole sockets beside bare streams.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod bare;
#[path = "../../tests/support/each.rs"]
pub(crate) mod each;
pub(crate) mod process;
#[cfg(feature = "tls-dev")]
pub(crate) mod secrets;
