//! The actors of a socket that have a mailbox: thin shells around the core.

mod accept_gate;
mod children;
pub(crate) mod dialer;
pub(crate) mod discovery;
pub(crate) mod drain_group;
#[cfg(feature = "test-util")]
pub(crate) mod fault_injection;
pub(crate) mod listener;
mod report;
mod restarts;
pub(crate) mod router;
pub(crate) mod shutdown;
pub(crate) mod socket;
mod start;
pub(crate) mod supervision;

pub use report::SocketReport;
pub(crate) use socket::Watch;
pub(crate) use start::start_socket;
