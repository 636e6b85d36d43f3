//! Liveness of one connection (WIRE §5), as a sweep over many connections sees it.
//!
//! The data path only sets flags; the sweep, which knows the time, turns them into times. A flag
//! found by a sweep counts as *now*, so that nothing is ever judged early: a heartbeat comes
//! after the interval and at most two ticks late, a verdict after the timeout and at most four.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::Timers;

/// Sweeps in the shorter of interval and timeout.
const TICKS: u32 = 16;

/// State of a connection's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadState {
    /// The connection is read as bytes arrive.
    Open,
    /// We do not read it, for want of room: the peer's silence proves nothing.
    Paused,
}

/// The finding of a sweep about one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LivenessVerdict {
    /// Nothing is due.
    Quiet,
    /// Nothing was sent for the interval: send a HEARTBEAT. It counts as sent.
    SendHeartbeat,
    /// Nothing was received for the timeout. It may lie unread, above all when this process
    /// itself stood still: read once, then sweep again before closing anything.
    ReadFirst,
    /// Nothing was received for the timeout, and reading found nothing: close the connection.
    PeerSilent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReceiveState {
    Heard { last: Instant },
    Doubted { since: Instant },
    Paused,
}

/// Watches one connection. It costs a flag for each frame and a few comparisons for each sweep.
#[derive(Debug)]
pub(crate) struct Liveness {
    timers: Arc<Timers>,
    last_sent: Instant,
    inbound: ReceiveState,
    /// Since when the peer has to show that it lives.
    probed: Option<Instant>,
    sent: bool,
    received: bool,
}

impl Liveness {
    /// Starts as if a frame had just gone each way.
    pub(crate) fn new(now: Instant, timers: Arc<Timers>) -> Self {
        Self {
            timers,
            last_sent: now,
            inbound: ReceiveState::Heard { last: now },
            probed: None,
            sent: false,
            received: false,
        }
    }

    /// Other times hold from now on, for the silence that there is already, too.
    pub(crate) fn set_timers(&mut self, timers: Arc<Timers>) {
        self.timers = timers;
    }

    /// The timers that connections are judged by.
    #[inline]
    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Longest interval between sweeps within the bounds of the module's description: a heartbeat is late by an
    /// eighth of its interval at most.
    pub(crate) fn tick(timers: &Timers) -> Duration {
        let shorter = timers.heartbeat_interval.min(timers.heartbeat_timeout);
        (shorter / TICKS).max(Duration::from_millis(1))
    }

    /// A frame of any type was sent.
    #[inline]
    pub(crate) fn note_sent(&mut self) {
        self.sent = true;
    }

    /// A whole frame of any type was received; half a frame is none (WIRE §5.4).
    #[inline]
    pub(crate) fn note_received(&mut self) {
        self.received = true;
    }

    /// True if a frame was received since the last sweep.
    pub(crate) fn has_received(&self) -> bool {
        self.received
    }

    /// Somebody came under the peer's name. A peer that lives sends something, a HEARTBEAT if nothing
    /// else, within its interval; one that does not is silent from here on, whatever the timeout.
    /// What came before proves nothing. Knocking again changes nothing.
    pub(crate) fn handle_probe(&mut self, now: Instant) {
        if self.probed.is_some() {
            return;
        }
        if std::mem::take(&mut self.received) {
            self.inbound = ReceiveState::Heard { last: now };
        }
        self.probed = Some(now);
    }

    /// True if the peer has yet to show that it lives.
    pub(crate) fn is_probed(&self) -> bool {
        self.probed.is_some()
    }

    /// A sweep passes at `now`.
    pub(crate) fn handle_sweep(&mut self, now: Instant, receiving: ReadState) -> LivenessVerdict {
        if std::mem::take(&mut self.sent) {
            self.last_sent = now;
        }
        let heard = std::mem::take(&mut self.received);
        self.inbound = match (receiving, self.inbound) {
            (ReadState::Paused, _) => ReceiveState::Paused,
            (ReadState::Open, ReceiveState::Paused) => ReceiveState::Heard { last: now },
            (ReadState::Open, _) if heard => ReceiveState::Heard { last: now },
            (ReadState::Open, unheard) => unheard,
        };
        if let Some(since) = &mut self.probed {
            match (receiving, heard) {
                (ReadState::Paused, _) => *since = now,
                (ReadState::Open, true) => self.probed = None,
                (ReadState::Open, false) => {}
            }
        }
        if now.saturating_duration_since(self.last_sent) >= self.timers.heartbeat_interval {
            self.last_sent = now;
            return LivenessVerdict::SendHeartbeat;
        }
        self.judge(now)
    }

    /// True if the peer has been silent for too long.
    fn is_overdue(&self, now: Instant, last: Instant) -> bool {
        // A heartbeat may be late by an eighth of its interval, and takes its time to travel.
        let interval = self.timers.heartbeat_interval;
        let proof = || interval.saturating_add(interval / 4);
        let since = |then: Instant| now.saturating_duration_since(then);
        since(last) >= self.timers.heartbeat_timeout
            || self.probed.is_some_and(|probed| since(probed) >= proof())
    }

    fn judge(&mut self, now: Instant) -> LivenessVerdict {
        match self.inbound {
            ReceiveState::Heard { last } if self.is_overdue(now, last) => {
                self.inbound = ReceiveState::Doubted { since: now };
                LivenessVerdict::ReadFirst
            }
            // Ticks that were missed may be made up for in a burst, before anything could be read.
            ReceiveState::Doubted { since }
                if now.saturating_duration_since(since) >= Self::tick(&self.timers) / 2 =>
            {
                LivenessVerdict::PeerSilent
            }
            ReceiveState::Heard { .. } | ReceiveState::Doubted { .. } | ReceiveState::Paused => {
                LivenessVerdict::Quiet
            }
        }
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
