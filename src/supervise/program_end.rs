//! The end of a program in which supervision gave up.
//!
//! A future that `main` awaits does not learn that the actix `System` stops, and a thread that is blocked learns
//! nothing at all. So the end has three steps, which a thread of its own takes:
//!
//! 1. It is published. Those who [`listen`] put their affairs in order, each within its grace.
//! 2. The `System` is stopped with exit code 1.
//! 3. If its runtime is there a second later, the process is ended with status 1. So it is if `main` has left the runtime and a
//!    blocking task keeps it.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use actix::System;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::left_runtime::{LeftRuntime, PAUSE, RuntimeEnd, when_left};
use super::policy::Escalation;
use crate::clock;

/// The time that a runtime has to end after its `System` was stopped.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// The most that programs of other scopes are waited for when the process ends.
const MOST_FOR_OTHERS: Duration = Duration::from_secs(3_600);

/// The actors that end together: those of one `System`, or of one thread without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProgramScope {
    System(usize),
    Thread(ThreadId),
}

impl ProgramScope {
    /// That of the calling code.
    pub(crate) fn current() -> Self {
        Self::of(System::try_current().as_ref())
    }

    fn of(system: Option<&System>) -> Self {
        match system {
            Some(system) => Self::System(system.id()),
            None => Self::Thread(thread::current().id()),
        }
    }
}

/// The scopes that somebody listens in, or that are ending.
static ENDS: LazyLock<Mutex<HashMap<ProgramScope, Weak<ProgramEnd>>>> =
    LazyLock::new(Mutex::default);

/// Set once supervision has given up a program of this process.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// True if supervision has given up a program of this process.
pub(crate) fn has_given_up() -> bool {
    GIVEN_UP.load(Ordering::Relaxed)
}

