//! What must be given back when an incarnation of an actor ends.
//!
//! An incarnation is one life of a supervised actor, from its factory to its panic or its stop. Code that
//! runs inside an actor, for instance a subscription that its `started` creates, may leave a callback here. It
//! runs when that incarnation has ended and its futures are dropped, before any backoff, so that
//! nothing stays with a dead handler while it waits for its restart.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::panics::contain;

thread_local! {
    /// The incarnation whose code this thread runs at the moment.
    static CURRENT: Cell<Option<Rc<Leases>>> = const { Cell::new(None) };
}

/// What a lease runs at the end of its incarnation.
pub(crate) type AtEnd = Box<dyn FnOnce()>;

/// Asks for `at_end` to run when the incarnation that this code belongs to has ended.
///
/// # Errors
///
/// Hands the callback back if the calling code is not part of a supervised actor, or of one that has ended.
/// The caller then relies on its own `Drop`, which runs when actix drops the actor's context.
pub(crate) fn on_incarnation_end(at_end: AtEnd) -> Result<Lease, AtEnd> {
    match current() {
        Some(leases) => leases.register(at_end),
        None => Err(at_end),
    }
}

/// A registered callback. Dropping the lease leaves it registered.
#[derive(Debug)]
#[allow(dead_code, reason = "the data path of the sockets is the caller")]
pub(crate) struct Lease {
    leases: Weak<Leases>,
    id: u64,
}

#[allow(dead_code, reason = "the data path of the sockets is the caller")]
impl Lease {
    /// Takes the callback back, unless it runs or has run.
    pub(crate) fn withdraw(self) -> Option<AtEnd> {
        self.leases.upgrade()?.withdraw(self.id)
    }

    /// Whether the incarnation that this lease belongs to has not ended.
    pub(crate) fn is_valid(&self) -> bool {
        self.leases
            .upgrade()
            .is_some_and(|leases| matches!(leases.phase.get(), Phase::Alive))
    }
}

/// The callbacks of one incarnation, in the order of their registration.
#[derive(Default)]
pub(crate) struct Leases {
    phase: Cell<Phase>,
    next_id: Cell<u64>,
    at_end: RefCell<Vec<(u64, AtEnd)>>,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Alive,
    Ended,
}

impl Leases {
    fn register(self: &Rc<Self>, at_end: AtEnd) -> Result<Lease, AtEnd> {
        match self.phase.get() {
            Phase::Ended => Err(at_end),
            Phase::Alive => {
                let id = self.next_id.get();
                self.next_id.set(id + 1);
                self.at_end.borrow_mut().push((id, at_end));
                let leases = Rc::downgrade(self);
                Ok(Lease { leases, id })
            }
        }
    }

    fn withdraw(&self, id: u64) -> Option<AtEnd> {
        let mut at_end = self.at_end.borrow_mut();
        let index = at_end.iter().position(|(other, _)| *other == id)?;
        Some(at_end.remove(index).1)
    }

    /// Ends the incarnation: runs every callback once, each contained.
    pub(crate) fn end(&self) {
        self.phase.set(Phase::Ended);
        let at_end = self.at_end.take();
        for (_, at_end) in at_end {
            if let Err(message) = contain(at_end) {
                tracing::error!(%message, "a callback at the end of an incarnation panicked");
            }
        }
    }
}

/// Makes `leases` the current incarnation of this thread until the guard is dropped.
pub(crate) fn enter(leases: &Rc<Leases>) -> Entered {
    let outer = CURRENT.try_with(|current| current.replace(Some(Rc::clone(leases))));
    Entered {
        outer: outer.ok().flatten(),
    }
}

/// Restores the incarnation that was current before.
pub(crate) struct Entered {
    outer: Option<Rc<Leases>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(self.outer.take()));
    }
}

fn current() -> Option<Rc<Leases>> {
    CURRENT
        .try_with(|cell| {
            let current = cell.take();
            cell.set(current.clone());
            current
        })
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_a_supervised_actor_the_callback_comes_back() {
        assert!(on_incarnation_end(Box::new(|| {})).is_err());
    }

    #[test]
    fn callbacks_run_once_in_order_and_a_withdrawn_one_does_not() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let leases = Rc::new(Leases::default());
        let note = |n: u32| -> AtEnd {
            let log = Rc::clone(&log);
            Box::new(move || log.borrow_mut().push(n))
        };
        let entered = enter(&leases);
        let first = on_incarnation_end(note(1))
            .ok()
            .expect("an incarnation is current");
        let second = on_incarnation_end(note(2))
            .ok()
            .expect("an incarnation is current");
        let third = on_incarnation_end(Box::new(|| panic!("a callback")));
        let fourth = on_incarnation_end(note(4));
        drop(entered);
        assert!(on_incarnation_end(note(5)).is_err());
        assert!(first.is_valid());
        assert!(second.withdraw().is_some());
        leases.end();
        leases.end();
        assert!(!first.is_valid());
        assert!(first.withdraw().is_none());
        assert!(third.is_ok() && fourth.is_ok());
        assert_eq!(*log.borrow(), [1, 4]);
        let _entered = enter(&leases);
        assert!(on_incarnation_end(note(6)).is_err());
    }

    #[test]
    fn an_incarnation_inside_another_ends_with_its_guard() {
        let (outer, inner) = (Rc::new(Leases::default()), Rc::new(Leases::default()));
        let _outer = enter(&outer);
        drop(enter(&inner));
        assert!(Rc::ptr_eq(
            &current().expect("the outer one is current"),
            &outer
        ));
    }

    #[test]
    fn the_callback_runs_after_the_actor_is_dropped_and_before_the_backoff() {
        use crate::supervise::{Backoff, ChildState, supervise};
        use actix::prelude::*;

        struct Holder(Log);
        type Log = Rc<RefCell<Vec<&'static str>>>;
        impl Actor for Holder {
            type Context = Context<Self>;
            fn started(&mut self, ctx: &mut Self::Context) {
                let log = Rc::clone(&self.0);
                let registered =
                    on_incarnation_end(Box::new(move || log.borrow_mut().push("lease")));
                assert!(registered.is_ok());
                ctx.run_later(std::time::Duration::ZERO, |_, _| panic!("on demand"));
            }
            fn stopped(&mut self, _: &mut Self::Context) {
                self.0.borrow_mut().push("stopped");
            }
        }
        impl Drop for Holder {
            fn drop(&mut self) {
                self.0.borrow_mut().push("dropped");
            }
        }

        System::new().block_on(async {
            let log = Log::default();
            let held = Rc::clone(&log);
            let child = supervise(move || Holder(Rc::clone(&held)))
                .backoff(Backoff::fixed(std::time::Duration::from_secs(3_600)))
                .spawn();
            while child.inspect().state != ChildState::BackingOff {
                actix::clock::sleep(std::time::Duration::from_millis(1)).await;
            }
            assert_eq!(*log.borrow(), ["stopped", "dropped", "lease"]);
            assert!(current().is_none());
        });
    }
}
