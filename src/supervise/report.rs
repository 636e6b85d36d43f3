//! The reports of an inspection.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::child_record::ChildRecord;
use super::child_state::ChildState;
use super::panics::PanicReport;
use super::tree_strategy::Strategy;
use crate::clock;
use crate::engine::restart_intensity::{Intensity, RestartWindow};

/// One supervised actor or nested tree in an inspection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildReport {
    /// Its name, by default the name of the actor's type.
    pub name: Arc<str>,
    /// Its state.
    pub state: ChildState,
    /// The number of its restarts.
    pub restarts: u64,
    /// The restarts of late and the number that is allowed, if the actor has an intensity of its own and was restarted;
    /// for a tree, those of its children.
    pub recent_restarts: Option<RecentRestarts>,
    /// The last panic that was caught in it.
    pub last_panic: Option<PanicReport>,
    /// The age of its present incarnation, if it is running.
    pub uptime: Option<Duration>,
    /// Its own children, if it is a tree.
    pub tree: Option<TreeReport>,
}

impl ChildReport {
    pub(crate) fn of(record: &ChildRecord, tree: Option<TreeReport>) -> Self {
        let vitals = record.vitals();
        let now = clock::now();
        Self {
            name: record.name(),
            state: vitals.state,
            restarts: vitals.restarts,
            recent_restarts: vitals.spent.map(|spent| RecentRestarts::of(&spent, now)),
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

/// The restarts that count against an [intensity](super::Supervise::intensity).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentRestarts {
    /// The restarts within the last `window`.
    pub count: u32,
    /// The number that is allowed; one more, and the actor is given up.
    pub max_restarts: u32,
    /// The period in which they are counted; zero if they are counted for ever.
    pub window: Duration,
}

impl RecentRestarts {
    fn of(spent: &RestartWindow, now: Instant) -> Self {
        let Intensity {
            max_restarts,
            window,
        } = spent.intensity();
        Self {
            count: spent.spent(now),
            max_restarts,
            window,
        }
    }
}

/// A tree with its children in the order of their start. Its `Display` draws it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeReport {
    /// The name of the tree.
    pub name: Arc<str>,
    /// The rule for the siblings of a child that fails.
    pub strategy: Strategy,
    /// The state of the tree.
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
