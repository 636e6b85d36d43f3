//! One instance of a service, as a consumer sees it.
//!
//! ```text
//!  Down ──offered──▶ Ready ◀──time over, ready──▶ Busy
//!    ▲                │  ▲
//!    │                │  └──heard, answered── LeftOut ◀──timeout, failures, second holder
//!    └──withdrawn─────┴──────draining──────▶ Draining
//! ```

use std::time::{Duration, Instant};

/// Timeouts in a row that leave out an instance whose peer goes on speaking.
const FAILURES: u32 = 5;
/// Time between two probes of an instance that is left out.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time for which a provider can say that it is busy.
const MAX_BUSY: Duration = Duration::from_secs(30);

/// Whether an instance may be asked, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceState {
    /// It may be asked.
    Ready,
    /// Its provider has no room for now.
    Busy { until: Instant },
    /// Its provider is about to end.
    Draining,
    /// It may not be asked until it has shown that it works, or until its name is free.
    LeftOut(LeftOut),
    /// It is not offered, or its connection has ended.
    Down { since: Instant },
}

/// Reasons for which this consumer asks an instance nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Nothing at all came from its peer for the whole of one timeout.
    Silent { probe_at: Instant },
    /// So many asks in a row timed out. One at a time is tried, `trial` if it is its time.
    Failing { probe_at: Instant, trial: bool },
    /// Another peer holds the name of the instance.
    SecondHolder,
}

/// Whether anything came from the peer while an ask waited for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nothing came, of any kind.
    Silent,
    /// Something came, but not the answer.
    Spoke,
}

/// News of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceChange {
    Up(InstanceUp),
    Busy { retry_after: Duration },
    Draining,
    Down(InstanceDown),
}

/// Reasons for which an instance may be asked from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceUp {
    /// Its peer offers it.
    Offered,
    /// A new process offers it.
    Restarted,
    /// It has room again.
    Recovered,
    /// Its peer, which had been silent, has said something.
    Heard,
    /// It had failed several times, and has answered.
    Answered,
    /// The peer that held its name has left it.
    NameFree,
}

/// Reasons for which an instance may not be asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceDown {
    /// Its peer no longer offers it.
    Withdrawn,
    /// The connection of its peer has ended.
    Disconnected,
    /// Nothing came from its peer for the whole of one timeout.
    Silent,
    /// Five asks in a row timed out.
    Failing,
    /// Another peer holds its name.
    SecondHolder,
}

/// What is to be done when a deadline of an instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceEffect {
    Announce(InstanceChange),
    /// Make the peer say something: any frame of it ends its being left out.
    Probe,
    /// One who waits may try it.
    Try,
}

/// One instance of one service.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    state: InstanceState,
    /// Timeouts since the last answer.
    failures: u32,
}

