//! The decision for one child whose incarnation has ended, made without a clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::panics::PanicReport;
use crate::engine::backoff::{Backoff, Delays};
use crate::engine::restart_intensity::{Intensity, RestartQuota, RestartWindow};

/// The ends of an actor that its supervisor answers with a restart.
///
/// The default is [`RestartPolicy::Permanent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// The actor is restarted after a panic and after `ctx.stop()`.
    #[default]
    Permanent,
    /// The actor is restarted after a panic, while `ctx.stop()` ends it for good.
    Transient,
    /// The actor is never restarted.
    Temporary,
}

/// The answer of an `on_panic` callback to a panic.
///
/// The default is [`Decision::Restart`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Treats the panic by the actor's [`RestartPolicy`], with intensity and backoff.
    #[default]
    Restart,
    /// Goes on with the same actor, its state and its futures; only the message in hand is lost.
    ///
    /// This works for the panic of a message handler. After any other panic it means
    /// [`Decision::Restart`], because a future that has panicked cannot be polled again. A resumed panic does not
    /// count against the intensity.
    Resume,
    /// Ends the actor for good and closes its mailbox.
    Stop,
    /// Gives the actor up at once, as if its intensity were exhausted.
    Escalate,
}

/// The reason for giving an actor up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EscalationReason {
    /// One more restart would have been more than `max_restarts` within `window`.
    TooManyRestarts {
        /// The number of restarts that is allowed.
        max_restarts: u32,
        /// The period in which they are counted; all are, if it is zero.
        window: Duration,
    },
    /// An `on_panic` callback answered [`Decision::Escalate`].
    Decided,
    /// A tree was to be started again that had ended without one of its children, which did not stop: its thread was blocked.
    LeftBehind,
}

impl fmt::Display for EscalationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRestarts {
                max_restarts,
                window,
            } if window.is_zero() => write!(f, "more than {max_restarts} restarts in all"),
            Self::TooManyRestarts {
                max_restarts,
                window,
            } => {
                write!(f, "more than {max_restarts} restarts in {window:?}")
            }
            Self::Decided => f.write_str("its panic was escalated"),
            Self::LeftBehind => f.write_str("it did not stop, most likely its thread is blocked"),
        }
    }
}

/// An actor or a tree that its supervisor has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    pub(crate) child: Arc<str>,
    pub(crate) reason: EscalationReason,
    pub(crate) panic: Option<PanicReport>,
}

impl Escalation {
    /// The name of the actor or tree whose failure could not be handled where it happened.
    pub fn child(&self) -> &str {
        &self.child
    }

    /// The reason for giving it up.
    pub fn reason(&self) -> EscalationReason {
        self.reason
    }

    /// The last panic, unless the failure was not a panic.
    pub fn panic(&self) -> Option<&PanicReport> {
        self.panic.as_ref()
    }
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was given up: {}", self.child, self.reason)?;
        match &self.panic {
            Some(panic) => write!(f, " (last panic: {})", panic.message()),
            None => Ok(()),
        }
    }
}

/// The callback that decides about a panic.
pub(crate) type OnPanic = Box<dyn FnMut(&PanicReport) -> Decision + Send>;

/// The callback for an actor or a tree that is given up.
pub(crate) type OnEscalate = Box<dyn FnOnce(Escalation) + Send>;

/// The end of an incarnation, as its supervisor is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exit {
    pub(crate) cause: Cause,
    pub(crate) decision: Decision,
    pub(crate) uptime: Duration,
}

impl Exit {
    /// The answer of a child that was told to halt while it did not run.
    pub(crate) fn halted() -> Self {
        Self {
            cause: Cause::Halted,
            decision: Decision::Restart,
            uptime: Duration::ZERO,
        }
    }
}

/// The cause of the end of an incarnation, of an actor or of a nested tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    /// The actor called `ctx.stop()`.
    Stopped,
    /// No address was left, and the actor wanted to live only as long as there is one.
    Unaddressed,
    /// The supervisor asked for it.
    Halted,
    Panicked(PanicReport),
    /// An actor that it was linked to failed.
    Linked(Arc<str>),
    /// A nested tree gave up.
    Escalated(Escalation),
}

