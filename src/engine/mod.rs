//! Decisions without IO, without a clock and without actix: whoever drives an engine says what time it is.

pub(crate) mod backoff;
pub(crate) mod intensity;
