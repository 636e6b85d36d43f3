//! The handle of a supervised actor.

use std::sync::Arc;

use actix::{Actor, Addr};

use super::child_record::ChildRecord;
use super::report::ChildReport;

/// A supervised actor that was started with [`Supervise::spawn`](crate::supervise::Supervise::spawn).
///
/// Dropping the handle changes nothing.
#[derive(Debug)]
pub struct Child<A: Actor> {
    addr: Addr<A>,
    record: Arc<ChildRecord>,
}

impl<A: Actor> Child<A> {
    pub(crate) fn new(addr: Addr<A>, record: Arc<ChildRecord>) -> Self {
        Self { addr, record }
    }

    /// The address of the actor, which is the same in all its incarnations.
    pub fn addr(&self) -> Addr<A> {
        self.addr.clone()
    }

    /// Reports what the actor is doing, and how it has fared.
    pub fn inspect(&self) -> ChildReport {
        ChildReport::of(&self.record, None)
    }

    /// Ends the actor whatever its policy says, and waits until it has ended.
    ///
    /// The actor's `stopping` and `stopped` run. Messages in its mailbox are dropped.
    ///
    /// # Cancel safety
    ///
    /// The actor ends even if the future is dropped.
    pub async fn stop(&self) {
        self.record.stop().await;
    }

    /// Waits until the actor has ended for good.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn ended(&self) {
        self.record.ended().await;
    }
}

impl<A: Actor> Clone for Child<A> {
    fn clone(&self) -> Self {
        Self::new(self.addr.clone(), Arc::clone(&self.record))
    }
}