impl Cause {
    pub(crate) fn panic(&self) -> Option<&PanicReport> {
        match self {
            Self::Panicked(panic) => Some(panic),
            Self::Escalated(escalation) => escalation.panic.as_ref(),
            Self::Stopped | Self::Unaddressed | Self::Halted | Self::Linked(_) => None,
        }
    }
}

/// The answer to an [`Exit`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RestartVerdict {
    Restart(Duration),
    End,
    Escalate(EscalationReason),
}

/// The rules of one child and what they remember.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) restart: RestartPolicy,
    window: Option<RestartWindow>,
    delays: Delays,
    healthy_after: Duration,
    /// The time in which it halts, unless its thread is blocked. A tree sees to its own children.
    pub(crate) halts_within: Option<Duration>,
}

impl Policy {
    /// A child of a tree has an intensity of its own only if it was given one.
    pub(crate) fn new(
        restart: RestartPolicy,
        intensity: Option<Intensity>,
        backoff: &Backoff,
    ) -> Self {
        Self {
            restart,
            window: intensity.map(RestartWindow::new),
            delays: backoff.delays(),
            healthy_after: intensity.unwrap_or_default().healthy_after(),
            halts_within: None,
        }
    }

    /// The same for a child that halts within so long.
    pub(crate) const fn halting_within(mut self, time: Duration) -> Self {
        self.halts_within = Some(time);
        self
    }

    pub(crate) fn verdict(&mut self, now: Instant, exit: &Exit) -> RestartVerdict {
        match (exit.decision, &exit.cause) {
            (_, Cause::Unaddressed | Cause::Halted) => return RestartVerdict::End,
            (Decision::Stop, _) => return RestartVerdict::End,
            (Decision::Escalate, Cause::Escalated(escalation)) => {
                return RestartVerdict::Escalate(escalation.reason);
            }
            (Decision::Escalate, _) => return RestartVerdict::Escalate(EscalationReason::Decided),
            (Decision::Restart | Decision::Resume, _) => {}
        }
        match (self.restart, &exit.cause) {
            (RestartPolicy::Temporary, _) | (RestartPolicy::Transient, Cause::Stopped) => {
                return RestartVerdict::End;
            }
            (RestartPolicy::Permanent | RestartPolicy::Transient, _) => {}
        }
        if exit.uptime >= self.healthy_after {
            self.delays.reset();
        }
        match self.window.as_mut().map(|window| admit(window, now)) {
            Some(Err(reason)) => RestartVerdict::Escalate(reason),
            Some(Ok(())) | None => RestartVerdict::Restart(self.delays.next_delay()),
        }
    }

    /// The restarts that count against the child's own intensity, if it has one.
    pub(crate) fn window(&self) -> Option<&RestartWindow> {
        self.window.as_ref()
    }

    pub(crate) fn reset(&mut self) {
        self.delays.reset();
        if let Some(window) = &mut self.window {
            window.reset();
        }
    }
}

