//! The states of a supervised child.

use std::fmt;

/// The state of a supervised actor or tree at the moment of the inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// Not started yet, or halted by its tree.
    Waiting,
    /// Its factory or its `started` is running.
    Starting,
    /// At work.
    Running,
    /// Failed, and waiting for the restart.
    BackingOff,
    /// Asked to stop, and not stopped yet.
    Stopping,
    /// Ended for good.
    Ended,
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing off",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        })
    }
}
