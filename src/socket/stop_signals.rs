//! The signals that ask a program to stop.
//!
//! They belong to the process, and so do those that came: a program that was asked to stop stays asked, whoever listens next.

use std::collections::BTreeMap;
use std::io;
use std::process;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};

use crate::clock;
use crate::core::SocketCore;
use crate::supervise::{self, LeftRuntime, PAUSE, RuntimeEnd, when_left};

/// The time that the program has after a second signal, before it is ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time above its own that a listener has to end after a first signal.
const MARGIN: Duration = Duration::from_secs(5);

/// Hears SIGTERM and Ctrl-C by a thread of their own, which hears them while a handler blocks the socket's thread, too.
#[derive(Debug)]
pub(super) struct StopSignals {
    id: u64,
    heard: watch::Receiver<u32>,
    /// Those that [`next`](Self::next) has told of.
    told: u32,
}

static PROCESS: Mutex<ProcessSignals> = Mutex::new(ProcessSignals::new());

/// A listener came or went, of which the thread is to know.
static CHANGED: Notify = Notify::const_new();

/// The signals that have come, and those who listen.
#[derive(Debug)]
struct ProcessSignals {
    /// How many have come. `None` until anybody listens.
    heard: Option<watch::Sender<u32>>,
    first: Option<Instant>,
    next_listener: u64,
    listeners: BTreeMap<u64, Listener>,
    /// When those have had their time that were asked to stop and are through.
    through: Option<Instant>,
    /// The runtimes of those, once they are dropped.
    left: Vec<LeftRuntime>,
}

#[derive(Debug, Clone)]
struct Listener {
    since: Instant,
    /// How long it takes from the first signal on.
    takes: Duration,
    core: Weak<SocketCore>,
    /// The runtime of whoever waits for the socket's end, which may be another one than that of the socket.
    runtime: Option<Handle>,
}

impl Listener {
    /// The end of its time after a first signal at `first`.
    fn ends(&self, first: Instant) -> Option<Instant> {
        self.since.max(first).checked_add(self.takes)
    }

    /// True if it is late because a thread is blocked, that of the socket or its own. It may as well have other work.
    async fn is_blocked(&self) -> bool {
        let core = self.core.upgrade();
        if core.is_some_and(|core| core.is_blocked_for(PATIENCE)) {
            return true;
        }
        match &self.runtime {
            Some(runtime) => timeout(PATIENCE, runtime.spawn(async {})).await.is_err(),
            None => false,
        }
    }
}

impl ProcessSignals {
    const fn new() -> Self {
        Self {
            heard: None,
            first: None,
            next_listener: 0,
            listeners: BTreeMap::new(),
            through: None,
            left: Vec::new(),
        }
    }

    fn handle_signal(&mut self) -> u32 {
        self.first.get_or_insert_with(clock::machine);
        let mut all = 0;
        if let Some(heard) = &self.heard {
            heard.send_modify(|heard| *heard += 1);
            all = *heard.borrow();
        }
        all
    }

    /// When all listeners have had their time that were asked to stop, if any was. If none is left, when a runtime that they
    /// have left is to be looked at.
    fn overdue(&self) -> Option<Instant> {
        let first = self.first?;
        if self.listeners.is_empty() {
            return self.through.filter(|_| !self.left.is_empty());
        }
        let listeners = self.listeners.values();
        let ends: Option<Vec<Instant>> = listeners.map(|listener| listener.ends(first)).collect();
        ends?.into_iter().max()
    }

    /// The listener is through, or will listen again.
    fn remove(&mut self, id: u64) {
        let removed = self.listeners.remove(&id);
        if let (Some(listener), Some(first)) = (removed, self.first) {
            self.through = self.through.max(listener.ends(first));
        }
    }

    /// Looks at the runtimes that were left, if nobody listens any more; true if a blocking task keeps one of them.
    fn look_at_left(&mut self) -> bool {
        if !self.listeners.is_empty() {
            return false;
        }
        let mut kept = false;
        self.left.retain_mut(|left| {
            let end = left.look();
            kept |= end == RuntimeEnd::Kept;
            end != RuntimeEnd::Over
        });
        self.through = clock::machine().checked_add(PAUSE);
        kept
    }

    fn give_more_time(&mut self) {
        for listener in self.listeners.values_mut() {
            listener.takes = listener.takes.saturating_add(MARGIN);
        }
    }
}

impl StopSignals {
    /// Takes the signals over, for the rest of the program's life. Asked to stop, the listener is dropped within so long,
    /// unless a thread is blocked: its own, or that of the socket.
    pub(super) fn listen(core: &Arc<SocketCore>, takes: Duration) -> io::Result<Self> {
        let mut process = PROCESS.lock();
        let heard = match &process.heard {
            Some(heard) => heard.subscribe(),
            None => {
                let heard = attend_to_signals()?;
                let receiver = heard.subscribe();
                process.heard = Some(heard);
                receiver
            }
        };
        let id = process.next_listener;
        process.next_listener += 1;
        let now = clock::machine();
        // One that listens again, for the same end, has no more time than before.
        let stops_for = core
            .lifecycle
            .stop_asked()
            .map(|asked| clock::now().saturating_duration_since(asked));
        let listener = Listener {
            since: now
                .checked_sub(stops_for.unwrap_or_default())
                .unwrap_or(now),
            takes: takes
                .saturating_add(core.router.store_closes_within())
                .saturating_add(MARGIN),
            core: Arc::downgrade(core),
            runtime: Handle::try_current().ok(),
        };
        process.listeners.insert(id, listener);
        drop(process);
        CHANGED.notify_one();
        Ok(Self { id, heard, told: 0 })
    }

