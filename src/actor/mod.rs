//! The actors of a socket that have a mailbox: thin shells around the core.

mod accept_gate;
mod children;
pub(crate) mod dialer;
#[cfg(feature = "test-util")]
pub(crate) mod fault_injection;
pub(crate) mod listener;
pub(crate) mod router;
pub(crate) mod socket;

pub(crate) use children::start_socket;
pub(crate) use socket::Watch;
