//! What the log is told, and how often.

mod busy;
mod limited;

pub(crate) use busy::{ActorName, Busy, enter};
pub(crate) use limited::{Topic, line};
