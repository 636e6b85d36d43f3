//! The core of a socket: its parts, joined, and what only all of them together can tell or do.

mod counters;
mod inbound;
mod reconfigure;
mod shutdown;
mod socket_core;
mod stats;
mod subscription_host;

pub(crate) use socket_core::SocketCore;
pub use stats::Stats;
