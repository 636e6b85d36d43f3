//! The handle of a tree.

use std::sync::Arc;

use actix::{Actor, Addr, Context};
use tokio::sync::mpsc::UnboundedSender;

use super::builder::Supervise;
use super::child_list::ChildList;
use super::child_record::ChildRecord;
use super::child_task::Supervisor;
use super::factory::Factory;
use super::report::TreeReport;
use super::tree_membership::{Newcomer, TreeInput};

/// A tree that runs. Dropping the handle does not stop it.
#[derive(Clone, Debug)]
pub struct TreeHandle {
    pub(crate) record: Arc<ChildRecord>,
    pub(crate) children: Arc<ChildList>,
    pub(crate) inputs: UnboundedSender<TreeInput>,
}

impl TreeHandle {
    /// Reports what the tree and its children are doing, and how they have fared.
    pub fn inspect(&self) -> TreeReport {
        self.children.report(&self.record)
    }

    /// Adds an actor to the running tree, after all its other children. It starts when they have.
    ///
    /// The actor runs in the arbiter of the tree. With [`RestartPolicy::Temporary`](crate::supervise::RestartPolicy::Temporary), this suits actors that come and go.
    ///
    /// # Errors
    ///
    /// [`TreeEnded`] if the tree has ended.
    pub fn add<A, F>(&self, child: Supervise<A, F>) -> Result<Addr<A>, TreeEnded>
    where
        A: Actor<Context = Context<A>>,
        F: Factory<A> + Send,
    {
        let (addr, policy, seed) = child.into_seed();
        let record = Arc::clone(seed.record());
        if let Some(notices) = self.record.notices() {
            record.adopt_notices(&notices);
        }
        let launch = Box::new(move |place| seed.launch(Supervisor::Tree(place)));
        let newcomer = Newcomer {
            record,
            policy,
            launch,
        };
        let sent = self.inputs.send(TreeInput::Add(Box::new(newcomer)));
        sent.map(|()| addr).map_err(|_| TreeEnded)
    }

    /// Stops the children in the reverse order of their start, each after the one before has stopped, and waits
    /// until the tree has ended.
    ///
    /// The children's `stopping` and `stopped` run. Messages in their mailboxes are dropped.
    ///
    /// # Cancel safety
    ///
    /// The tree stops even if the future is dropped.
    pub async fn stop(&self) {
        self.record.stop().await;
    }

    /// Waits until the tree has ended, because it was stopped or given up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn ended(&self) {
        self.record.ended().await;
    }
}

/// The tree has ended and takes no more children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervision tree has ended")]
pub struct TreeEnded;
