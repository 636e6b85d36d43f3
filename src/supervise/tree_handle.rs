//! Handles of actors and trees that run.

use std::sync::Arc;

use actix::{Actor, Addr, Context};
use tokio::sync::mpsc::UnboundedSender;

use super::builder::{Factory, Supervise};
use super::child_list::{Newcomer, Report, Roster};
use super::child_record::{ChildCell, Command};
use super::report::{ChildReport, TreeReport};
use super::tree::spawn_child;

/// A supervised actor that was started with [`Supervise::spawn`](super::Supervise::spawn).
///
/// Dropping the handle changes nothing.
#[derive(Debug)]
pub struct Child<A: Actor> {
    addr: Addr<A>,
    cell: Arc<ChildCell>,
}

impl<A: Actor> Child<A> {
    pub(crate) fn new(addr: Addr<A>, cell: Arc<ChildCell>) -> Self {
        Self { addr, cell }
    }

    /// The address of the actor, which is the same in all its incarnations.
    pub fn addr(&self) -> Addr<A> {
        self.addr.clone()
    }

    /// What the actor is doing, and how it has fared.
    pub fn inspect(&self) -> ChildReport {
        ChildReport::of(&self.cell, None)
    }

    /// Ends the actor whatever its policy says, and waits until it has ended.
    ///
    /// The actor's `stopping` and `stopped` run. Messages in its mailbox are dropped.
    ///
    /// # Cancel safety
    ///
    /// The actor ends even if the future is dropped.
    pub async fn stop(&self) {
        self.cell.command(Command::End);
        self.cell.ended().await;
    }

    /// Waits until the actor has ended for good.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn ended(&self) {
        self.cell.ended().await;
    }
}

impl<A: Actor> Clone for Child<A> {
    fn clone(&self) -> Self {
        Self::new(self.addr.clone(), Arc::clone(&self.cell))
    }
}

/// A tree that runs. Dropping the handle does not stop it.
#[derive(Clone, Debug)]
pub struct TreeHandle {
    pub(crate) cell: Arc<ChildCell>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) reports: UnboundedSender<Report>,
}

impl TreeHandle {
    /// What the tree and its children are doing, and how they have fared.
    pub fn inspect(&self) -> TreeReport {
        self.roster.report(&self.cell)
    }

    /// Adds an actor to the running tree, after all its other children. It starts when they have.
    ///
    /// It runs in the arbiter of the tree. With [`RestartPolicy::Temporary`](super::RestartPolicy::Temporary), this suits actors that come and go.
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
        let cell = Arc::clone(seed.cell());
        let launch = Box::new(move |seat| spawn_child(seed, seat));
        let newcomer = Newcomer {
            cell,
            policy,
            launch,
        };
        let sent = self.reports.send(Report::Add(Box::new(newcomer)));
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
        self.cell.command(Command::End);
        self.cell.ended().await;
    }

    /// Waits until the tree has ended, because it was stopped or given up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn ended(&self) {
        self.cell.ended().await;
    }
}

/// The tree has ended and takes no more children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervision tree has ended")]
pub struct TreeEnded;