    /// Resolves once for every signal that came since the process has listened to any.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has missed none.
    pub(super) async fn next(&mut self) {
        let told = self.told;
        // The sender lives as long as the process.
        let _ = self.heard.wait_for(|heard| *heard > told).await;
        self.told += 1;
    }

    /// From now on sees to it that a blocking task does not keep the program when it has left the runtime of the calling code.
    pub(super) fn watch_runtime() {
        if let Ok(runtime) = Handle::try_current() {
            when_left(&runtime, |left| {
                PROCESS.lock().left.push(left);
                CHANGED.notify_one();
            });
        }
    }

    /// True if a second signal has come, which cuts drains short.
    pub(super) fn have_come_twice() -> bool {
        let process = PROCESS.lock();
        process
            .heard
            .as_ref()
            .is_some_and(|heard| *heard.borrow() > 1)
    }

    /// Tells of those alone that come from now on.
    pub(super) fn skip(&mut self) {
        self.told = *self.heard.borrow();
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        PROCESS.lock().remove(self.id);
        CHANGED.notify_one();
    }
}

fn attend_to_signals() -> io::Result<watch::Sender<u32>> {
    let next = next_signals()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("stop signals".to_owned())
        .spawn(move || runtime.block_on(attend(next)))?;
    Ok(watch::Sender::new(0))
}

/// Tells of signals, and sees that the program ends. Neither a thread that is blocked nor what the program does when its
/// sockets are closed keeps those waiting who ask twice.
async fn attend(mut next: impl AsyncFnMut()) {
    loop {
        let (overdue, nobody) = {
            let process = PROCESS.lock();
            (process.overdue(), process.listeners.is_empty())
        };
        tokio::select! {
            biased;
            () = next() => handle_signal(nobody).await,
            () = CHANGED.notified() => {}
            () = until(overdue) => handle_overdue().await,
        }
    }
}

/// All have had their time. One whose thread is blocked will never end; others may have a store that hangs, or wait for their turn.
async fn handle_overdue() {
    if PROCESS.lock().look_at_left() {
        tracing::warn!(
            "a blocking task keeps the program, which was asked to stop: the process is ended"
        );
        process::exit(1);
    }
    let listeners: Vec<Listener> = PROCESS.lock().listeners.values().cloned().collect();
    for listener in listeners {
        if listener.is_blocked().await {
            tracing::warn!(
                "the drain was not over in time, and the thread of the socket is blocked: the process is ended"
            );
            process::exit(1);
        }
    }
    PROCESS.lock().give_more_time();
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Tells those who listen of a signal. Nobody did before it came if `nobody`: a signal that came while one listened is for
/// that one, which may be through with it by now.
async fn handle_signal(nobody: bool) {
    let (all, asked) = {
        let mut process = PROCESS.lock();
        let asked: Vec<u64> = process.listeners.keys().copied().collect();
        (process.handle_signal(), asked)
    };
    match (all, nobody && asked.is_empty()) {
        (1, true) if supervise::has_given_up() => {
            tracing::warn!("a signal after supervision gave up: the process is ended");
            process::exit(1);
        }
        (1, true) => tracing::warn!(
            "a signal, and no socket runs until one: the next that does is asked to stop at once, and another signal ends the process"
        ),
        (_, true) => {
            tracing::warn!("a signal after the sockets were closed: the process is ended");
            process::exit(1);
        }
        (1, false) => {}
        (_, false) => {
            let is_over = || {
                let process = PROCESS.lock();
                !asked.iter().any(|id| process.listeners.contains_key(id))
            };
            let over = async {
                while !is_over() {
                    CHANGED.notified().await;
                }
            };
            if timeout(PATIENCE, over).await.is_err() {
                tracing::warn!(
                    "a second signal, and the thread of the socket is blocked: the process is ended"
                );
                process::exit(1);
            }
        }
    }
}

/// Yields a function that waits for the next SIGTERM or Ctrl-C.
#[cfg(unix)]
fn next_signals() -> io::Result<impl AsyncFnMut() + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move || {
        // No more signals come when the runtime is shut down.
        tokio::select! {
            Some(()) = terminate.recv() => {}
            Some(()) = interrupt.recv() => {}
            else => std::future::pending().await,
        }
    })
}

/// Yields a function that waits for the next Ctrl-C, the only one of the two that exists here.
#[cfg(not(unix))]
fn next_signals() -> io::Result<impl AsyncFnMut() + Send> {
    Ok(async || {
        // Without a console there is nobody to press Ctrl-C.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
