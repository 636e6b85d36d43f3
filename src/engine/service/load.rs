//! The load of one service at its provider: whether an ask is accepted, and what consumers are told.

use std::time::{Duration, Instant};

/// Time between two announcements of a service's state.
const ANNOUNCEMENT_INTERVAL: Duration = Duration::from_millis(100);
/// Bounds of the time after which whoever was refused may come again.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(10);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Part of the remaining time that an ask may be expected to take. The rest is for its way and the answer's, which the
/// provider does not know, and for handlers that take longer than usual.
const USED_OF_REMAINING: f64 = 2.0 / 3.0;
/// Times of which the latest is one in the moving average.
const AVERAGED: u32 = 16;

/// Bounds of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoadLimits {
    /// Messages that wait for a handler.
    pub(crate) max_queued: usize,
    /// Bytes of them. An empty queue takes one message of any size.
    pub(crate) max_queued_bytes: usize,
}

/// The answer to a message that has come for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceAdmission {
    Accept,
    Busy { retry_after: Duration },
}

/// The state of a service, as consumers are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadState {
    Ready,
    Busy { retry_after: Duration },
}

/// The queue of one service: how long it is, and how fast it moves.
#[derive(Debug)]
pub(crate) struct ServiceLoad {
    limits: LoadLimits,
    queued: usize,
    queued_bytes: usize,
    /// Moving average of the time in which one message is handled, however many are at a time; once something was handled.
    average: Option<Duration>,
    /// Times in the average, `AVERAGED` at most.
    handled: u32,
    phase: Phase,
    announced: LoadState,
    /// The time of the last announcement.
    announced_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ready,
    /// Somebody was refused. It ends when no more than `resumes_at` messages wait.
    Busy {
        resumes_at: usize,
    },
}

impl ServiceLoad {
    pub(crate) const fn new(limits: LoadLimits) -> Self {
        Self {
            limits,
            queued: 0,
            queued_bytes: 0,
            average: None,
            handled: 0,
            phase: Phase::Ready,
            announced: LoadState::Ready,
            announced_at: None,
        }
    }

    /// Changes the bounds. What waits above them stays.
    pub(crate) const fn set_limits(&mut self, limits: LoadLimits) {
        self.limits = limits;
    }

    /// Messages that wait.
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of the messages that wait.
    pub(crate) const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// A message of so many bytes has come whose sender waits for another `remaining`, if that is given. It is counted if
    /// it is accepted.
    pub(crate) fn handle_arrival(
        &mut self,
        bytes: usize,
        remaining: Option<Duration>,
    ) -> ServiceAdmission {
        if self.has_room(bytes) && self.is_in_time(remaining) {
            self.queued += 1;
            self.queued_bytes += bytes;
            return ServiceAdmission::Accept;
        }
        if self.phase == Phase::Ready {
            let resumes_at = self.queued / 2;
            self.phase = Phase::Busy { resumes_at };
        }
        let retry_after = self.retry_after();
        ServiceAdmission::Busy { retry_after }
    }

    const fn has_room(&self, bytes: usize) -> bool {
        let LoadLimits {
            max_queued,
            max_queued_bytes,
        } = self.limits;
        let fits = self.queued == 0 || self.queued_bytes + bytes <= max_queued_bytes;
        self.queued < max_queued && fits
    }

    /// A message of so many bytes that was accepted has left the queue, to its handler or because its time was over.
    pub(crate) fn handle_taken(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(1);
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        if let Phase::Busy { resumes_at } = self.phase
            && self.queued <= resumes_at
        {
            self.phase = Phase::Ready;
        }
    }

    /// Messages were finished, one in so long.
    pub(crate) fn handle_finished(&mut self, took: Duration) {
        // The first ones count equally: one of them alone, the first to be done, is too short more often than not.
        self.handled = (self.handled + 1).min(AVERAGED);
        let before = self.average.unwrap_or_default() * (self.handled - 1);
        self.average = Some((before + took) / self.handled);
    }

    /// When there is something to announce: at once, or at the end of the interval. `None` if nothing has changed.
    pub(crate) fn next_announcement(&self, now: Instant) -> Option<Instant> {
        if self.is_announced() {
            return None;
        }
        let earliest = self.announced_at.map(|at| at + ANNOUNCEMENT_INTERVAL);
        Some(earliest.map_or(now, |earliest| earliest.max(now)))
    }

    /// The state that consumers are to be told now, if there is one.
    pub(crate) fn announce(&mut self, now: Instant) -> Option<LoadState> {
        if self.next_announcement(now).is_none_or(|at| now < at) {
            return None;
        }
        let state = match self.phase {
            Phase::Ready => LoadState::Ready,
            Phase::Busy { .. } => LoadState::Busy {
                retry_after: self.retry_after(),
            },
        };
        self.announced = state;
        self.announced_at = Some(now);
        Some(state)
    }

    const fn is_announced(&self) -> bool {
        matches!(
            (self.phase, self.announced),
            (Phase::Ready, LoadState::Ready) | (Phase::Busy { .. }, LoadState::Busy { .. })
        )
    }

    /// True if a message that came now would be handled in time. The first in an empty queue always is: without
    /// it a service that was slow once would never show that it is fast again.
    fn is_in_time(&self, remaining: Option<Duration>) -> bool {
        let (Some(remaining), Some(average)) = (remaining, self.average) else {
            return true;
        };
        let expected = self.time_for(self.queued).saturating_add(average);
        self.queued == 0 || expected <= remaining.mul_f64(USED_OF_REMAINING)
    }

    /// The time in which so many messages leave the queue.
    fn time_for(&self, messages: usize) -> Duration {
        let average = self.average.unwrap_or_default();
        let seconds = average.as_secs_f64() * messages as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// The time in which the queue comes down to where it accepts again for a while.
    fn retry_after(&self) -> Duration {
        let resumes_at = match self.phase {
            Phase::Busy { resumes_at } => resumes_at,
            Phase::Ready => self.queued / 2,
        };
        self.time_for(self.queued.saturating_sub(resumes_at))
            .clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER)
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
