//! Callbacks for the end of an incarnation.
//!
//! An incarnation is one life of a supervised actor, from its factory to its panic or its stop. Code that
//! runs inside an actor, for instance a subscription that its `started` creates, may leave a callback here. It
//! runs when that incarnation has ended and its futures are dropped, before any backoff, so that
//! nothing stays with a dead handler while it waits for its restart.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::panics::contain;

thread_local! {
    /// The callbacks of the incarnation whose code this thread runs at the moment.
    static CURRENT: Cell<Option<Rc<EndCallbacks>>> = const { Cell::new(None) };
}

/// A callback for the end of an incarnation.
pub(crate) type AtEnd = Box<dyn FnOnce()>;

/// Asks for `at_end` to run when the incarnation that this code belongs to has ended.
///
/// # Errors
///
/// Hands the callback back if the calling code is not part of a supervised actor, or of one that has ended.
/// The caller then relies on its own `Drop`, which runs when actix drops the actor's context.
pub(crate) fn on_incarnation_end(at_end: AtEnd) -> Result<(), AtEnd> {
    match current() {
        Some(callbacks) => callbacks.register(at_end),
        None => Err(at_end),
    }
}

/// The callbacks of one incarnation, in the order of their registration; none once it has ended.
pub(crate) struct EndCallbacks(RefCell<Option<Vec<AtEnd>>>);

impl Default for EndCallbacks {
    fn default() -> Self {
        Self(RefCell::new(Some(Vec::new())))
    }
}

impl EndCallbacks {
    fn register(&self, at_end: AtEnd) -> Result<(), AtEnd> {
        match &mut *self.0.borrow_mut() {
            Some(callbacks) => {
                callbacks.push(at_end);
                Ok(())
            }
            None => Err(at_end),
        }
    }

    /// Ends the incarnation: runs every callback once, each contained.
    pub(crate) fn run(&self) {
        let callbacks = self.0.take();
        for at_end in callbacks.into_iter().flatten() {
            if let Err(message) = contain(at_end) {
                tracing::error!(%message, "a callback at the end of an incarnation panicked");
            }
        }
    }
}

/// Makes the incarnation of `callbacks` the current one of this thread until the guard is dropped.
pub(crate) fn enter(callbacks: &Rc<EndCallbacks>) -> IncarnationGuard {
    let outer = CURRENT.try_with(|current| current.replace(Some(Rc::clone(callbacks))));
    IncarnationGuard {
        outer: outer.ok().flatten(),
    }
}

/// Restores the incarnation that was current before.
pub(crate) struct IncarnationGuard {
    outer: Option<Rc<EndCallbacks>>,
}

impl Drop for IncarnationGuard {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(self.outer.take()));
    }
}

fn current() -> Option<Rc<EndCallbacks>> {
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
    fn callbacks_run_once_in_order_and_none_is_taken_after_the_end() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let callbacks = Rc::new(EndCallbacks::default());
        let note = |n: u32| -> AtEnd {
            let log = Rc::clone(&log);
            Box::new(move || log.borrow_mut().push(n))
        };
        let entered = enter(&callbacks);
        assert!(on_incarnation_end(note(1)).is_ok());
        assert!(on_incarnation_end(Box::new(|| panic!("a callback"))).is_ok());
        assert!(on_incarnation_end(note(2)).is_ok());
        drop(entered);
        assert!(on_incarnation_end(note(3)).is_err());
        callbacks.run();
        callbacks.run();
        assert_eq!(*log.borrow(), [1, 2]);
        let _entered = enter(&callbacks);
        assert!(on_incarnation_end(note(4)).is_err());
    }

    #[test]
    fn an_incarnation_inside_another_ends_with_its_guard() {
        let (outer, inner) = (
            Rc::new(EndCallbacks::default()),
            Rc::new(EndCallbacks::default()),
        );
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

        struct Holder(Rc<RefCell<Vec<&'static str>>>);
        impl Actor for Holder {
            type Context = Context<Self>;
            fn started(&mut self, ctx: &mut Self::Context) {
                let log = Rc::clone(&self.0);
                let registered =
                    on_incarnation_end(Box::new(move || log.borrow_mut().push("callback")));
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
            let log = Rc::new(RefCell::new(Vec::new()));
            let held = Rc::clone(&log);
            let child = supervise(move || Holder(Rc::clone(&held)))
                .backoff(Backoff::fixed(std::time::Duration::from_secs(3_600)))
                .spawn();
            while child.inspect().state != ChildState::BackingOff {
                actix::clock::sleep(std::time::Duration::from_millis(1)).await;
            }
            assert_eq!(*log.borrow(), ["stopped", "dropped", "callback"]);
            assert!(current().is_none());
        });
    }
}
