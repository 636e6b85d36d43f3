//! Whether actors can be started on a thread.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, LazyLock};
use std::thread;

use actix::Arbiter;

use crate::sync::Mutex;

/// True if actors can be started on this thread.
///
/// A runtime without a `LocalSet`, and a system outside of its `block_on`, cannot be asked: trying is the only way to
/// know, and it panics if they cannot. Nobody but us hears of that.
pub(super) fn run_here() -> bool {
    let try_it = || catch_unwind(|| drop(actix_rt::spawn(async {}))).is_ok();
    if tokio::runtime::Handle::try_current().is_err() {
        return false;
    }
    match Arbiter::try_current() {
        Some(_) => try_it(),
        None => in_silence(try_it),
    }
}

/// Runs a step whose panics on this thread are reported nowhere.
fn in_silence<R>(step: impl FnOnce() -> R) -> R {
    /// One at a time: each puts back what it found.
    static SILENT: LazyLock<Mutex<()>> = LazyLock::new(|| Mutex::new(()));

    // A panic that ends the process is not to be silent, and a thread that panics cannot change the hook.
    if cfg!(panic = "abort") || thread::panicking() {
        return step();
    }
    let one_at_a_time = SILENT.lock();
    let (here, usual) = (thread::current().id(), Arc::new(take_hook()));
    let others = Arc::clone(&usual);
    set_hook(Box::new(move |panic| {
        if thread::current().id() != here {
            others(panic);
        }
    }));
    let done = catch_unwind(AssertUnwindSafe(step));
    drop(take_hook());
    match Arc::try_unwrap(usual) {
        Ok(hook) => set_hook(hook),
        Err(hook) => set_hook(Box::new(move |panic| hook(panic))),
    }
    drop(one_at_a_time);
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
