//! One sweep for all connections of an arbiter: heartbeats, silence, stalls.
//!
//! No connection has a timer of its own, because every wake of a context polls all that is
//! spawned in it, and because ten thousand timers cost more than ten thousand comparisons.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::clock;
use crate::engine::{Liveness, Receiving, Verdict};
use crate::event::DownReason;
use crate::link::Link;

/// How long a peer may leave our answers unread before its connection ends.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the sweep and the traffic of one connection tell each other.
#[derive(Debug)]
pub(crate) struct Pulse {
    link: Arc<Link>,
    liveness: RefCell<Liveness>,
    tick: Duration,
    receiving: Cell<Receiving>,
    /// Whether we stopped reading because the peer does not take its answers, and since when
    /// nothing could be written.
    owing: Cell<bool>,
    stuck_since: Cell<Option<Instant>>,
    verdict: RefCell<Option<DownReason>>,
    waker: RefCell<Option<Waker>>,
}

impl Pulse {
    /// Starts to watch a connection.
    pub(super) fn start(link: Arc<Link>, interval: Duration, timeout: Duration) -> Rc<Self> {
        let pulse = Rc::new(Self::new(link, interval, timeout));
        register(&pulse);
        pulse
    }

    /// The pulse of a connection that somebody else sweeps.
    pub(crate) fn new(link: Arc<Link>, interval: Duration, timeout: Duration) -> Self {
        Self {
            link,
            liveness: RefCell::new(Liveness::new(clock::now(), interval, timeout)),
            tick: Liveness::tick(interval, timeout),
            receiving: Cell::new(Receiving::Open),
            owing: Cell::new(false),
            stuck_since: Cell::new(None),
            verdict: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Bytes went out.
    #[inline]
    pub(super) fn note_sent(&self) {
        self.liveness.borrow_mut().note_sent();
        self.stuck_since.set(None);
    }

    /// A whole frame came in.
    #[inline]
    pub(super) fn note_received(&self) {
        self.liveness.borrow_mut().note_received();
    }

    #[inline]
    pub(super) fn note_receiving(&self, receiving: Receiving, owing: bool) {
        self.receiving.set(receiving);
        self.owing.set(owing);
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

    pub(crate) fn handle_sweep(&self, now: Instant) {
        let receiving = self.receiving.get();
        let verdict = self.liveness.borrow_mut().handle_sweep(now, receiving);
        match verdict {
            Verdict::Quiet => {}
            Verdict::SendHeartbeat => self.link.push_heartbeat(),
            Verdict::ReadFirst => self.wake(),
            Verdict::PeerSilent => self.judge(DownReason::Silent),
        }
        if !self.owing.get() {
            return;
        }
        match self.stuck_since.get() {
            None => self.stuck_since.set(Some(now)),
            Some(since) if now.saturating_duration_since(since) >= WRITE_TIMEOUT => {
                self.judge(DownReason::Stalled);
            }
            Some(_) => {}
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
        let shorter = sweep.running.is_none_or(|tick| pulse.tick < tick);
        if shorter {
            sweep.running = Some(pulse.tick);
            actix_rt::spawn(run(pulse.tick));
        }
    });
}

/// Sweeps until nothing is left to watch, or another task sweeps more often.
async fn run(tick: Duration) {
    let mut interval = tokio::time::interval(tick);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(watched) = take_turn(tick) else {
            return;
        };
        let now = clock::now();
        for pulse in watched {
            pulse.handle_sweep(now);
        }
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
