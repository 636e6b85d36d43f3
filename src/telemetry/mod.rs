//! Log lines and their limits, and the count of restarts.

mod busy;
mod limited;
mod restarts;

pub(crate) use busy::{ActorName, Busy, enter};
pub(crate) use limited::{Topic, line};
#[cfg(feature = "metrics")]
pub(crate) use restarts::RESTARTS;
pub(crate) use restarts::note_restart;
