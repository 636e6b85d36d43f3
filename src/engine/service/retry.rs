//! Whether an ask that has failed at one instance is tried at another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

/// Whether an ask may be handled twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Idempotence {
    /// It is handled at most once: tried again only if it surely was not handled.
    #[default]
    NotIdempotent,
    /// It may be handled more than once.
    Idempotent,
}

/// How an ask is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Over all tries.
    pub(crate) timeout: Duration,
    /// Tries after the first.
    pub(crate) retries: u32,
    pub(crate) idempotence: Idempotence,
    /// Of one try of an ask that may be handled twice; `None` for its share of `timeout`.
    pub(crate) try_timeout: Option<Duration>,
}

/// The end of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryOutcome {
    Answered,
    /// The handler failed, or could not read the request.
    Remote,
    /// Its instance went before the ask was written.
    NotWritten,
    /// Its provider had no room.
    Busy {
        retry_after: Duration,
    },
    /// Its provider is about to end.
    Draining,
    /// Its provider does not offer the service any more.
    NoSuchService,
    /// The connection ended after the ask was written.
    PeerGone,
    /// No answer came in the time of the try.
    TimedOut,
}

/// What follows from the end of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterTry {
    /// Choose once more.
    Again,
    End(AskEnd),
}

/// The end of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskEnd {
    Answered,
    Remote,
    Busy {
        retry_after: Duration,
    },
    /// Whoever was asked did not take it, and the tries are used up.
    NoService,
    PeerGone,
    Timeout,
}

/// The tries of one ask. `K` names an instance.
#[derive(Debug)]
pub(crate) struct AskTries<K> {
    deadline: Instant,
    retries_left: u32,
    idempotence: Idempotence,
    try_timeout: Duration,
    tried: SmallVec<[K; 4]>,
}

impl<K: Copy + Eq> AskTries<K> {
    pub(crate) fn new(policy: RetryPolicy, now: Instant) -> Self {
        let share = policy.timeout / policy.retries.saturating_add(1);
        Self {
            deadline: now + policy.timeout,
            retries_left: policy.retries,
            idempotence: policy.idempotence,
            try_timeout: match policy.idempotence {
                // A timeout is its end.
                Idempotence::NotIdempotent => policy.timeout,
                Idempotence::Idempotent => policy.try_timeout.unwrap_or(share),
            },
            tried: SmallVec::new(),
        }
    }

    /// The end of the ask, whatever happens.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The end of a try that begins now. The last one has all the time that is left.
    pub(crate) fn try_deadline(&self, now: Instant) -> Instant {
        match self.retries_left {
            0 => self.deadline,
            _ => self.deadline.min(now + self.try_timeout),
        }
    }

    /// True if an instance was tried, and others go first.
    #[inline]
    pub(crate) fn has_tried(&self, instance: K) -> bool {
        self.tried.contains(&instance)
    }

    /// A try has ended at an instance.
    pub(crate) fn handle_outcome(
        &mut self,
        now: Instant,
        instance: K,
        outcome: TryOutcome,
        budget: &mut RetryBudget,
    ) -> AfterTry {
        if !self.tried.contains(&instance) {
            self.tried.push(instance);
        }
        let end = match outcome {
            TryOutcome::Answered => return AfterTry::End(AskEnd::Answered),
            TryOutcome::Remote => return AfterTry::End(AskEnd::Remote),
            // It was nobody's work: the instance was on its way out.
            TryOutcome::NotWritten | TryOutcome::Draining => {
                return match now < self.deadline {
                    true => AfterTry::Again,
                    false => AfterTry::End(AskEnd::Timeout),
                };
            }
            TryOutcome::Busy { retry_after } => AskEnd::Busy { retry_after },
            TryOutcome::NoSuchService => AskEnd::NoService,
            TryOutcome::PeerGone => AskEnd::PeerGone,
            TryOutcome::TimedOut => AskEnd::Timeout,
        };
        match self.may_try_again(now, outcome, budget) {
            true => AfterTry::Again,
            false => AfterTry::End(end),
        }
    }

    fn may_try_again(
        &mut self,
        now: Instant,
        outcome: TryOutcome,
        budget: &mut RetryBudget,
    ) -> bool {
        let allowed = outcome.was_surely_not_handled()
            || self.idempotence == Idempotence::Idempotent && outcome.may_be_repeated();
        if !allowed || self.retries_left == 0 || now >= self.deadline || !budget.withdraw(now) {
            return false;
        }
        self.retries_left -= 1;
        true
    }
}

impl TryOutcome {
    /// True if no handler has seen the ask, nor will.
    pub(crate) const fn was_surely_not_handled(self) -> bool {
        match self {
            Self::NotWritten | Self::Busy { .. } | Self::Draining | Self::NoSuchService => true,
            Self::Answered | Self::Remote | Self::PeerGone | Self::TimedOut => false,
        }
    }

    /// True if it may have been handled, and nobody knows.
    const fn may_be_repeated(self) -> bool {
        matches!(self, Self::PeerGone | Self::TimedOut)
    }
}

/// Time over which tries are counted.
const WINDOW_SECONDS: u64 = 10;
/// Retries that are always allowed, for each second of the window.
const RETRIES_A_SECOND: u64 = 10;
/// First tries for which there may be one retry.
const FIRST_TRIES_A_RETRY: u64 = 5;

/// Limit on the retries of all asks of one service: the larger of ten a second and a fifth of the first tries, both
/// counted over ten seconds. It keeps those who ask from multiplying the load of a service that fails.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget {
    seconds: VecDeque<Second>,
    firsts: u64,
    retries: u64,
}

#[derive(Debug, Clone, Copy)]
struct Second {
    began: Instant,
    firsts: u64,
    retries: u64,
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An ask is tried for the first time.
    pub(crate) fn handle_first_try(&mut self, now: Instant) {
        self.this_second(now).firsts += 1;
        self.firsts += 1;
    }

    /// Takes one retry out of the budget. False if nothing is left.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        self.this_second(now);
        let floor = RETRIES_A_SECOND * WINDOW_SECONDS;
        if self.retries >= floor.max(self.firsts / FIRST_TRIES_A_RETRY) {
            return false;
        }
        self.this_second(now).retries += 1;
        self.retries += 1;
        true
    }

    /// Forgets what is older than the window.
    fn this_second(&mut self, now: Instant) -> &mut Second {
        let window = Duration::from_secs(WINDOW_SECONDS);
        while let Some(oldest) = self.seconds.front()
            && now.saturating_duration_since(oldest.began) >= window
        {
            self.firsts -= oldest.firsts;
            self.retries -= oldest.retries;
            self.seconds.pop_front();
        }
        let is_current =
            |second: &Second| now.saturating_duration_since(second.began) < Duration::from_secs(1);
        if !self.seconds.back().is_some_and(is_current) {
            self.seconds.push_back(Second {
                began: now,
                firsts: 0,
                retries: 0,
            });
        }
        self.seconds.back_mut().expect("it was just pushed")
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
