//! One sweep for all connections of an arbiter: heartbeats, silence, stalls.
//!
//! No connection has a timer of its own, because every wake of a context polls all that is
//! spawned in it, and because ten thousand timers cost more than ten thousand comparisons.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock;
use crate::config::Tuning;
use crate::engine::{Liveness, Receiving, Verdict};
use crate::event::DownReason;
use crate::inbox::warm;
use crate::link::Link;

/// For what a connection that is not read waits. It does not do so for longer than the write timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// That the peer takes its answers, so that something can be written.
    Writing,
    /// Acknowledgements that a sender of ours waits for, and that lie behind more messages than there
    /// is room for.
    Acknowledgements,
}

/// What the sweep and the traffic of one connection tell each other.
#[derive(Debug)]
pub(crate) struct Pulse {
    link: Arc<Link>,
    liveness: RefCell<Liveness>,
    tuning: RefCell<watch::Receiver<Tuning>>,
    tick: Cell<Duration>,
    receiving: Cell<Receiving>,
    waits_for: Cell<Option<WaitsFor>>,
    /// Since when a sweep found it waiting for the same without any progress.
    stuck_since: Cell<Option<(WaitsFor, Instant)>>,
    write_timeout: Cell<Duration>,
    verdict: RefCell<Option<DownReason>>,
    waker: RefCell<Option<Waker>>,
}

impl Pulse {
    /// Starts to watch a connection.
    pub(super) fn start(link: Arc<Link>, tuning: watch::Receiver<Tuning>) -> Rc<Self> {
        let pulse = Rc::new(Self::new(link, tuning));
        register(&pulse);
        pulse
    }

    /// The pulse of a connection that somebody else sweeps.
    pub(crate) fn new(link: Arc<Link>, mut tuning: watch::Receiver<Tuning>) -> Self {
        let now = *tuning.borrow_and_update();
        let (interval, timeout) = (now.heartbeat_interval, now.heartbeat_timeout);
        Self {
            link,
            liveness: RefCell::new(Liveness::new(clock::now(), interval, timeout)),
            tuning: RefCell::new(tuning),
            tick: Cell::new(Liveness::tick(interval, timeout)),
            receiving: Cell::new(Receiving::Open),
            waits_for: Cell::new(None),
            stuck_since: Cell::new(None),
            write_timeout: Cell::new(now.write_timeout),
            verdict: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Bytes went out.
    #[inline]
    pub(super) fn note_sent(&self) {
        self.liveness.borrow_mut().note_sent();
        if let Some((WaitsFor::Writing, _)) = self.stuck_since.get() {
            self.stuck_since.set(None);
        }
    }

    /// A whole frame came in.
    #[inline]
    pub(super) fn note_received(&self) {
        self.liveness.borrow_mut().note_received();
    }

    #[inline]
    pub(super) fn note_receiving(&self, receiving: Receiving, waits_for: Option<WaitsFor>) {
        self.receiving.set(receiving);
        self.waits_for.set(waits_for);
    }

    /// Keeps the waker of the connection's task and yields the sweep's verdict, if there is one.
    pub(super) fn poll_verdict(&self, waker: &Waker) -> Option<DownReason> {
        let mut kept = self.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
        self.verdict.borrow_mut().take()
    }

    /// New timers, if there are any, hold from here on.
    fn follow_tuning(&self) {
        let mut tuning = self.tuning.borrow_mut();
        // A socket that is gone changes nothing any more.
        if !tuning.has_changed().unwrap_or(false) {
            return;
        }
        let now = *tuning.borrow_and_update();
        let (interval, timeout) = (now.heartbeat_interval, now.heartbeat_timeout);
        self.liveness.borrow_mut().set_times(interval, timeout);
        self.write_timeout.set(now.write_timeout);
        self.tick.set(Liveness::tick(interval, timeout));
    }

    pub(crate) fn handle_sweep(&self, now: Instant) {
        self.follow_tuning();
        let receiving = self.receiving.get();
        let knocked = self.link.is_knocked();
        let mut liveness = self.liveness.borrow_mut();
        if knocked {
            liveness.handle_knock(now);
        }
        let verdict = liveness.handle_sweep(now, receiving);
        let unanswered = liveness.is_knocked();
        drop(liveness);
        if knocked && !unanswered {
            self.link.answer_knock();
        }
        match verdict {
            Verdict::Quiet => {}
            Verdict::SendHeartbeat => self.link.push_heartbeat(),
            Verdict::ReadFirst => self.wake(),
            Verdict::PeerSilent if unanswered => self.judge(DownReason::Replaced),
            Verdict::PeerSilent => self.judge(DownReason::Silent),
        }
        self.judge_progress(now);
    }

    fn judge_progress(&self, now: Instant) {
        match (self.waits_for.get(), self.stuck_since.get()) {
            (None, _) => self.stuck_since.set(None),
            (Some(what), Some((same, since))) if what == same => {
                if now.saturating_duration_since(since) >= self.write_timeout.get() {
                    self.judge(DownReason::Stalled);
                }
            }
            (Some(what), _) => self.stuck_since.set(Some((what, now))),
        }
    }

    fn judge(&self, reason: DownReason) {
        *self.verdict.borrow_mut() = Some(reason);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

thread_local! {
    static SWEEP: RefCell<Sweep> = const { RefCell::new(Sweep { watched: Vec::new(), running: None }) };
}

struct Sweep {
    watched: Vec<Weak<Pulse>>,
    /// The tick of the task that sweeps, while there is one.
    running: Option<Duration>,
}

fn register(pulse: &Rc<Pulse>) {
    SWEEP.with_borrow_mut(|sweep| {
        sweep.watched.push(Rc::downgrade(pulse));
        sweep.hasten(pulse.tick.get());
    });
}

impl Sweep {
    /// Sweeps every `tick` at least.
    fn hasten(&mut self, tick: Duration) {
        if self.running.is_none_or(|running| tick < running) {
            self.running = Some(tick);
            actix_rt::spawn(run(tick));
        }
    }
}

/// Sweeps until nothing is left to watch, or another task sweeps more often.
async fn run(tick: Duration) {
    let beat = super::beat::Beat::every(tick);
    loop {
        beat.next().await;
        let Some(watched) = take_turn(tick) else {
            return;
        };
        let now = clock::now();
        for pulse in &watched {
            pulse.handle_sweep(now);
        }
        warm::handle_sweep();
        let shortest = watched.iter().map(|pulse| pulse.tick.get()).min();
        SWEEP.with_borrow_mut(|sweep| sweep.hasten(shortest.unwrap_or(tick)));
    }
}

/// What is to be swept, with dead entries dropped. `None` when this task is no longer needed.
fn take_turn(tick: Duration) -> Option<Vec<Rc<Pulse>>> {
    SWEEP.with_borrow_mut(|sweep| {
        if sweep.running != Some(tick) {
            return None;
        }
        let mut alive = Vec::with_capacity(sweep.watched.len());
        sweep.watched.retain(|pulse| {
            let pulse = pulse.upgrade();
            let kept = pulse.is_some();
            alive.extend(pulse);
            kept
        });
        if alive.is_empty() {
            sweep.watched = Vec::new();
            sweep.running = None;
            return None;
        }
        Some(alive)
    })
}
