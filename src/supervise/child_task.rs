//! The task of one child: incarnation, backoff, incarnation. Actors and trees differ in their [`Runner`] alone.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::child_record::{ChildRecord, LinkedFailure};
use super::child_state::ChildState;
use super::command::Command;
use super::down::ExitReason;
use super::event::{RestartEvent, RestartNotices};
use super::monitor::{AddrKey, delist};
use super::panics::contain;
use super::policy::{Cause, Decision, Escalation, Exit, OnEscalate, Policy, RestartVerdict};
use super::program_end::end_program;
use super::tree_membership::TreeMembership;
use crate::clock;

/// The part of a child's task that knows whether the child is an actor or a tree.
pub(crate) trait Runner {
    /// Runs one incarnation, which is completely gone when this returns.
    async fn run(&mut self, child: &mut ChildLifecycle) -> (Cause, Decision);

    /// Waits for a command between two incarnations.
    async fn next_command(&mut self, record: &ChildRecord) -> Command {
        record.commands.next().await
    }

    /// Ends what belongs to the child and not to an incarnation.
    async fn close(&mut self) {}
}

/// The party that decides what follows the end of an incarnation.
pub(crate) enum Supervisor {
    /// The child stands alone, under rules of its own.
    Rules {
        policy: Policy,
        on_escalate: Option<OnEscalate>,
    },
    Tree(TreeMembership),
}

/// The state that all kinds of children have. The last fields are dropped in this order: everyone is told that the
/// child has ended, then its tree is.
pub(crate) struct ChildLifecycle {
    pub(crate) record: Arc<ChildRecord>,
    incarnations: u64,
    /// Set once the child was told to end: nobody is asked what comes next.
    dismissed: bool,
    _end: EndGuard,
    supervisor: Supervisor,
}

/// Tells everyone that a child has ended, when it is dropped.
pub(crate) struct EndGuard {
    record: Arc<ChildRecord>,
    key: Option<AddrKey>,
}

impl EndGuard {
    pub(crate) fn new(record: Arc<ChildRecord>, key: Option<AddrKey>) -> Self {
        Self { record, key }
    }

    pub(crate) fn record(&self) -> &Arc<ChildRecord> {
        &self.record
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            delist(key);
        }
        self.record.end();
    }
}

/// A child under supervision. What it runs is dropped before anybody is told that it has ended.
pub(crate) struct ChildTask<R> {
    runner: R,
    lifecycle: ChildLifecycle,
}

/// The next step of a child.
enum NextStep {
    Run(Duration),
    AwaitCommand,
    End(Option<Escalation>),
}

impl<R: Runner> ChildTask<R> {
    pub(crate) fn new(runner: R, end: EndGuard, supervisor: Supervisor) -> Self {
        let lifecycle = ChildLifecycle {
            record: Arc::clone(end.record()),
            incarnations: 0,
            dismissed: false,
            _end: end,
            supervisor,
        };
        Self { runner, lifecycle }
    }

    // Not an `async fn`, which would keep the task twice: as its argument, and as what it works with.
    #[expect(clippy::manual_async_fn, reason = "it is a third smaller")]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            self.lifecycle.record.commands.listen().await;
            let mut next = match &self.lifecycle.supervisor {
                Supervisor::Rules { .. } => NextStep::Run(Duration::ZERO),
                Supervisor::Tree(_) => NextStep::AwaitCommand,
            };
            let escalation = loop {
                next = match next {
                    NextStep::Run(delay) => self.run_after(delay).await,
                    NextStep::AwaitCommand => self.await_command().await,
                    NextStep::End(escalation) => break escalation,
                };
            };
            self.runner.close().await;
            let on_escalate = match &mut self.lifecycle.supervisor {
                Supervisor::Rules { on_escalate, .. } => on_escalate.take(),
                Supervisor::Tree(_) => None,
            };
            let notices = self.lifecycle.record.notices();
            drop(self);
            wind_up(notices, escalation, on_escalate);
        }
    }

    async fn await_command(&mut self) -> NextStep {
        loop {
            match self.runner.next_command(&self.lifecycle.record).await {
                Command::Run(delay) => return NextStep::Run(delay),
                Command::Crash(_) => {}
                command @ (Command::Halt | Command::End) => {
                    return self.lifecycle.halted(&command);
                }
            }
        }
    }

    async fn run_after(&mut self, delay: Duration) -> NextStep {
        let lifecycle = &mut self.lifecycle;
        if lifecycle.incarnations > 0
            && let ControlFlow::Break(command) =
                back_off(&mut self.runner, &lifecycle.record, delay).await
        {
            return lifecycle.halted(&command);
        }
        lifecycle.incarnations += 1;
        lifecycle.record.commands.forget_crash();
        lifecycle.record.starting(lifecycle.incarnations);
        let began = clock::now();
        let (cause, decision) = self.runner.run(lifecycle).await;
        let failure = match cause {
            Cause::Panicked(_) | Cause::Linked(_) | Cause::Escalated(_) => LinkedFailure::Spreads,
            Cause::Stopped | Cause::Unaddressed | Cause::Halted => LinkedFailure::None,
        };
        lifecycle.record.unlink(failure);
        lifecycle.record.waiting();
        let uptime = clock::now().saturating_duration_since(began);
        lifecycle.report(Exit {
            cause,
            decision,
            uptime,
        })
    }
}