/// Counts one restart, or says why there must not be one.
pub(crate) fn admit(window: &mut RestartWindow, now: Instant) -> Result<(), EscalationReason> {
    let Intensity {
        max_restarts,
        window: length,
    } = window.intensity();
    match window.admit(now) {
        RestartQuota::Granted => Ok(()),
        RestartQuota::Exhausted => Err(EscalationReason::TooManyRestarts {
            max_restarts,
            window: length,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(7);

    fn exit(cause: Cause, decision: Decision) -> Exit {
        let uptime = Duration::ZERO;
        Exit {
            cause,
            decision,
            uptime,
        }
    }

    fn verdict(restart: RestartPolicy, cause: Cause, decision: Decision) -> RestartVerdict {
        let mut policy = Policy::new(restart, Some(Intensity::default()), &Backoff::fixed(DELAY));
        policy.verdict(Instant::now(), &exit(cause, decision))
    }

    #[test]
    fn the_policy_says_which_ends_are_answered_with_a_restart() {
        use RestartPolicy::{Permanent, Temporary, Transient};
        let table = [
            (Permanent, Cause::Stopped, RestartVerdict::Restart(DELAY)),
            (
                Permanent,
                Cause::Linked("a".into()),
                RestartVerdict::Restart(DELAY),
            ),
            (Permanent, Cause::Unaddressed, RestartVerdict::End),
            (Permanent, Cause::Halted, RestartVerdict::End),
            (Transient, Cause::Stopped, RestartVerdict::End),
            (
                Transient,
                Cause::Linked("a".into()),
                RestartVerdict::Restart(DELAY),
            ),
            (Temporary, Cause::Stopped, RestartVerdict::End),
            (Temporary, Cause::Linked("a".into()), RestartVerdict::End),
        ];
        for (restart, cause, expected) in table {
            assert_eq!(
                verdict(restart, cause.clone(), Decision::Restart),
                expected,
                "{restart:?} {cause:?}"
            );
        }
    }

    #[test]
    fn a_decision_comes_before_the_policy() {
        let linked = || Cause::Linked("a".into());
        let permanent = RestartPolicy::Permanent;
        assert_eq!(
            verdict(permanent, linked(), Decision::Stop),
            RestartVerdict::End
        );
        let escalate = RestartVerdict::Escalate(EscalationReason::Decided);
        assert_eq!(
            verdict(RestartPolicy::Temporary, linked(), Decision::Escalate),
            escalate
        );
        assert_eq!(
            verdict(permanent, linked(), Decision::Resume),
            RestartVerdict::Restart(DELAY)
        );
    }

    #[test]
    fn a_healthy_life_resets_the_backoff_and_a_short_one_does_not() {
        let ms = Duration::from_millis;
        let backoff = Backoff::exponential(ms(100), ms(10_000)).without_jitter();
        let mut policy = Policy::new(RestartPolicy::Permanent, None, &backoff);
        let mut after = |uptime| {
            let exit = Exit {
                uptime,
                ..exit(Cause::Stopped, Decision::Restart)
            };
            policy.verdict(Instant::now(), &exit)
        };
        assert_eq!(after(ms(0)), RestartVerdict::Restart(ms(100)));
        assert_eq!(after(ms(9_999)), RestartVerdict::Restart(ms(200)));
        assert_eq!(after(ms(10_000)), RestartVerdict::Restart(ms(100)));
    }

    #[test]
    fn a_window_of_zero_is_none_so_that_restarts_are_counted_in_all() {
        let ms = Duration::from_millis;
        let backoff = Backoff::exponential(ms(100), ms(10_000)).without_jitter();
        let intensity = Intensity {
            max_restarts: 2,
            window: Duration::ZERO,
        };
        let mut policy = Policy::new(RestartPolicy::Permanent, Some(intensity), &backoff);
        let start = Instant::now();
        let mut at = |seconds| {
            let stopped = exit(Cause::Stopped, Decision::Restart);
            policy.verdict(start + Duration::from_secs(seconds), &stopped)
        };
        // A life that was short does not make the backoff start over.
        assert_eq!(at(0), RestartVerdict::Restart(ms(100)));
        assert_eq!(at(3600), RestartVerdict::Restart(ms(200)));
        let reason = EscalationReason::TooManyRestarts {
            max_restarts: 2,
            window: Duration::ZERO,
        };
        assert_eq!(at(7200), RestartVerdict::Escalate(reason));
        assert_eq!(reason.to_string(), "more than 2 restarts in all");
    }

    #[test]
    fn one_restart_too_many_escalates() {
        let intensity = Intensity {
            max_restarts: 1,
            window: Duration::from_secs(1),
        };
        let mut policy = Policy::new(
            RestartPolicy::Permanent,
            Some(intensity),
            &Backoff::fixed(DELAY),
        );
        let now = Instant::now();
        let stopped = exit(Cause::Stopped, Decision::Restart);
        assert_eq!(
            policy.verdict(now, &stopped),
            RestartVerdict::Restart(DELAY)
        );
        let reason = EscalationReason::TooManyRestarts {
            max_restarts: 1,
            window: intensity.window,
        };
        assert_eq!(
            policy.verdict(now, &stopped),
            RestartVerdict::Escalate(reason)
        );
        assert_eq!(reason.to_string(), "more than 1 restarts in 1s");
        policy.reset();
        assert_eq!(
            policy.verdict(now, &stopped),
            RestartVerdict::Restart(DELAY)
        );
    }
}
