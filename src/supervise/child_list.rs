//! The children of a tree, for commands and inspection.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::child_record::ChildRecord;
use super::event::RestartNotices;
use super::report::{ChildReport, TreeReport};
use super::tree_strategy::{ChildId, Strategy};

/// Lists the children of a tree in the order of their start.
#[derive(Debug)]
pub(crate) struct ChildList {
    strategy: Strategy,
    children: Mutex<BTreeMap<ChildId, ListedChild>>,
}

#[derive(Debug)]
struct ListedChild {
    record: Arc<ChildRecord>,
    tree: Option<Arc<ChildList>>,
}

impl ChildList {
    pub(crate) fn new(strategy: Strategy) -> Arc<Self> {
        let children = Mutex::default();
        Arc::new(Self { strategy, children })
    }

    pub(crate) fn insert(
        &self,
        id: ChildId,
        record: Arc<ChildRecord>,
        tree: Option<Arc<ChildList>>,
    ) {
        let child = ListedChild { record, tree };
        self.children.lock().insert(id, child);
    }

    pub(crate) fn remove(&self, id: ChildId) {
        self.children.lock().remove(&id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.lock().is_empty()
    }

    pub(crate) fn records(&self) -> Vec<Arc<ChildRecord>> {
        let children = self.children.lock();
        children
            .values()
            .map(|child| Arc::clone(&child.record))
            .collect()
    }

    pub(crate) fn record(&self, id: ChildId) -> Option<Arc<ChildRecord>> {
        let children = self.children.lock();
        children.get(&id).map(|child| Arc::clone(&child.record))
    }

    /// Sends the events of all children, at any depth, to `notices`, except of those with a recipient of their own.
    pub(crate) fn adopt_notices(&self, notices: &RestartNotices) {
        for child in self.children.lock().values() {
            child.record.adopt_notices(notices);
            if let Some(tree) = &child.tree {
                tree.adopt_notices(notices);
            }
        }
    }

    /// Describes the tree whose record this is.
    pub(crate) fn report(&self, record: &ChildRecord) -> TreeReport {
        let children = self.children.lock();
        let reports = children.values().map(|child| {
            let tree = child.tree.as_ref().map(|tree| tree.report(&child.record));
            ChildReport::of(&child.record, tree)
        });
        TreeReport {
            name: record.name(),
            strategy: self.strategy,
            state: record.state(),
            children: reports.collect(),
        }
    }
}