/// Waits before a restart, unless the child is told to halt.
async fn back_off<R: Runner>(
    runner: &mut R,
    record: &ChildRecord,
    delay: Duration,
) -> ControlFlow<Command> {
    let child = record.name();
    record.tell(RestartEvent::Restarting { child, delay });
    record.update(|vitals| vitals.state = ChildState::BackingOff);
    // A restart without delay still lets others run, so that an actor which fails at once does not take
    // the arbiter for itself.
    let pause = async {
        match delay {
            Duration::ZERO => tokio::task::yield_now().await,
            delay => tokio::time::sleep(delay).await,
        }
    };
    let mut pause = pin!(pause);
    loop {
        tokio::select! {
            biased;
            command = runner.next_command(record) => match command {
                Command::Halt | Command::End => return ControlFlow::Break(command),
                Command::Run(_) | Command::Crash(_) => {}
            },
            () = &mut pause => return ControlFlow::Continue(()),
        }
    }
}

impl ChildLifecycle {
    /// Marks the incarnation as running.
    pub(crate) fn started(&self) {
        self.record.running();
        match &self.supervisor {
            Supervisor::Rules { .. } => {}
            Supervisor::Tree(membership) => membership.up(),
        }
    }

    /// Marks the incarnation as one that was told to end.
    pub(crate) fn stopping(&mut self, command: &Command) {
        self.dismissed |= *command == Command::End;
        self.record
            .update(|vitals| vitals.state = ChildState::Stopping);
    }

    /// Answers a command to a child that has no incarnation.
    fn halted(&mut self, command: &Command) -> NextStep {
        self.dismissed |= *command == Command::End;
        self.report(Exit::halted())
    }

    /// Hands the end of an incarnation to whoever decides.
    fn report(&mut self, exit: Exit) -> NextStep {
        if self.dismissed {
            self.record.update(|vitals| vitals.down = None);
            return NextStep::End(None);
        }
        let policy = match &mut self.supervisor {
            Supervisor::Tree(membership) => {
                membership.exited(exit);
                return NextStep::AwaitCommand;
            }
            Supervisor::Rules { policy, .. } => policy,
        };
        let escalation = match (policy.verdict(clock::now(), &exit), exit.cause) {
            (_, Cause::Escalated(escalation)) => escalation,
            (RestartVerdict::Escalate(reason), cause) => Escalation {
                child: self.record.name(),
                reason,
                panic: cause.panic().cloned(),
            },
            (RestartVerdict::Restart(delay), cause) => {
                self.record.note_spent(policy.window());
                self.record.down(&ExitReason::from(&cause));
                return NextStep::Run(delay);
            }
            (RestartVerdict::End, cause) => {
                self.record.down(&ExitReason::from(&cause));
                return NextStep::End(None);
            }
        };
        self.record.down(&ExitReason::Escalated(escalation.clone()));
        NextStep::End(Some(escalation))
    }
}

/// Finishes for a child whose task is gone.
fn wind_up(
    notices: Option<RestartNotices>,
    escalation: Option<Escalation>,
    on_escalate: Option<OnEscalate>,
) {
    if let Some(notices) = notices {
        notices.follow_up();
    }
    if let Some(escalation) = escalation {
        escalate(escalation, on_escalate);
    }
}

/// Answers a failure that nobody above handles: by a callback, or by the end of the program.
fn escalate(escalation: Escalation, on_escalate: Option<OnEscalate>) {
    tracing::error!(%escalation, "supervision gave up");
    match on_escalate {
        Some(act) => {
            let told = escalation.clone();
            if let Err(message) = contain(|| act(told)) {
                tracing::error!(%message, "an on_escalate callback panicked");
                end_program(escalation);
            }
        }
        None => end_program(escalation),
    }
}
