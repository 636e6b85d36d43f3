//! The actor that has a thread at the moment, for whoever finds that thread blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The types of all actors that ever had a thread: a handful in any program.
static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

thread_local! {
    static HERE: Arc<Busy> = Arc::new(Busy {
        actor: AtomicUsize::new(0),
        thread: std::thread::current().name().map(str::to_owned),
    });
}

/// The type of an actor, as a number that threads can share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActorName(usize);

impl ActorName {
    /// The name of an actor type. Found once for each pump, and not for each message.
    pub(crate) fn of<A>() -> Self {
        let name = std::any::type_name::<A>();
        let mut names = NAMES.lock();
        let known = names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        // Zero is nobody.
        Self(index + 1)
    }
}

/// The actor that a thread works for.
#[derive(Debug)]
pub(crate) struct Busy {
    actor: AtomicUsize,
    thread: Option<String>,
}

impl Busy {
    /// The record of the calling thread.
    pub(crate) fn here() -> Arc<Self> {
        HERE.with(Arc::clone)
    }

    /// The actor whose handlers run now, if any do.
    pub(crate) fn actor(&self) -> Option<&'static str> {
        let index = self.actor.load(Ordering::Relaxed).checked_sub(1)?;
        NAMES.lock().get(index).copied()
    }

    /// The name of the thread.
    pub(crate) fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }
}

/// While it lives, the thread is busy with an actor.
#[derive(Debug)]
pub(crate) struct BusyGuard(());

/// From now on, the handlers of this actor run on this thread.
#[inline]
pub(crate) fn enter(ActorName(actor): ActorName) -> BusyGuard {
    HERE.with(|here| here.actor.store(actor, Ordering::Relaxed));
    BusyGuard(())
}

impl Drop for BusyGuard {
    #[inline]
    fn drop(&mut self) {
        // A thread that ends has no place any more.
        let _ = HERE.try_with(|here| here.actor.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;
    struct Other;

    #[test]
    fn a_thread_is_busy_with_one_actor_at_a_time_and_with_none_after_a_panic() {
        let here = Busy::here();
        let (one, other) = (ActorName::of::<One>(), ActorName::of::<Other>());
        assert_eq!(here.actor(), None);
        let entered = enter(one);
        assert!(here.actor().unwrap().ends_with("One"));
        drop(entered);
        let panicked = std::panic::catch_unwind(|| {
            let _entered = enter(other);
            std::panic::resume_unwind(Box::new(Busy::here().actor()));
        });
        let seen = panicked.unwrap_err();
        let seen = seen.downcast::<Option<&'static str>>().unwrap();
        assert!(seen.unwrap().ends_with("Other"));
        assert_eq!(here.actor(), None);
    }
}
