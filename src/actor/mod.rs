//! The actors of a socket: thin shells around the routing core and the engine.

pub(crate) mod connection;
pub(crate) mod dialer;
mod handshake;
pub(crate) mod listener;
mod membership;
mod reader;
pub(crate) mod router;
pub(crate) mod socket;
pub(crate) mod sweep;
mod traffic;
mod writer;