impl Instance {
    /// An instance that nobody has offered yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            state: InstanceState::Down { since: now },
            failures: 0,
        }
    }

    pub(crate) const fn state(&self) -> InstanceState {
        self.state
    }

    /// True if an ask may go to it.
    #[inline]
    pub(crate) const fn may_be_asked(&self) -> bool {
        matches!(
            self.state,
            InstanceState::Ready | InstanceState::LeftOut(LeftOut::Failing { trial: true, .. })
        )
    }

    /// True while it has to show that it works.
    pub(crate) const fn is_left_out(&self) -> bool {
        matches!(self.state, InstanceState::LeftOut(_))
    }

    /// An ask goes to it. While it is left out for its failures that is the only one.
    #[inline]
    pub(crate) const fn handle_asked(&mut self) {
        if let InstanceState::LeftOut(LeftOut::Failing { trial, .. }) = &mut self.state {
            *trial = false;
        }
    }

    /// Its peer offers it, perhaps again.
    pub(crate) fn handle_offered(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::Down { .. } | InstanceState::Draining => {
                Some(self.come_up(InstanceUp::Offered))
            }
            InstanceState::Ready | InstanceState::Busy { .. } | InstanceState::LeftOut(_) => None,
        }
    }

    /// A new process offers it: what was known of the one before is void.
    pub(crate) fn handle_restarted(&mut self) -> InstanceChange {
        self.come_up(InstanceUp::Restarted)
    }

    /// Its peer no longer offers it.
    pub(crate) fn handle_withdrawn(&mut self, now: Instant) -> Option<InstanceChange> {
        self.go_down(now, InstanceDown::Withdrawn)
    }

    /// The connection of its peer has ended.
    pub(crate) fn handle_disconnected(&mut self, now: Instant) -> Option<InstanceChange> {
        self.go_down(now, InstanceDown::Disconnected)
    }

    /// Its peer has said, in a LOAD, that it has room.
    pub(crate) fn handle_ready(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::Busy { .. } => {
                self.state = InstanceState::Ready;
                Some(InstanceChange::Up(InstanceUp::Recovered))
            }
            InstanceState::Ready
            | InstanceState::Draining
            | InstanceState::LeftOut(_)
            | InstanceState::Down { .. } => None,
        }
    }

    /// Its peer has said, in a LOAD or by refusing an ask, that it has no room.
    pub(crate) fn handle_busy(
        &mut self,
        now: Instant,
        retry_after: Duration,
    ) -> Option<InstanceChange> {
        let retry_after = retry_after.min(MAX_BUSY);
        let until = now + retry_after;
        match &mut self.state {
            InstanceState::Ready => {
                self.state = InstanceState::Busy { until };
                Some(InstanceChange::Busy { retry_after })
            }
            InstanceState::Busy { .. } => {
                self.state = InstanceState::Busy { until };
                None
            }
            // It is tried again when it is time, whatever it was that it has turned down.
            InstanceState::LeftOut(LeftOut::Failing { trial, .. }) => {
                *trial = false;
                None
            }
            InstanceState::Draining | InstanceState::LeftOut(_) | InstanceState::Down { .. } => {
                None
            }
        }
    }

    /// Its peer has said that it is about to end.
    pub(crate) fn handle_draining(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::Draining | InstanceState::Down { .. } => None,
            InstanceState::Ready | InstanceState::Busy { .. } | InstanceState::LeftOut(_) => {
                self.state = InstanceState::Draining;
                Some(InstanceChange::Draining)
            }
        }
    }

    /// An ask of it was answered.
    #[inline]
    pub(crate) fn handle_answered(&mut self) -> Option<InstanceChange> {
        self.failures = 0;
        match self.state {
            InstanceState::LeftOut(LeftOut::Failing { .. }) => {
                Some(self.come_up(InstanceUp::Answered))
            }
            InstanceState::LeftOut(LeftOut::Silent { .. }) => Some(self.come_up(InstanceUp::Heard)),
            InstanceState::LeftOut(LeftOut::SecondHolder)
            | InstanceState::Ready
            | InstanceState::Busy { .. }
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
        }
    }

    /// A frame of its peer has come, of any kind.
    pub(crate) fn handle_heard(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::LeftOut(LeftOut::Silent { .. }) => Some(self.come_up(InstanceUp::Heard)),
            InstanceState::LeftOut(LeftOut::Failing { .. } | LeftOut::SecondHolder)
            | InstanceState::Ready
            | InstanceState::Busy { .. }
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
        }
    }

    /// An ask of it has timed out. `silence` is the peer's since the ask was sent.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        silence: Silence,
    ) -> Option<InstanceChange> {
        match (self.state, silence) {
            (InstanceState::Ready | InstanceState::Busy { .. }, Silence::Silent) => {
                let silent = LeftOut::Silent { probe_at: now };
                Some(self.leave_out(silent, InstanceDown::Silent))
            }
            (InstanceState::Ready | InstanceState::Busy { .. }, Silence::Spoke) => {
                self.failures += 1;
                let failing = LeftOut::failing(now);
                (self.failures >= FAILURES).then(|| self.leave_out(failing, InstanceDown::Failing))
            }
            // The trial has failed.
            (InstanceState::LeftOut(LeftOut::Failing { .. }), _) => {
                self.state = InstanceState::LeftOut(LeftOut::failing(now));
                None
            }
            (InstanceState::LeftOut(LeftOut::Silent { .. } | LeftOut::SecondHolder), _)
            | (InstanceState::Draining | InstanceState::Down { .. }, _) => None,
        }
    }

    /// Another peer holds its name.
    pub(crate) fn handle_second_holder(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::LeftOut(LeftOut::SecondHolder)
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
            InstanceState::Ready
            | InstanceState::Busy { .. }
            | InstanceState::LeftOut(LeftOut::Silent { .. } | LeftOut::Failing { .. }) => {
                Some(self.leave_out(LeftOut::SecondHolder, InstanceDown::SecondHolder))
            }
        }
    }

    /// The name that another peer held is its own now.
    pub(crate) fn handle_name_free(&mut self) -> Option<InstanceChange> {
        match self.state {
            InstanceState::LeftOut(LeftOut::SecondHolder) => {
                Some(self.come_up(InstanceUp::NameFree))
            }
            InstanceState::LeftOut(LeftOut::Silent { .. } | LeftOut::Failing { .. })
            | InstanceState::Ready
            | InstanceState::Busy { .. }
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
        }
    }

    /// When [`handle_deadline`](Self::handle_deadline) has something to do.
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            InstanceState::Busy { until } => Some(until),
            InstanceState::LeftOut(
                LeftOut::Silent { probe_at } | LeftOut::Failing { probe_at, .. },
            ) => Some(probe_at),
            InstanceState::LeftOut(LeftOut::SecondHolder)
            | InstanceState::Ready
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
        }
    }

    /// Time has passed.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Option<InstanceEffect> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match &mut self.state {
            InstanceState::Busy { .. } => self.handle_ready().map(InstanceEffect::Announce),
            InstanceState::LeftOut(LeftOut::Silent { probe_at }) => {
                *probe_at = now + PROBE_INTERVAL;
                Some(InstanceEffect::Probe)
            }
            InstanceState::LeftOut(LeftOut::Failing { probe_at, trial }) => {
                *probe_at = now + PROBE_INTERVAL;
                *trial = true;
                Some(InstanceEffect::Try)
            }
            InstanceState::LeftOut(LeftOut::SecondHolder)
            | InstanceState::Ready
            | InstanceState::Draining
            | InstanceState::Down { .. } => None,
        }
    }

    const fn come_up(&mut self, up: InstanceUp) -> InstanceChange {
        self.state = InstanceState::Ready;
        self.failures = 0;
        InstanceChange::Up(up)
    }

    const fn leave_out(&mut self, left_out: LeftOut, down: InstanceDown) -> InstanceChange {
        self.state = InstanceState::LeftOut(left_out);
        InstanceChange::Down(down)
    }

    /// An instance that was left out is down already for those who follow the service.
    fn go_down(&mut self, now: Instant, down: InstanceDown) -> Option<InstanceChange> {
        let before = self.state;
        if let InstanceState::Down { .. } = before {
            return None;
        }
        self.state = InstanceState::Down { since: now };
        self.failures = 0;
        match before {
            InstanceState::LeftOut(_) | InstanceState::Down { .. } => None,
            InstanceState::Ready | InstanceState::Busy { .. } | InstanceState::Draining => {
                Some(InstanceChange::Down(down))
            }
        }
    }
}

impl LeftOut {
    fn failing(now: Instant) -> Self {
        Self::Failing {
            probe_at: now + PROBE_INTERVAL,
            trial: false,
        }
    }
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
