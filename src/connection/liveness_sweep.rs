//! One sweep for all connections of an arbiter: heartbeats, silence, stalls.
//!
//! No connection has a timer of its own, because every wake of a context polls all that is
//! spawned in it, and because ten thousand timers cost more than ten thousand comparisons.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::blocked_heartbeats;
use crate::clock;
use crate::engine::{
    Liveness, LivenessVerdict, LogPermit, ReadState, StallDetector, StallVerdict, TakenReport,
    WaitsFor,
};
use crate::event::DownReason;
use crate::inbox::read_fairness;
use crate::limits::Timers;
use crate::link::Link;
use crate::routing::Router;
use crate::telemetry::{self, Topic};
use crate::timer::Interval;
use crate::transport::ByteStream;

/// Whether a connection is among those that report to their peers, because they are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reporting {
    Off,
    On,
    /// There is no task for it.
    Never,
}

/// State of one connection that the sweep and the session share.
///
/// A sweep visits thousands of connections, most of which need nothing. The fields that it reads come first and
/// stay together: two cache lines for each connection.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SweptConnection {
    liveness: RefCell<Liveness>,
    receiving: Cell<ReadState>,
    waits_for: Cell<Option<WaitsFor>>,
    /// True while the peer is to prove that it lives.
    probed: Cell<bool>,
    verdict: Cell<Option<EndCause>>,
    stall: Cell<StallDetector>,
    link: Arc<Link>,
    waker: RefCell<Option<Waker>>,
    reporting: Cell<Reporting>,
    /// Polled by the session. The sweep writes heartbeats to it, so that an idle connection need not be woken for
    /// them.
    pub(super) stream: RefCell<ByteStream>,
}

impl Drop for SweptConnection {
    fn drop(&mut self) {
        // A stream is closed with its last part, which is the one that is here.
        self.link.set_heartbeat_writer(None);
    }
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy)]
enum EndCause {
    Silent,
    Replaced,
    Stalled,
}

impl From<EndCause> for DownReason {
    fn from(cause: EndCause) -> Self {
        match cause {
            EndCause::Silent => Self::Silent,
            EndCause::Replaced => Self::Replaced,
            EndCause::Stalled => Self::Stalled,
        }
    }
}

impl SweptConnection {
    /// Starts to watch a connection.
    pub(super) fn start(link: Arc<Link>, stream: ByteStream, timers: Arc<Timers>) -> Rc<Self> {
        let tick = Liveness::tick(&timers);
        let (stream, heartbeats) = stream.share();
        if heartbeats.is_some() {
            link.set_heartbeat_writer(heartbeats);
            blocked_heartbeats::beat_for(&link);
        }
        let swept = Rc::new(Self::new(link, stream, timers));
        swept.reporting.set(Reporting::Off);
        SWEEP.with_borrow_mut(|sweep| {
            sweep.watched.push(Rc::downgrade(&swept));
            sweep.hasten(tick);
        });
        swept
    }

    /// A connection that somebody else sweeps.
    pub(crate) fn new(link: Arc<Link>, stream: ByteStream, timers: Arc<Timers>) -> Self {
        Self {
            link,
            stream: RefCell::new(stream),
            liveness: RefCell::new(Liveness::new(clock::now(), timers)),
            receiving: Cell::new(ReadState::Open),
            waits_for: Cell::new(None),
            probed: Cell::new(false),
            stall: Cell::new(StallDetector::new()),
            verdict: Cell::new(None),
            waker: RefCell::new(None),
            reporting: Cell::new(Reporting::Never),
        }
    }

    /// Bytes went out.
    #[inline]
    pub(super) fn note_sent(&self) {
        self.liveness.borrow_mut().note_sent();
        self.update_stall(StallDetector::handle_write);
    }

    /// Handlers have finished something, or the peer has acknowledged something.
    pub(super) fn note_progress(&self) {
        self.update_stall(StallDetector::handle_progress);
    }

    /// A whole frame came in.
    #[inline]
    pub(super) fn note_received(&self) {
        self.liveness.borrow_mut().note_received();
    }

    #[inline]
    pub(super) fn note_receiving(&self, receiving: ReadState, waits_for: Option<WaitsFor>) {
        self.receiving.set(receiving);
        self.waits_for.set(waits_for);
    }

    /// True if the connection is not read from.
    pub(super) fn is_paused(&self) -> bool {
        self.receiving.get() == ReadState::Paused
    }

