//! One thread for the process that says when a time is over.
//!
//! A timer of the runtime makes every wait for the network a wait with an end, which the kernel
//! has to arm and to disarm: with one, some round trips in a hundred take three times as long. An
//! arbiter that only has to look around now and then is woken from outside instead.

use std::io;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use smallvec::SmallVec;

use crate::clock;

static TICKER: Ticker = Ticker::new();

#[derive(Debug)]
struct Ticker {
    state: Mutex<State>,
    changed: Condvar,
}

/// The thread runs while there is a bell.
#[derive(Debug)]
struct State {
    next_id: u64,
    bells: Vec<Bell>,
    is_running: bool,
}

#[derive(Debug)]
struct Bell {
    id: u64,
    period: Duration,
    due: Instant,
    /// It has rung, and nobody has come since: it does not ring again.
    rung: bool,
    waker: Option<Waker>,
}

impl State {
    /// Rings what is due, and yields who is to be woken.
    fn ring(&mut self, now: Instant) -> SmallVec<[Waker; 8]> {
        let due = self.bells.iter_mut().filter(|bell| bell.due <= now);
        due.filter_map(|bell| {
            bell.due = now + bell.period;
            bell.rung = true;
            bell.waker.take()
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
            rung: false,
            waker: None,
        });
        id
    }

    /// Whether the bell has rung; if not, keeps who is to be woken.
    fn poll(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<()> {
        let Some(bell) = self.bell(id) else {
            return Poll::Pending;
        };
        if std::mem::take(&mut bell.rung) {
            return Poll::Ready(());
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

impl Ticker {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                next_id: 0,
                bells: Vec::new(),
                is_running: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// What the thread does.
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            let due = state.ring(clock::machine());
            if !due.is_empty() {
                MutexGuard::unlocked(&mut state, || due.into_iter().for_each(Waker::wake));
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
        self.ticker.state.lock().poll(self.id, cx)
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
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn poll(state: &mut State, id: u64) -> Poll<()> {
        state.poll(id, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn rings_that_nobody_came_for_count_as_one_and_wake_nobody() {
        let period = Duration::from_millis(500);
        let start = clock::machine();
        let mut state = Ticker::new().state.into_inner();
        let id = state.add(period, start);
        assert!(poll(&mut state, id).is_pending());
        assert!(state.ring(start + period / 2).is_empty());
        assert!(poll(&mut state, id).is_pending());
        assert_eq!(state.ring(start + period).len(), 1);
        for late in 2..5 {
            assert!(state.ring(start + period * late).is_empty());
        }
        assert!(poll(&mut state, id).is_ready());
        assert!(poll(&mut state, id).is_pending());
    }

    #[test]
    fn a_runtime_without_timers_is_woken_and_the_thread_ends_with_the_last_who_wants_it() {
        let ticker: &Ticker = Box::leak(Box::new(Ticker::new()));
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        for _ in 0..2 {
            let slow = ticker.every(Duration::from_secs(3600)).unwrap();
            let quick = ticker.every(Duration::from_millis(1)).unwrap();
            for _ in 0..3 {
                runtime.block_on(poll_fn(|cx| quick.poll_next(cx)));
            }
            drop(quick);
            assert!(ticker.state.lock().is_running);
            drop(slow);
            while ticker.state.lock().is_running {
                thread::yield_now();
            }
        }
    }
}
