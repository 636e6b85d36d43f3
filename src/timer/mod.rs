//! Periodic wake-ups that arm no timer of the runtime: one thread of the process keeps them.

mod interval;
mod stand_in;
mod thread;

pub(crate) use interval::Interval;
#[cfg(feature = "test-util")]
pub(crate) use interval::follow_clock;
pub(crate) use stand_in::{StandIn, stand_in};
#[cfg(feature = "inspection")]
pub(crate) use thread::blocked_threads;
pub(crate) use thread::longest_blocked;