    /// The link, if its messages that are handled are to be reported from now on and were not yet.
    #[inline]
    pub(super) fn begin_reports(&self) -> Option<&Link> {
        if self.reporting.get() != Reporting::Off {
            return None;
        }
        self.reporting.set(Reporting::On);
        Some(&self.link)
    }

    /// Tells the peer how many of its messages were handled, if that is due. False once it is read again.
    pub(crate) fn report(&self, now: Instant, report: &mut TakenReport) -> bool {
        if self.receiving.get() == ReadState::Open {
            if self.reporting.get() == Reporting::On {
                self.reporting.set(Reporting::Off);
            }
            return false;
        }
        if let Some(handled) = report.handle_look(now, self.link.handled()) {
            self.link.push_taken(handled);
        }
        true
    }

    /// Keeps the waker of the connection's task and yields the sweep's verdict, if there is one.
    pub(super) fn poll_verdict(&self, waker: &Waker) -> Option<DownReason> {
        self.probed.set(self.link.is_probed());
        let mut kept = self.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
        self.verdict.take().map(DownReason::from)
    }

    /// Other timers, if there are any, hold from here on. Yields how often they want a sweep.
    fn follow_timers(&self, liveness: &mut Liveness) -> Option<Duration> {
        if !liveness.timers().are_replaced() {
            return None;
        }
        // A socket that is gone changes nothing any more.
        let timers = Router::of(&self.link)?.timers();
        let tick = Liveness::tick(&timers);
        liveness.set_timers(timers);
        Some(tick)
    }

    /// Judges the connection. Yields how often it is to be swept, if that has changed.
    pub(crate) fn handle_sweep(&self, now: Instant) -> Option<Duration> {
        let mut liveness = self.liveness.borrow_mut();
        let tick = self.follow_timers(&mut liveness);
        let probed = self.probed.get();
        if probed {
            liveness.handle_probe(now);
        }
        if liveness.has_received() {
            self.link.note_frame(clock::uptime(now));
        }
        let verdict = liveness.handle_sweep(now, self.receiving.get());
        let unanswered = liveness.is_probed();
        drop(liveness);
        if probed && !unanswered {
            self.probed.set(false);
            self.link.answer_probe();
        }
        match verdict {
            LivenessVerdict::Quiet => {}
            LivenessVerdict::SendHeartbeat => {
                let stream = self.stream.borrow();
                self.link.write_heartbeat(|bytes| stream.try_write(bytes));
            }
            LivenessVerdict::ReadFirst => self.wake(),
            LivenessVerdict::PeerSilent if unanswered => self.judge(EndCause::Replaced),
            LivenessVerdict::PeerSilent => self.judge(EndCause::Silent),
        }
        self.judge_progress(now);
        tick
    }

    fn judge_progress(&self, now: Instant) {
        let waits_for = self.waits_for.get();
        let patience = {
            let liveness = self.liveness.borrow();
            let timers = liveness.timers();
            match waits_for {
                Some(WaitsFor::Handlers) => timers.handler_patience,
                _ => timers.write_timeout,
            }
        };
        match self.update_stall(|stall| stall.handle_sweep(now, waits_for, patience)) {
            StallVerdict::None => {}
            StallVerdict::AskReader => self.wake(),
            StallVerdict::Stalled => {
                if waits_for == Some(WaitsFor::Handlers) {
                    self.log_standstill(patience);
                }
                self.judge(EndCause::Stalled);
            }
        }
    }

