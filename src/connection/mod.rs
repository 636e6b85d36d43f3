//! One byte stream: its handshake, its reader and writer, its heartbeats, and the actor that holds them.

pub(crate) mod actor;
pub(crate) mod admission;
mod authorization;
mod blocked_heartbeats;
mod connected_peer;
pub(crate) mod connections;
mod dedupe_filter;
mod frame_scan;
pub(crate) mod handshake;
mod held_chunk;
mod leave;
pub(crate) mod liveness_sweep;
pub(crate) mod loopback;
pub(crate) mod membership;
mod metadata_filter;
mod rare_state;
mod read_buffer;
mod reader;
mod refusals;
pub(crate) mod session;
mod taken_reports;
mod writer;

pub use connected_peer::ConnectedPeer;
#[cfg(feature = "actix-web")]
pub(crate) use refusals::announce_refused_upgrade;
