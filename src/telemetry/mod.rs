//! Log lines and their limits.

mod busy;
mod limited;

pub(crate) use busy::{ActorName, Busy, enter};
pub(crate) use limited::{Topic, line};
