//! A runtime that was dropped, and that a blocking task keeps.
//!
//! Whoever drops a tokio runtime waits there until its blocking tasks are over: what was given to `spawn_blocking`, or a
//! read of `tokio::io::stdin()`. That wait may last for ever, and nothing announces it. Linux shows its signs: a thread of tokio that
//! was there before lives on, and the threads that may have dropped the runtime do not run. A `main` that goes on after
//! its runtime has ended shows none of them, or not both.

use std::collections::BTreeSet;
use std::fs;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;

/// The pause between two looks at a runtime.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The looks after which the program is taken for one that goes on.
const LOOKS: u32 = 10;

/// The name of the threads of tokio, for tasks that block among others.
const POOL_THREAD: &str = "tokio-rt-worker";

/// The threads of this process.
const THREADS: &str = "/proc/self/task";

/// What is seen of a runtime that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeEnd {
    /// It has ended, or cannot be told from one that has.
    Over,
    /// It may be kept: another look is due.
    Unclear,
    /// A blocking task keeps it.
    Kept,
}

/// A runtime that was dropped, as its threads show it.
#[derive(Debug)]
pub(crate) struct LeftRuntime {
    /// The threads that may wait for the end of the runtime.
    waiting: BTreeSet<u32>,
    /// The threads that may keep it.
    pool: BTreeSet<u32>,
    looks: u32,
    last: Option<Vec<Rest>>,
}

/// A thread that waits. Two equal ones mean that it has not run in between.
#[derive(Debug, PartialEq, Eq)]
struct Rest(Vec<String>);

/// Tells of a runtime once its tasks are dropped, from when on a blocking task may keep it.
pub(crate) fn when_left(runtime: &Handle, tell: impl FnOnce(LeftRuntime) + Send + 'static) {
    let guard = Guard(Some(tell));
    drop(runtime.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    }));
}

/// A task of the runtime has it.
struct Guard<F: FnOnce(LeftRuntime)>(Option<F>);

impl<F: FnOnce(LeftRuntime)> Drop for Guard<F> {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(LeftRuntime::of_dropped_task());
        }
    }
}

impl LeftRuntime {
    /// The runtime whose tasks the calling code belongs to, while they are dropped.
    fn of_dropped_task() -> Self {
        let pool = pool_threads();
        let mut waiting = BTreeSet::from([std::process::id()]);
        waiting.extend(current_thread().filter(|thread| !pool.contains(thread)));
        Self {
            waiting,
            pool,
            looks: 0,
            last: None,
        }
    }

    /// Looks at the threads, once in a [`PAUSE`].
    pub(crate) fn look(&mut self) -> RuntimeEnd {
        self.looks += 1;
        if self.looks > LOOKS || self.pool.is_disjoint(&pool_threads()) {
            return RuntimeEnd::Over;
        }
        let now: Option<Vec<Rest>> = self.waiting.iter().map(|thread| rest(*thread)).collect();
        let end = match now.is_some() && now == self.last {
            true => RuntimeEnd::Kept,
            false => RuntimeEnd::Unclear,
        };
        self.last = now;
        end
    }
}

/// The threads of tokio. None where the operating system does not show them.
fn pool_threads() -> BTreeSet<u32> {
    let Ok(threads) = fs::read_dir(THREADS) else {
        return BTreeSet::new();
    };
    let is_of_tokio = |thread: &u32| {
        let name = fs::read_to_string(format!("{THREADS}/{thread}/comm"));
        name.is_ok_and(|name| name.trim_end() == POOL_THREAD)
    };
    let threads = threads.flatten();
    threads
        .filter_map(|thread| thread.file_name().to_str()?.parse().ok())
        .filter(is_of_tokio)
        .collect()
}

fn current_thread() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// How a thread waits; `None` if it runs, or has ended.
fn rest(thread: u32) -> Option<Rest> {
    let place = Path::new(THREADS).join(thread.to_string()).join("status");
    let status = fs::read_to_string(place).ok()?;
    let said = |word: &str| status.lines().find(|line| line.starts_with(word));
    if !said("State:")?.contains("sleeping") {
        return None;
    }
    let counts = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
    let counts: Option<Vec<String>> = counts
        .into_iter()
        .map(|word| said(word).map(str::to_owned))
        .collect();
    counts.map(Rest)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Drops a runtime with a task that blocks until its sender is dropped, in a thread that goes on for ever.
    fn leave() -> (LeftRuntime, mpsc::Sender<()>) {
        let (told, left) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let (begun, begins) = mpsc::channel();
            runtime.spawn_blocking(move || {
                begun.send(()).unwrap();
                released.recv()
            });
            begins.recv().unwrap();
            when_left(runtime.handle(), move |left| told.send(left).unwrap());
            drop(runtime);
            loop {
                thread::park();
            }
        });
        (left.recv().unwrap(), release)
    }

    fn last_look(left: &mut LeftRuntime) -> RuntimeEnd {
        loop {
            match left.look() {
                RuntimeEnd::Unclear => thread::sleep(Duration::from_millis(50)),
                end => return end,
            }
        }
    }

    #[test]
    fn a_runtime_that_a_blocking_task_keeps_is_seen_until_that_is_over() {
        let (mut left, release) = leave();
        assert_eq!(last_look(&mut left), RuntimeEnd::Kept);
        drop(release);
        while left.pool.intersection(&pool_threads()).count() > 0 {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(left.look(), RuntimeEnd::Over);
    }

    #[test]
    fn a_thread_that_goes_on_is_not_taken_for_one_that_waits_for_its_runtime() {
        let (mut left, _release) = leave();
        let (told, working) = mpsc::channel();
        thread::spawn(move || {
            told.send(current_thread().unwrap()).unwrap();
            loop {
                thread::sleep(Duration::from_millis(1));
            }
        });
        left.waiting.insert(working.recv().unwrap());
        assert_eq!(last_look(&mut left), RuntimeEnd::Over);
    }
}
