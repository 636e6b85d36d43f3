//! The life of a socket: its phase, how it ended, and its coarse clock.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use crate::engine::SocketPhase;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Where a socket is in its life, and how many peers it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SocketState {
    /// Peers that are connected.
    pub peers: usize,
    /// Phase of the socket: open, closing or closed.
    pub phase: SocketPhase,
}

/// The account of a socket's messages at its close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// Messages handed to the kernel in the socket's life; a published one counts once for each peer.
    pub sent: u64,
    /// Messages that peers acknowledged in the socket's life.
    pub acknowledged: u64,
    /// Accepted messages that were not handed to the kernel before the deadline, and are lost.
    pub unsent: usize,
    /// Messages for which an acknowledgement was still awaited. They may have arrived.
    pub unacknowledged: usize,
    /// Messages that the [outbox](mod@crate::outbox) keeps, which the next start sends. They are not lost, and not among the others.
    pub stored: usize,
    /// Received messages that handlers were through with, in the socket's life.
    pub handled: u64,
    /// Received messages that a handler had begun, or put off, and not finished.
    pub unfinished: usize,
    /// Messages that were received, were sent at most once or acknowledged on receipt, and had not been taken by a handler. They are
    /// lost.
    pub unhandled: usize,
    /// Messages that were received, want an acknowledgement that they have not got, and had not been taken by a handler. Their
    /// senders have them and send them again.
    pub returned: usize,
}

impl CloseReport {
    /// True if messages are lost, or may be.
    pub(crate) fn is_loss(&self) -> bool {
        self.unsent + self.unacknowledged + self.unfinished + self.unhandled > 0
    }
}

/// The coarse clock of a socket, which its sweeps set, and the wish for another sweep.
#[derive(Debug, Default)]
pub(crate) struct SweepClock {
    uptime_millis: AtomicU64,
    wanted: AtomicBool,
}

impl SweepClock {
    /// The time since the socket started, as of the last sweep.
    #[inline]
    pub(crate) fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_millis.load(Ordering::Relaxed))
    }

    /// Asks for the next sweep of the links: one of them holds something that may have to be resent, or is
    /// behind.
    #[inline]
    pub(crate) fn request_sweep(&self) {
        if !self.wanted.load(Ordering::Acquire) {
            self.wanted.store(true, Ordering::Release);
        }
    }

    /// True if a sweep of the links is asked for. What is asked from here on is for the one after it.
    pub(crate) fn take_request(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    /// True if a sweep of the links is asked for.
    #[cfg(all(test, not(aiomsg_loom)))]
    pub(crate) fn is_requested(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

/// The life of one socket, which all its parts look at and only its core moves on.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    /// A [`SocketPhase`].
    phase: AtomicUsize,
    /// Set when nothing more is received, while the socket may still send.
    draining: AtomicBool,
    /// When the program was asked to stop while it ran the socket.
    stop_asked: OnceLock<Instant>,
    /// Why the socket was closed.
    reason: OnceLock<String>,
    /// End of the socket's messages.
    report: OnceLock<CloseReport>,
    started: Instant,
    clock: Arc<SweepClock>,
    next_serial: AtomicU64,
    state: watch::Sender<SocketState>,
    /// The join or departure that the peers in `state` are as of. Changes under its lock.
    peers_as_of: AtomicU64,
}

impl Lifecycle {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            phase: AtomicUsize::new(SocketPhase::Open as usize),
            draining: AtomicBool::new(false),
            stop_asked: OnceLock::new(),
            reason: OnceLock::new(),
            report: OnceLock::new(),
            started: now,
            clock: Arc::default(),
            next_serial: AtomicU64::new(1),
            state: watch::Sender::new(SocketState::default()),
            peers_as_of: AtomicU64::new(0),
        }
    }

    /// The program is asked to stop: yields since when it is, and whether this is news.
    pub(crate) fn note_stop_asked(&self, now: Instant) -> (Instant, bool) {
        let is_first = self.stop_asked.set(now).is_ok();
        (*self.stop_asked.get_or_init(|| now), is_first)
    }

    /// Since when the program is asked to stop.
    pub(crate) fn stop_asked(&self) -> Option<Instant> {
        self.stop_asked.get().copied()
    }

    /// A number that no other connection of this socket has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The socket's coarse clock, as of the last sweep.
    #[inline]
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// The coarse clock itself, for whoever reads it at each message.
    pub(crate) fn sweep_clock(&self) -> &Arc<SweepClock> {
        &self.clock
    }

    /// Sets the coarse clock, which never goes back.
    pub(crate) fn note_time(&self, now: Instant) {
        let uptime = now.saturating_duration_since(self.started);
        let millis = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        self.clock
            .uptime_millis
            .fetch_max(millis, Ordering::Relaxed);
    }

    /// Follows the state of the socket.
    pub(crate) fn state(&self) -> watch::Receiver<SocketState> {
        self.state.subscribe()
    }

    /// Publishes how many peers are connected, as of so many joins and departures. Who comes late with that, behind
    /// others that knew of more of them, changes nothing.
    pub(crate) fn note_peers(&self, peers: usize, as_of: u64) {
        self.state.send_modify(|state| {
            if self.peers_as_of.fetch_max(as_of, Ordering::Relaxed) < as_of {
                state.peers = peers;
            }
        });
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == SocketPhase::Open as usize
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == SocketPhase::Closed as usize
    }

    /// Moves on to `phase`; never back. Who follows the [state](Self::state) learns of it by
    /// [`announce`](Self::announce).
    pub(crate) fn advance(&self, phase: SocketPhase) {
        self.phase.fetch_max(phase as usize, Ordering::SeqCst);
    }

    /// Tells everyone who follows the state that `phase` is reached.
    pub(crate) fn announce(&self, phase: SocketPhase) {
        self.state
            .send_modify(|state| state.phase = state.phase.advanced_to(phase));
    }

    /// Records why the socket ends. False if it had ended before, for another reason.
    pub(crate) fn begin_end(&self, reason: &str) -> bool {
        self.reason.set(reason.to_owned()).is_ok()
    }

    /// Why the socket was closed, once it is.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Keeps what became of the socket's messages.
    pub(crate) fn set_report(&self, report: CloseReport) {
        // The first report is the true one.
        let _ = self.report.set(report);
    }

    /// End of the socket's messages, once it is closed.
    pub(crate) fn report(&self) -> Option<CloseReport> {
        self.report.get().copied()
    }

    /// From now on nothing is received.
    pub(crate) fn stop_receiving(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_receiving(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_with_the_number_of_peers_changes_nothing() {
        let lifecycle = Lifecycle::new(crate::clock::now());
        lifecycle.note_peers(2, 2);
        lifecycle.note_peers(1, 1);
        assert_eq!(lifecycle.state().borrow().peers, 2);
        lifecycle.note_peers(1, 3);
        assert_eq!(lifecycle.state().borrow().peers, 1);
    }
}
