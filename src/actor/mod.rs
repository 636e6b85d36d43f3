//! The actors of a socket: thin shells around the routing core and the engine.

mod authorization;
pub(crate) mod beat;
mod children;
pub(crate) mod connection;
#[cfg(feature = "test-util")]
pub(crate) mod crash;
pub(crate) mod dialer;
pub(crate) mod handshake;
mod intake;
pub(crate) mod listener;
mod look;
pub(crate) mod membership;
mod partial;
mod reader;
pub(crate) mod router;
mod screen;
pub(crate) mod socket;
pub(crate) mod sweep;
mod ticker;
pub(crate) mod traffic;
mod writer;

pub(crate) use children::start_socket;
pub(crate) use socket::Watch;