/// The end of one scope, and those who wait for it or are waited for.
#[derive(Debug)]
struct ProgramEnd {
    given_up: watch::Sender<Option<Escalation>>,
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct EndState {
    next_listener: u64,
    /// The grace of each listener that is not through.
    listeners: HashMap<u64, Duration>,
    runtime: RuntimeState,
}

/// The runtime once it waits for its blocking tasks, and after that.
type Left = Arc<Mutex<Option<LeftRuntime>>>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RuntimeState {
    #[default]
    Alive,
    /// Its local tasks are, and the rest of it as well unless somebody shares it.
    Dropped,
}

impl ProgramEnd {
    fn of(scope: ProgramScope) -> Arc<Self> {
        let mut ends = ENDS.lock();
        if let Some(end) = ends.get(&scope).and_then(Weak::upgrade) {
            return end;
        }
        ends.retain(|_, end| end.strong_count() > 0);
        let end = Arc::new(Self {
            given_up: watch::Sender::new(None),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        ends.insert(scope, Arc::downgrade(&end));
        end
    }

    /// Publishes it. False if it was published before.
    fn begin(&self, escalation: Escalation) -> bool {
        self.given_up.send_if_modified(|given_up| {
            let is_news = given_up.is_none();
            given_up.get_or_insert(escalation);
            is_news
        })
    }

    /// Waits until all listeners are through, or have had their grace since it `began`, at most for so long.
    fn await_listeners(&self, began: Instant, most: Duration) -> RuntimeState {
        let mut state = self.state.lock();
        while state.runtime == RuntimeState::Alive
            && let Some(longest) = state.listeners.values().max()
        {
            let until = began.checked_add(most.min(*longest));
            if self.wait(&mut state, until) == Waited::InVain {
                tracing::warn!("not everything was put in order before the end");
                break;
            }
        }
        state.runtime
    }

    fn await_runtime(&self) -> RuntimeState {
        let until = clock::machine() + RUNTIME_GRACE;
        let mut state = self.state.lock();
        while state.runtime == RuntimeState::Alive
            && self.wait(&mut state, Some(until)) == Waited::ForChange
        {}
        state.runtime
    }

    fn wait(
        &self,
        state: &mut parking_lot::MutexGuard<'_, EndState>,
        until: Option<Instant>,
    ) -> Waited {
        match until {
            Some(until) if self.changed.wait_until(state, until).timed_out() => Waited::InVain,
            Some(_) => Waited::ForChange,
            None => {
                self.changed.wait(state);
                Waited::ForChange
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Waited {
    ForChange,
    InVain,
}

/// Hears when supervision gives up the program of this scope. From then on the program waits for the listener to be
/// dropped, for at most `grace`.
pub(crate) fn listen(scope: ProgramScope, grace: Duration) -> EndListener {
    let end = ProgramEnd::of(scope);
    let mut state = end.state.lock();
    let id = state.next_listener;
    state.next_listener += 1;
    state.listeners.insert(id, grace);
    drop(state);
    let given_up = end.given_up.subscribe();
    EndListener { end, id, given_up }
}

/// A place among those whom the end of the program waits for.
#[derive(Debug)]
pub(crate) struct EndListener {
    end: Arc<ProgramEnd>,
    id: u64,
    given_up: watch::Receiver<Option<Escalation>>,
}

impl EndListener {
    /// Resolves when the program is given up, and never otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(crate) async fn given_up(&mut self) -> Escalation {
        match self.given_up.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(escalation)) => escalation.clone(),
            // The listener holds the sender.
            Ok(None) | Err(_) => pending().await,
        }
    }

    /// Why the program is given up, once it is.
    pub(crate) fn escalation(&self) -> Option<Escalation> {
        self.given_up.borrow().clone()
    }
}

impl Drop for EndListener {
    fn drop(&mut self) {
        self.end.state.lock().listeners.remove(&self.id);
        self.end.changed.notify_all();
    }
}

/// Tells the end of the program that the local tasks of its runtime have been dropped.
struct RuntimeGuard(Arc<ProgramEnd>);

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        self.0.state.lock().runtime = RuntimeState::Dropped;
        self.0.changed.notify_all();
    }
}

/// Ends the program that the calling code belongs to. A program that is ending already goes on with that.
pub(crate) fn end_program(escalation: Escalation) {
    let system = System::try_current();
    let end = ProgramEnd::of(ProgramScope::of(system.as_ref()));
    if !end.begin(escalation.clone()) {
        return;
    }
    GIVEN_UP.store(true, Ordering::Relaxed);
    let left = watch_runtime(&end, system.as_ref());
    let at_once = system.clone();
    let name = "end of program".to_owned();
    let started = thread::Builder::new()
        .name(name)
        .spawn(move || see_to_the_end(end, escalation, system.as_ref(), &left));
    if let Err(error) = started {
        tracing::error!(%error, "nobody sees to the end of the program");
        if let Some(system) = at_once {
            system.stop_with_code(1);
        }
    }
}

/// Has the end told when the runtime of the program is dropped.
fn watch_runtime(end: &Arc<ProgramEnd>, system: Option<&System>) -> Left {
    let left = Left::default();
    let hold = |end: &Arc<ProgramEnd>| {
        let (guard, left) = (RuntimeGuard(Arc::clone(end)), Arc::clone(&left));
        async move {
            let _guard = guard;
            when_left(&Handle::current(), move |runtime| {
                *left.lock() = Some(runtime)
            });
            pending::<()>().await;
        }
    };
    if system.is_some_and(|system| system.arbiter().spawn(hold(end))) {
        return left;
    }
    // The `System` was stopped already, which ends neither its runtime nor `main`: the refused future was no sign of that.
    end.state.lock().runtime = RuntimeState::Alive;
    drop(actix::spawn(hold(end)));
    left
}

fn see_to_the_end(
    end: Arc<ProgramEnd>,
    escalation: Escalation,
    system: Option<&System>,
    left: &Left,
) {
    if end.await_listeners(clock::machine(), Duration::MAX) == RuntimeState::Alive
        && let Some(system) = system
    {
        system.stop_with_code(1);
    }
    if end.await_runtime() == RuntimeState::Alive {
        end_others(&end, escalation);
        tracing::error!("the program goes on without what was given up: the process is ended");
        std::process::exit(1);
    }
    // Whatever is begun in its place ends by itself.
    ENDS.lock()
        .retain(|_, other| other.as_ptr() != Arc::as_ptr(&end));
    if are_blocking_tasks_left(left) {
        end_others(&end, escalation);
        tracing::error!(
            "a blocking task keeps the runtime of what was given up: the process is ended"
        );
        std::process::exit(1);
    }
}

/// The process is to end, and with it the programs of other `System`s and threads: they put their affairs in order first.
fn end_others(ended: &Arc<ProgramEnd>, escalation: Escalation) {
    let began = clock::machine();
    let mut others: Vec<_> = ENDS.lock().values().filter_map(Weak::upgrade).collect();
    others.retain(|other| !Arc::ptr_eq(other, ended));
    for other in &others {
        other.begin(escalation.clone());
    }
    for other in &others {
        other.await_listeners(began, MOST_FOR_OTHERS);
    }
}

/// Waits until it is seen whether a blocking task keeps the runtime that was dropped.
fn are_blocking_tasks_left(left: &Left) -> bool {
    loop {
        thread::sleep(PAUSE);
        let look = left.lock().as_mut().map(LeftRuntime::look);
        match look {
            Some(RuntimeEnd::Unclear) => {}
            Some(RuntimeEnd::Kept) => return true,
            Some(RuntimeEnd::Over) | None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::EscalationReason;

    fn escalation(child: &str) -> Escalation {
        Escalation {
            child: Arc::from(child),
            reason: EscalationReason::Decided,
            panic: None,
        }
    }

    #[test]
    fn the_system_is_stopped_when_every_listener_is_through_and_each_hears_the_first_who_gave_up() {
        let system = System::new();
        system.block_on(async {
            let (mut one, mut other) = (
                listen(ProgramScope::current(), Duration::MAX),
                listen(ProgramScope::current(), Duration::from_secs(60)),
            );
            end_program(escalation("first"));
            end_program(escalation("second"));
            assert_eq!(one.given_up().await.child(), "first");
            assert_eq!(other.given_up().await.child(), "first");
            drop(one);
            drop(actix::spawn(async move { drop(other) }));
        });
        assert_eq!(system.run_with_code().unwrap(), 1);
    }

    #[test]
    fn a_listener_that_is_never_through_is_waited_for_as_long_as_its_grace() {
        let system = System::new();
        let listener =
            system.block_on(async { listen(ProgramScope::current(), Duration::from_millis(20)) });
        let began = clock::machine();
        system.block_on(async { end_program(escalation("it")) });
        assert_eq!(system.run_with_code().unwrap(), 1);
        assert!(clock::machine() >= began + Duration::from_millis(20));
        drop(listener);
    }

    #[test]
    fn the_end_of_one_system_is_not_that_of_another() {
        use std::future::poll_fn;
        use std::pin::pin;
        use std::task::Poll;

        let ended = System::new();
        ended.block_on(async { end_program(escalation("it")) });
        assert_eq!(ended.run_with_code().unwrap(), 1);
        System::new().block_on(async {
            let mut listener = listen(ProgramScope::current(), Duration::ZERO);
            let mut hears = pin!(listener.given_up());
            poll_fn(|cx| {
                assert!(hears.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
    }
}
