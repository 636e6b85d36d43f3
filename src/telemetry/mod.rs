//! Log lines and their limits, the count of restarts, and distributions of times.

mod busy;
mod limited;
mod restarts;
mod timings;

pub(crate) use busy::{ActorName, Busy, enter};
pub(crate) use limited::{Topic, line};
#[cfg(feature = "metrics")]
pub(crate) use restarts::RESTARTS;
pub(crate) use restarts::note_restart;
#[cfg(feature = "metrics")]
pub(crate) use timings::BOUNDS;
#[cfg(any(feature = "metrics", test))]
pub(crate) use timings::Distribution;
pub(crate) use timings::{Batch, Timings};
