//! What the benches share that set whole sockets beside bare streams.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod bare;
pub(crate) mod process;
#[cfg(feature = "tls-dev")]
pub(crate) mod secrets;
