//! What an inspection shows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::child_record::ChildCell;
use super::panics::PanicReport;
use super::tree_strategy::Strategy;
use crate::clock;

/// The state of a supervised actor or tree at the moment of the inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// It has not been started yet, or its tree has halted it.
    Waiting,
    /// Its factory or its `started` runs.
    Starting,
    /// It works.
    Running,
    /// It has failed and waits for its restart.
    BackingOff,
    /// It has been asked to stop and has not stopped yet.
    Stopping,
    /// It has ended for good.
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

/// One supervised actor or nested tree in an inspection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildReport {
    /// Its name, by default the name of the actor's type.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: ChildState,
    /// How often it has been restarted.
    pub restarts: u64,
    /// The last panic that was caught in it.
    pub last_panic: Option<PanicReport>,
    /// How long its present incarnation has been running, if it is.
    pub uptime: Option<Duration>,
    /// Its own children, if it is a tree.
    pub tree: Option<TreeReport>,
}

impl ChildReport {
    pub(crate) fn of(cell: &ChildCell, tree: Option<TreeReport>) -> Self {
        let vitals = cell.vitals();
        let now = clock::now();
        Self {
            name: cell.name(),
            state: vitals.state,
            restarts: vitals.restarts,
            last_panic: vitals.last_panic,
            uptime: vitals
                .running_since
                .map(|since| now.saturating_duration_since(since)),
            tree,
        }
    }
}

impl fmt::Display for ChildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.name, self.state)?;
        if self.restarts > 0 {
            write!(f, " restarts {}", self.restarts)?;
        }
        if let Some(panic) = &self.last_panic {
            write!(f, ", last panic {:?} in {}", panic.message(), panic.place())?;
        }
        Ok(())
    }
}

/// A tree with its children in the order of their start. Its `Display` draws it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeReport {
    /// The name of the tree.
    pub name: Arc<str>,
    /// Who else is restarted when a child fails.
    pub strategy: Strategy,
    /// What the tree is doing.
    pub state: ChildState,
    /// The children that have not ended for good.
    pub children: Vec<ChildReport>,
}

impl TreeReport {
    /// The child with this name, at any depth.
    pub fn child(&self, name: &str) -> Option<&ChildReport> {
        self.children.iter().find_map(|child| {
            let below = || child.tree.as_ref().and_then(|tree| tree.child(name));
            if &*child.name == name {
                Some(child)
            } else {
                below()
            }
        })
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (index, child) in self.children.iter().enumerate() {
            let last = index + 1 == self.children.len();
            let (branch, below) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            write!(f, "\n{indent}{branch}{child}")?;
            if let Some(tree) = &child.tree {
                write!(f, " {}", tree.strategy)?;
                tree.draw(f, &format!("{indent}{below}"))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TreeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.name, self.state, self.strategy)?;
        self.draw(f, "")
    }
}
