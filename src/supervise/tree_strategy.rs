//! Strategies of a tree: the children that are restarted together.

use std::fmt;

/// The children that are restarted when one of a [`SupervisionTree`](super::SupervisionTree) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Only the child that failed.
    OneForOne,
    /// All children of the tree.
    OneForAll,
    /// The child that failed and those that were started after it.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

impl Strategy {
    /// The first child that is restarted with one that has failed, and everyone behind it is; `None` if it is
    /// restarted alone.
    pub(super) const fn first_of_group(self, failed: ChildId) -> Option<ChildId> {
        match self {
            Self::OneForOne => None,
            Self::RestForOne => Some(failed),
            Self::OneForAll => Some(ChildId(0)),
        }
    }
}

/// A child of a tree. Later children have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId(pub(crate) u64);
