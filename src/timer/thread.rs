//! One thread for the process that says when a time is over.
//!
//! A timer of the runtime makes every wait for the network a wait with an end, which the kernel
//! has to arm and to disarm: with one, some round trips in a hundred take three times as long. An
//! arbiter that only has to look around now and then is woken from outside instead.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use smallvec::SmallVec;

use super::stand_in::Place;
use crate::clock;
use crate::engine::LogPermit;
use crate::telemetry::{self, Busy, Topic};

/// A thread that does not come for this long is blocked, and not merely busy.
const REPORTED_AFTER: Duration = Duration::from_secs(5);

static TICKER: Ticker = Ticker::new();

#[derive(Debug)]
struct Ticker {
    state: Mutex<TimerState>,
    changed: Condvar,
}

/// The thread runs while there is a bell.
#[derive(Debug)]
struct TimerState {
    next_id: u64,
    bells: Vec<Bell>,
    is_running: bool,
}

#[derive(Debug)]
struct Bell {
    id: u64,
    period: Duration,
    due: Instant,
    /// Since when it has rung without anybody coming: it does not ring again.
    rung: Option<Instant>,
    waker: Option<Waker>,
    thread: Arc<Busy>,
    thread_id: ThreadId,
    place: Arc<Place>,
    /// The log was told that nobody comes.
    is_reported: bool,
    /// For how long nobody had come when the stand-in was last called.
    stood_in: Duration,
}

/// A thread that somebody is to stand in for.
struct Absent {
    place: Arc<Place>,
    since: Duration,
    before: Duration,
}

/// The threads that have not come to their tick for as long as `least`, each once: the actor that has it, the name of
/// the thread, and for how long.
#[cfg(feature = "inspection")]
pub(crate) fn blocked_threads(least: Duration) -> Vec<BlockedThread> {
    TICKER.state.lock().blocked_for(clock::machine(), least)
}

/// A thread that a handler blocks.
#[cfg(feature = "inspection")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockedThread {
    pub(crate) actor: Option<&'static str>,
    pub(crate) thread: Option<String>,
    pub(crate) since: Duration,
}

/// A thread that does not come, though its bell has rung so long ago.
#[derive(Debug)]
pub(crate) struct Blocked {
    thread: Arc<Busy>,
    pub(crate) since: Duration,
}

impl TimerState {
    /// Rings the bells that are due, and yields the tasks to wake.
    fn ring(&mut self, now: Instant) -> SmallVec<[Waker; 8]> {
        let due = self.bells.iter_mut().filter(|bell| bell.due <= now);
        due.filter_map(|bell| {
            bell.due = now + bell.period;
            bell.rung.get_or_insert(now);
            bell.waker.take()
        })
        .collect()
    }

    /// Threads that have been blocked for long, each once.
    fn blocked(&mut self, now: Instant) -> SmallVec<[Blocked; 1]> {
        let bells = self.bells.iter_mut().filter(|bell| !bell.is_reported);
        bells
            .filter_map(|bell| {
                let since = now.saturating_duration_since(bell.rung?);
                bell.is_reported = since >= REPORTED_AFTER;
                bell.is_reported.then(|| Blocked {
                    thread: Arc::clone(&bell.thread),
                    since,
                })
            })
            .collect()
    }

    #[cfg(feature = "inspection")]
    fn blocked_for(&self, now: Instant, least: Duration) -> Vec<BlockedThread> {
        let mut found: Vec<(Arc<Busy>, Duration)> = Vec::new();
        for bell in &self.bells {
            let since =
                (bell.rung).map_or(Duration::ZERO, |rung| now.saturating_duration_since(rung));
            if since < least {
                continue;
            }
            let known = found
                .iter_mut()
                .find(|(thread, _)| Arc::ptr_eq(thread, &bell.thread));
            match known {
                Some((_, longest)) => *longest = since.max(*longest),
                None => found.push((Arc::clone(&bell.thread), since)),
            }
        }
        let told = found.into_iter().map(|(thread, since)| BlockedThread {
            actor: thread.actor(),
            thread: thread.thread().map(str::to_owned),
            since,
        });
        told.collect()
    }

    /// The one of these threads that has not come for longest.
    fn longest_blocked(&self, threads: &[ThreadId], now: Instant) -> Option<Blocked> {
        let bells = self.bells.iter();
        let of_these = bells.filter(|bell| threads.contains(&bell.thread_id));
        let blocked = of_these.filter_map(|bell| {
            Some(Blocked {
                thread: Arc::clone(&bell.thread),
                since: now.saturating_duration_since(bell.rung?),
            })
        });
        blocked.max_by_key(|blocked| blocked.since)
    }

    /// Threads that have not come since their bell rang last, and that somebody stands in for.
    fn absent(&mut self, now: Instant) -> SmallVec<[Absent; 1]> {
        let bells = self
            .bells
            .iter_mut()
            .filter(|bell| bell.place.get().is_some());
        bells
            .filter_map(|bell| {
                let since = now.saturating_duration_since(bell.rung?);
                if since < bell.stood_in + bell.period {
                    return None;
                }
                Some(Absent {
                    place: Arc::clone(&bell.place),
                    since,
                    before: std::mem::replace(&mut bell.stood_in, since),
                })
            })
            .collect()
    }

