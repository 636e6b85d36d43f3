//! The core of a socket: its parts, joined, and what only all of them together can tell or do.

mod counters;
mod health;
mod inbound;
mod inquiries;
mod introspection;
mod reconfigure;
mod redelivery;
mod shutdown;
mod socket_core;
mod standing;
mod stats;
mod subscription_host;

pub(crate) use reconfigure::warn_of_timers;
pub(crate) use socket_core::SocketCore;
pub(crate) use standing::Part;
pub use stats::Stats;
