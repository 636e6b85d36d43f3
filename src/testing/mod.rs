//! For tests of what is built on this crate (feature `test-util`): sockets within the process, connections
//! with faults, scripted peers, probes, services, and checks of what must not have happened.
//!
//! `docs/TESTING.md` shows a service under test.

mod kit;
mod line;
mod outbox_store;
mod panics;
mod peer;
mod probe;
mod service;

pub use kit::TestKit;
pub use line::FaultyLine;
pub use outbox_store::check_outbox_store;
pub use peer::ScriptedPeer;
pub use probe::{Probe, ProbeError};
pub use service::{TestInstance, TestService};

use std::time::Duration;

pub use crate::actor::fault_injection::Part;

/// Stops the clock of this thread's runtime. Timers then end as soon as nothing else is left to do,
/// in their order: a heartbeat timeout takes no time.
///
/// Only between sockets that are connected within the process: whatever waits for the network
/// looks like nothing to do.
///
/// # Panics
///
/// When it is stopped already, or the runtime has several threads.
pub fn pause_time() {
    tokio::time::pause();
    crate::timer::follow_clock();
}

/// Moves the stopped clock on.
///
/// # Cancel safety
///
/// Dropped before it resolves, the clock has moved and timers may not have run.
///
/// # Panics
///
/// When the clock is not stopped.
pub async fn advance_time(by: Duration) {
    tokio::time::advance(by).await;
}