    /// A bell that rings for the first time after a period.
    fn add(&mut self, period: Duration, now: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.bells.push(Bell {
            id,
            period,
            due: now + period,
            rung: None,
            waker: None,
            thread: Busy::here(),
            thread_id: thread::current().id(),
            place: Place::here(),
            is_reported: false,
            stood_in: Duration::ZERO,
        });
        id
    }

    /// Ready when the bell has rung, with whoever was blocked if the log was told so. If it has not, keeps the
    /// waker.
    fn poll(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Option<Blocked>> {
        let Some(bell) = self.bell(id) else {
            return Poll::Pending;
        };
        if let Some(rung) = bell.rung.take() {
            bell.stood_in = Duration::ZERO;
            let was_blocked = std::mem::take(&mut bell.is_reported).then(|| Blocked {
                thread: Arc::clone(&bell.thread),
                since: clock::machine().saturating_duration_since(rung),
            });
            return Poll::Ready(was_blocked);
        }
        match &mut bell.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => bell.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn bell(&mut self, id: u64) -> Option<&mut Bell> {
        self.bells.iter_mut().find(|bell| bell.id == id)
    }
}

impl Absent {
    fn stand_in(&self) {
        if let Some(who) = self.place.get() {
            who.handle_blocked(self.since, self.before);
        }
    }
}

/// The one of these threads that has not come for longest, if one of them is late. `None` where no thread ticks.
pub(crate) fn longest_blocked(threads: &[ThreadId]) -> Option<Blocked> {
    TICKER
        .state
        .lock()
        .longest_blocked(threads, clock::machine())
}

impl Blocked {
    /// The actor whose handlers have the thread, if any do.
    pub(crate) fn actor(&self) -> Option<&'static str> {
        self.thread.actor()
    }

    /// Warns of it, and once a minute for each actor.
    fn report(&self) {
        let (actor, thread) = (self.thread.actor(), self.thread.thread());
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Blocked, actor) {
            tracing::warn!(
                actor,
                thread,
                blocked_for = ?self.since,
                unlogged,
                "a handler blocks its thread: the connections there do not move, and those over TLS or \
                 actix-web send no heartbeats; docs/BLOCKING.md says where such work belongs"
            );
        }
    }
}

impl Ticker {
    const fn new() -> Self {
        Self {
            state: Mutex::new(TimerState {
                next_id: 0,
                bells: Vec::new(),
                is_running: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Body of the thread.
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            let due = state.ring(clock::machine());
            let blocked = state.blocked(clock::machine());
            let absent = state.absent(clock::machine());
            if !due.is_empty() || !blocked.is_empty() || !absent.is_empty() {
                MutexGuard::unlocked(&mut state, || {
                    due.into_iter().for_each(Waker::wake);
                    absent.iter().for_each(Absent::stand_in);
                    blocked.iter().for_each(Blocked::report);
                });
                continue;
            }
            let Some(next) = state.bells.iter().map(|bell| bell.due).min() else {
                state.is_running = false;
                return;
            };
            self.changed.wait_until(&mut state, next);
        }
    }

    fn every(&'static self, period: Duration) -> io::Result<Ticks> {
        let mut state = self.state.lock();
        if !state.is_running {
            let thread = thread::Builder::new().name("aiomsg-ticker".to_owned());
            thread.spawn(|| self.run())?;
            state.is_running = true;
        }
        let id = state.add(period, clock::machine());
        drop(state);
        self.changed.notify_one();
        Ok(Ticks {
            ticker: self,
            id,
            period,
        })
    }
}

/// Wakes a task again and again, by the machine's clock. The thread ends with the last of them.
#[derive(Debug)]
pub(super) struct Ticks {
    ticker: &'static Ticker,
    id: u64,
    period: Duration,
}

impl Ticks {
    /// The first is after one `period`. `None` if the system gives us no thread.
    pub(super) fn every(period: Duration) -> Option<Self> {
        let ticks = TICKER.every(period);
        ticks
            .inspect_err(|error| tracing::warn!(%error, "no thread that ticks; timers do it"))
            .ok()
    }

    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// Ready once after each time that is over; several that are over without anybody coming
    /// count as one.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<()> {
        let rung = self.ticker.state.lock().poll(self.id, cx);
        rung.map(|was_blocked| {
            if let Some(Blocked { thread, since }) = was_blocked {
                tracing::info!(thread = thread.thread(), blocked_for = ?since, "a blocked thread goes on");
            }
        })
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        let mut state = self.ticker.state.lock();
        let position = state.bells.iter().position(|bell| bell.id == self.id);
        let bell = position.map(|position| state.bells.swap_remove(position));
        let is_last = state.bells.is_empty();
        drop(state);
        // A waker is code of the runtime's, which may come back here.
        drop(bell);
        if is_last {
            self.ticker.changed.notify_one();
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "thread_tests.rs"]
mod tests;