    /// The connection ends because of our handlers, and not because of its peer.
    #[cold]
    fn log_standstill(&self, patience: Duration) {
        let peer = self.link.peer();
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Standstill, peer) {
            tracing::warn!(
                %peer, ?patience, unlogged,
                "our handlers finish nothing, and what a peer owes us is behind their messages: its connection ends"
            );
        }
    }

    #[inline]
    fn update_stall<T>(&self, update: impl FnOnce(&mut StallDetector) -> T) -> T {
        let mut stall = self.stall.get();
        let result = update(&mut stall);
        self.stall.set(stall);
        result
    }

    fn judge(&self, cause: EndCause) {
        self.verdict.set(Some(cause));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

thread_local! {
    static SWEEP: RefCell<Sweep> = const {
        RefCell::new(Sweep { watched: Vec::new(), interval: Weak::new() })
    };
}

struct Sweep {
    watched: Vec<Weak<SweptConnection>>,
    /// Interval of the sweeping task, while there is one: it ends with its runtime.
    interval: Weak<Interval>,
}

impl Sweep {
    /// Sweeps every `tick` at least.
    fn hasten(&mut self, tick: Duration) {
        match self.interval.upgrade() {
            Some(interval) if interval.period() <= tick => {}
            Some(interval) => interval.set_period(tick),
            None => {
                let interval = Rc::new(Interval::every(tick));
                self.interval = Rc::downgrade(&interval);
                actix_rt::spawn(run(interval));
            }
        }
    }
}

/// Sweeps until nothing is left to watch.
async fn run(interval: Rc<Interval>) {
    loop {
        interval.next().await;
        let swept = sweep(take(), clock::now());
        read_fairness::handle_sweep();
        if !put_back(swept) {
            return;
        }
    }
}

/// Takes the connections to sweep.
fn take() -> Vec<Weak<SweptConnection>> {
    SWEEP.with_borrow_mut(|sweep| std::mem::take(&mut sweep.watched))
}

/// Sweeps all connections that there are still, and yields them, with how often the soonest of those
/// whose timers have changed is to be swept.
fn sweep(
    mut watched: Vec<Weak<SweptConnection>>,
    now: Instant,
) -> (Vec<Weak<SweptConnection>>, Option<Duration>) {
    let mut soonest: Option<Duration> = None;
    watched.retain(|swept| {
        let Some(swept) = swept.upgrade() else {
            return false;
        };
        if let Some(tick) = swept.handle_sweep(now) {
            soonest = Some(soonest.map_or(tick, |soonest| soonest.min(tick)));
        }
        true
    });
    (watched, soonest)
}

/// False if nothing is left to watch.
fn put_back((mut watched, soonest): (Vec<Weak<SweptConnection>>, Option<Duration>)) -> bool {
    SWEEP.with_borrow_mut(|sweep| {
        watched.append(&mut sweep.watched);
        sweep.watched = watched;
        if sweep.watched.is_empty() {
            sweep.watched = Vec::new();
            sweep.interval = Weak::new();
            return false;
        }
        if let Some(soonest) = soonest {
            sweep.hasten(soonest);
        }
        true
    })
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::id::Identity;
    use crate::link::LinkLimits;

    const HOUR: Duration = Duration::from_secs(3600);

    fn connection(interval: Duration) -> Rc<SweptConnection> {
        let limits = LinkLimits::of(8, 1024);
        let peer = Identity::from_bytes([7; 16]);
        let link = Link::without_socket(peer, 1, limits);
        let (stream, _) = tokio::io::duplex(64);
        let timers = Arc::new(Timers::new(interval, HOUR, HOUR, HOUR));
        SweptConnection::start(Arc::new(link), ByteStream::Memory(stream), timers)
    }

    fn watched() -> usize {
        SWEEP.with_borrow(|sweep| sweep.watched.len())
    }

    fn tasks() -> usize {
        SWEEP.with_borrow(|sweep| sweep.interval.strong_count())
    }

    #[actix_rt::test]
    async fn one_task_sweeps_and_ends_with_the_last_connection() {
        let (first, second) = (connection(HOUR), connection(HOUR));
        assert_eq!((watched(), tasks()), (2, 1));
        drop(first);
        let swept = sweep(take(), clock::now());
        let third = connection(HOUR);
        assert!(put_back(swept));
        assert_eq!((watched(), tasks()), (2, 1));
        drop((second, third));
        assert!(!put_back(sweep(take(), clock::now())));
        assert_eq!(tasks(), 0);
    }

    #[actix_rt::test]
    async fn the_shortest_tick_holds_at_once() {
        tokio::time::pause();
        let _long = connection(HOUR);
        tokio::task::yield_now().await;
        drop(connection(Duration::from_millis(16)));
        assert_eq!((watched(), tasks()), (2, 1));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!((watched(), tasks()), (1, 1));
    }

    #[test]
    fn a_thread_may_have_one_runtime_after_another() {
        for _ in 0..2 {
            actix_rt::System::new().block_on(async {
                let _connection = connection(HOUR);
                assert_eq!(tasks(), 1);
            });
            assert_eq!(tasks(), 0);
        }
    }

    #[test]
    fn what_the_sweep_keeps_of_a_connection_is_small() {
        // The resolver of `dns` builds tokio with both of its schedulers, and each stream says which one it is of.
        let scheduler = if cfg!(feature = "dns") { 8 } else { 0 };
        assert!(
            size_of::<SweptConnection>() <= 200 + scheduler,
            "{}",
            size_of::<SweptConnection>()
        );
    }
}
