//! The place of a child in its tree, and what it tells the tree.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::child_record::ChildRecord;
use super::policy::{Exit, Policy};
use super::tree_strategy::ChildId;

/// A message to the task of a tree, from a child or from the tree's handle.
pub(crate) enum TreeInput {
    Up(ChildId),
    Exited(ChildId, Exit),
    Gone(ChildId),
    Add(Box<Newcomer>),
}

/// A child for a tree that runs already.
pub(crate) struct Newcomer {
    pub(crate) record: Arc<ChildRecord>,
    pub(crate) policy: Policy,
    pub(crate) launch: Box<dyn FnOnce(TreeMembership) + Send>,
}

/// The place of a child in its tree. Dropping it leaves the tree.
pub(crate) struct TreeMembership {
    id: ChildId,
    tree: UnboundedSender<TreeInput>,
}

impl TreeMembership {
    pub(crate) fn new(id: ChildId, tree: UnboundedSender<TreeInput>) -> Self {
        Self { id, tree }
    }

    /// Tells the tree that the child runs.
    pub(crate) fn up(&self) {
        let _ = self.tree.send(TreeInput::Up(self.id));
    }

    /// Tells the tree that an incarnation has ended.
    pub(crate) fn exited(&self, exit: Exit) {
        let _ = self.tree.send(TreeInput::Exited(self.id, exit));
    }
}

impl Drop for TreeMembership {
    fn drop(&mut self) {
        let _ = self.tree.send(TreeInput::Gone(self.id));
    }
}
