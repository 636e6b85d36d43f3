//! What a tree and its children know of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::child_record::ChildCell;
use super::event::Notices;
use super::policy::{Exit, Policy};
use super::report::{ChildReport, TreeReport};
use super::tree_strategy::{ChildId, Strategy};

/// What children and the handle tell the task of a tree.
pub(crate) enum Report {
    Up(ChildId),
    Exited(ChildId, Exit),
    Gone(ChildId),
    Add(Box<Newcomer>),
}

/// A child for a tree that runs already.
pub(crate) struct Newcomer {
    pub(crate) cell: Arc<ChildCell>,
    pub(crate) policy: Policy,
    pub(crate) launch: Box<dyn FnOnce(Seat) + Send>,
}

/// The place of a child in its tree. Dropping it leaves the tree.
pub(crate) struct Seat {
    id: ChildId,
    reports: UnboundedSender<Report>,
}

impl Seat {
    pub(crate) fn new(id: ChildId, reports: UnboundedSender<Report>) -> Self {
        Self { id, reports }
    }

    pub(crate) fn up(&self) {
        let _ = self.reports.send(Report::Up(self.id));
    }

    pub(crate) fn exited(&self, exit: Exit) {
        let _ = self.reports.send(Report::Exited(self.id, exit));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.reports.send(Report::Gone(self.id));
    }
}

/// The members of a tree, for inspection and for commands.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) strategy: Strategy,
    pub(crate) entries: Mutex<BTreeMap<ChildId, Entry>>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    cell: Arc<ChildCell>,
    tree: Option<Arc<Roster>>,
}

impl Roster {
    pub(crate) fn insert(&self, id: ChildId, cell: Arc<ChildCell>, tree: Option<Arc<Roster>>) {
        self.entries.lock().insert(id, Entry { cell, tree });
    }

    pub(crate) fn remove(&self, id: ChildId) {
        self.entries.lock().remove(&id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.lock().is_empty()
    }

    pub(crate) fn cells(&self) -> Vec<Arc<ChildCell>> {
        let entries = self.entries.lock();
        entries
            .values()
            .map(|entry| Arc::clone(&entry.cell))
            .collect()
    }

    pub(crate) fn cell(&self, id: ChildId) -> Option<Arc<ChildCell>> {
        self.entries
            .lock()
            .get(&id)
            .map(|entry| Arc::clone(&entry.cell))
    }

    pub(crate) fn adopt_notices(&self, notices: &Notices) {
        for entry in self.entries.lock().values() {
            entry.cell.adopt_notices(notices);
            if let Some(tree) = &entry.tree {
                tree.adopt_notices(notices);
            }
        }
    }

    pub(crate) fn report(&self, cell: &ChildCell) -> TreeReport {
        let vitals = cell.vitals();
        let entries = self.entries.lock();
        let children = entries.values().map(|entry| {
            let tree = entry.tree.as_ref().map(|tree| tree.report(&entry.cell));
            ChildReport::of(&entry.cell, tree)
        });
        TreeReport {
            name: cell.name(),
            strategy: self.strategy,
            state: vitals.state,
            children: children.collect(),
        }
    }
}
