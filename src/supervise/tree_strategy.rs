//! The decisions of a tree: which children run, halt and restart, and in which order.
//!
//! A [`TreePlan`] is told what happened to the children and answers with [`TreeEffect`]s. It has no clock and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::down::ExitReason;
use super::policy::{
    Escalation, EscalationReason, Exit, Policy, RestartPolicy, RestartVerdict, admit,
};
use crate::engine::restart_intensity::{Intensity, RestartWindow};

/// The children that are restarted when one of a [`SupervisionTree`](super::SupervisionTree) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Only the child that failed.
    OneForOne,
    /// All children of the tree.
    OneForAll,
    /// The child that failed and those that were started after it.
    RestForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one-for-one",
            Self::OneForAll => "one-for-all",
            Self::RestForOne => "rest-for-one",
        })
    }
}

/// A child of a tree. Later children have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId(pub(crate) u64);

/// A step for the tree to carry out.
#[derive(Debug, PartialEq)]
pub(crate) enum TreeEffect {
    /// Let the child run after a pause.
    Run(ChildId, Duration),
    /// Let the child halt; it stays in the tree.
    Halt(ChildId),
    /// Let the child end; it has left the tree.
    End(ChildId),
    /// Tell whoever watches the child.
    Down(ChildId, ExitReason),
    /// Every child that was to be started has been.
    Started,
    /// All children are halted: on demand, or because the tree gave up.
    Halted(Option<Escalation>),
}

/// Decides which children of a tree run, halt and restart.
#[derive(Debug)]
pub(crate) struct TreePlan {
    strategy: Strategy,
    window: RestartWindow,
    children: BTreeMap<ChildId, PlannedChild>,
    /// Children to halt, one at a time from the last to the first.
    to_halt: BTreeSet<ChildId>,
    /// Children to start, one at a time from the first to the last, once nothing is left to halt.
    to_start: BTreeMap<ChildId, Duration>,
    /// The child that the next one in `to_start` waits for.
    starting: Option<ChildId>,
    /// The child that is halting at the moment.
    halting: Option<ChildId>,
    phase: TreePhase,
    effects: Vec<TreeEffect>,
}

#[derive(Debug)]
struct PlannedChild {
    name: Arc<str>,
    policy: Policy,
    phase: ChildPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChildPhase {
    Dormant,
    Running,
}

#[derive(Debug, PartialEq)]
enum TreePhase {
    Idle,
    Starting,
    Running,
    Halting(Option<Escalation>),
}

impl TreePlan {
    pub(crate) fn new(strategy: Strategy, intensity: Intensity) -> Self {
        Self {
            strategy,
            window: RestartWindow::new(intensity),
            children: BTreeMap::new(),
            to_halt: BTreeSet::new(),
            to_start: BTreeMap::new(),
            starting: None,
            halting: None,
            phase: TreePhase::Idle,
            effects: Vec::new(),
        }
    }

    /// Allows this many restarts of all children together. The restarts of the past are forgotten.
    pub(crate) fn limit(&mut self, intensity: Intensity) {
        self.window = RestartWindow::new(intensity);
    }

    pub(crate) fn drain_effects(&mut self) -> Vec<TreeEffect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes in a new child, which starts after all the others.
    pub(crate) fn add(&mut self, child: ChildId, name: Arc<str>, policy: Policy) {
        let phase = ChildPhase::Dormant;
        self.children.insert(
            child,
            PlannedChild {
                name,
                policy,
                phase,
            },
        );
        match self.phase {
            TreePhase::Starting | TreePhase::Running => {
                self.to_start.insert(child, Duration::ZERO);
            }
            TreePhase::Idle | TreePhase::Halting(_) => {}
        }
        self.proceed();
    }

    /// Starts all children, with nothing remembered of earlier failures.
    pub(crate) fn handle_start(&mut self) {
        self.window.reset();
        for (child, planned) in &mut self.children {
            planned.policy.reset();
            self.to_start.insert(*child, Duration::ZERO);
        }
        self.phase = TreePhase::Starting;
        self.proceed();
    }

    /// Halts all children.
    pub(crate) fn handle_halt(&mut self) {
        match self.phase {
            TreePhase::Halting(_) => {}
            TreePhase::Idle | TreePhase::Starting | TreePhase::Running => self.halt_all(None),
        }
    }

    pub(crate) fn handle_up(&mut self, child: ChildId) {
        self.is_no_longer_busy(child);
        self.proceed();
    }

    /// A child's mailbox has closed, or its arbiter has ended.
    pub(crate) fn handle_gone(&mut self, child: ChildId) {
        self.forget(child);
        self.proceed();
    }

    pub(crate) fn handle_exit(&mut self, now: Instant, child: ChildId, exit: &Exit) {
        let was_halting = self.halting == Some(child);
        self.is_no_longer_busy(child);
        let Some(planned) = self.children.get_mut(&child) else {
            return;
        };
        planned.phase = ChildPhase::Dormant;
        let is_on_its_own = matches!(self.phase, TreePhase::Starting | TreePhase::Running)
            && !self.to_halt.remove(&child);
        if was_halting || !is_on_its_own {
            self.effects
                .push(TreeEffect::Down(child, (&exit.cause).into()));
        } else {
            self.judge(now, child, exit);
        }
        self.proceed();
    }

    fn judge(&mut self, now: Instant, child: ChildId, exit: &Exit) {
        let Some(planned) = self.children.get_mut(&child) else {
            return;
        };
        let verdict = match planned.policy.verdict(now, exit) {
            RestartVerdict::Restart(delay) => match admit(&mut self.window, now) {
                Ok(()) => RestartVerdict::Restart(delay),
                Err(reason) => RestartVerdict::Escalate(reason),
            },
            verdict => verdict,
        };
        match verdict {
            RestartVerdict::Restart(delay) => {
                self.effects
                    .push(TreeEffect::Down(child, (&exit.cause).into()));
                self.restart_group(child, delay);
            }
            RestartVerdict::End => {
                self.effects
                    .push(TreeEffect::Down(child, (&exit.cause).into()));
                self.effects.push(TreeEffect::End(child));
                self.forget(child);
            }
            RestartVerdict::Escalate(reason) => self.give_up(child, reason, exit),
        }
    }

    fn restart_group(&mut self, child: ChildId, delay: Duration) {
        let first = match self.strategy {
            Strategy::OneForOne => return self.run(child, delay),
            Strategy::RestForOne => child,
            Strategy::OneForAll => ChildId(0),
        };
        let group: Vec<ChildId> = self.children.range(first..).map(|(id, _)| *id).collect();
        let mut pause = delay;
        for id in group {
            let Some(planned) = self.children.get(&id) else {
                continue;
            };
            match (planned.policy.restart, planned.phase) {
                (RestartPolicy::Temporary, _) if id != child => {
                    self.effects.push(TreeEffect::End(id));
                    self.forget(id);
                    continue;
                }
                (_, ChildPhase::Running) => {
                    self.to_halt.insert(id);
                }
                (_, ChildPhase::Dormant) => {}
            }
            self.to_start.insert(id, std::mem::take(&mut pause));
        }
        self.starting = self.starting.filter(|id| *id < first);
    }

    fn give_up(&mut self, child: ChildId, reason: EscalationReason, exit: &Exit) {
        let name = self
            .children
            .get(&child)
            .map(|planned| Arc::clone(&planned.name));
        let escalation = Escalation {
            child: name.unwrap_or_default(),
            reason,
            panic: exit.cause.panic().cloned(),
        };
        let down = ExitReason::Escalated(escalation.clone());
        self.effects.push(TreeEffect::Down(child, down));
        self.halt_all(Some(escalation));
    }

    fn halt_all(&mut self, escalation: Option<Escalation>) {
        self.to_start.clear();
        self.starting = None;
        self.to_halt = self.children.keys().copied().collect();
        self.phase = TreePhase::Halting(escalation);
        self.proceed();
    }

    /// Takes the next steps that need not wait for anything.
    fn proceed(&mut self) {
        while self.halting.is_none() {
            let Some(child) = self.to_halt.pop_last() else {
                break;
            };
            if self
                .children
                .get(&child)
                .is_some_and(|planned| planned.phase == ChildPhase::Running)
            {
                self.halting = Some(child);
                self.effects.push(TreeEffect::Halt(child));
            }
        }
        if self.halting.is_some() {
            return;
        }
        if self.starting.is_none()
            && let Some((child, delay)) = self.to_start.pop_first()
        {
            self.starting = Some(child);
            self.run(child, delay);
        }
        if self.starting.is_some() {
            return;
        }
        match &mut self.phase {
            TreePhase::Idle | TreePhase::Running => {}
            TreePhase::Starting => {
                self.phase = TreePhase::Running;
                self.effects.push(TreeEffect::Started);
            }
            TreePhase::Halting(escalation) => {
                let escalation = escalation.take();
                self.phase = TreePhase::Idle;
                self.effects.push(TreeEffect::Halted(escalation));
            }
        }
    }

    fn run(&mut self, child: ChildId, delay: Duration) {
        if let Some(planned) = self.children.get_mut(&child) {
            planned.phase = ChildPhase::Running;
            self.effects.push(TreeEffect::Run(child, delay));
        }
    }

    fn is_no_longer_busy(&mut self, child: ChildId) {
        self.starting = self.starting.filter(|id| *id != child);
        self.halting = self.halting.filter(|id| *id != child);
    }

    fn forget(&mut self, child: ChildId) {
        self.children.remove(&child);
        self.to_halt.remove(&child);
        self.to_start.remove(&child);
        self.is_no_longer_busy(child);
    }
}

#[cfg(test)]
mod tests {
    use super::TreeEffect::{Down, End, Halt, Halted, Run, Started};
    use super::*;
    use crate::engine::backoff::Backoff;
    use crate::supervise::policy::{Cause, Decision};

    const DELAY: Duration = Duration::from_millis(7);
    const AT_ONCE: Duration = Duration::ZERO;
    const A: ChildId = ChildId(0);
    const B: ChildId = ChildId(1);
    const C: ChildId = ChildId(2);

    fn exit(cause: Cause) -> Exit {
        let (decision, uptime) = (Decision::Restart, Duration::ZERO);
        Exit {
            cause,
            decision,
            uptime,
        }
    }

    fn failure() -> Exit {
        exit(Cause::Linked(Arc::from("x")))
    }

    fn linked() -> ExitReason {
        ExitReason::Linked(Arc::from("x"))
    }

    fn policy(restart: RestartPolicy) -> Policy {
        Policy::new(restart, None, &Backoff::fixed(DELAY))
    }

    /// A tree of permanent a, b and c, of which all run.
    fn running(strategy: Strategy) -> TreePlan {
        let intensity = Intensity {
            max_restarts: 2,
            window: Duration::from_secs(1),
        };
        let mut plan = TreePlan::new(strategy, intensity);
        for (child, name) in [(A, "a"), (B, "b"), (C, "c")] {
            plan.add(child, Arc::from(name), policy(RestartPolicy::Permanent));
        }
        plan.handle_start();
        for child in [A, B, C] {
            assert_eq!(plan.drain_effects(), [Run(child, AT_ONCE)]);
            plan.handle_up(child);
        }
        assert_eq!(plan.drain_effects(), [Started]);
        plan
    }

    fn fail(plan: &mut TreePlan, child: ChildId) -> Vec<TreeEffect> {
        plan.handle_exit(Instant::now(), child, &failure());
        plan.drain_effects()
    }

    fn halted(plan: &mut TreePlan, child: ChildId) -> Vec<TreeEffect> {
        plan.handle_exit(Instant::now(), child, &Exit::halted());
        plan.drain_effects()
    }

    #[test]
    fn one_for_one_restarts_a_child_without_waiting_for_another() {
        let mut plan = running(Strategy::OneForOne);
        assert_eq!(fail(&mut plan, A), [Down(A, linked()), Run(A, DELAY)]);
        assert_eq!(fail(&mut plan, C), [Down(C, linked()), Run(C, DELAY)]);
    }

    #[test]
    fn one_for_all_halts_backwards_and_starts_forwards() {
        let mut plan = running(Strategy::OneForAll);
        assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(A)]);
        assert_eq!(halted(&mut plan, A), [Down(A, stopped), Run(A, DELAY)]);
        plan.handle_up(A);
        assert_eq!(plan.drain_effects(), [Run(B, AT_ONCE)]);
        plan.handle_up(B);
        assert_eq!(plan.drain_effects(), [Run(C, AT_ONCE)]);
        plan.handle_up(C);
        assert_eq!(plan.drain_effects(), []);
    }

    #[test]
    fn a_member_of_the_group_that_fails_before_its_turn_to_halt_is_restarted_once() {
        let mut plan = running(Strategy::OneForAll);
        assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
        assert_eq!(fail(&mut plan, A), [Down(A, linked())]);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(A, DELAY)]);
    }

    #[test]
    fn a_failure_before_the_group_is_up_again_begins_anew() {
        let mut plan = running(Strategy::RestForOne);
        assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(B, DELAY)]);
        assert_eq!(fail(&mut plan, A), [Down(A, linked()), Halt(B)]);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, B), [Down(B, stopped), Run(A, DELAY)]);
        plan.handle_up(A);
        assert_eq!(plan.drain_effects(), [Run(B, AT_ONCE)]);
    }

    #[test]
    fn one_restart_too_many_halts_everyone_and_escalates() {
        let mut plan = running(Strategy::OneForOne);
        fail(&mut plan, A);
        fail(&mut plan, B);
        let window = Duration::from_secs(1);
        let escalation = Escalation {
            child: Arc::from("b"),
            reason: EscalationReason::TooManyRestarts {
                max_restarts: 2,
                window,
            },
            panic: None,
        };
        let down = ExitReason::Escalated(escalation.clone());
        assert_eq!(fail(&mut plan, B), [Down(B, down), Halt(C)]);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(A)]);
        assert_eq!(
            halted(&mut plan, A),
            [Down(A, stopped), Halted(Some(escalation))]
        );
        plan.handle_start();
        assert_eq!(plan.drain_effects(), [Run(A, AT_ONCE)]);
    }

    #[test]
    fn halting_stops_the_start_and_goes_backwards_over_those_that_run() {
        let mut plan = running(Strategy::OneForAll);
        fail(&mut plan, A);
        plan.handle_halt();
        plan.handle_halt();
        assert_eq!(plan.drain_effects(), []);
        let stopped = ExitReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(B)]);
        assert_eq!(halted(&mut plan, B), [Down(B, stopped), Halted(None)]);
    }

    #[test]
    fn a_child_that_is_gone_is_waited_for_no_longer() {
        let mut plan = running(Strategy::OneForAll);
        fail(&mut plan, A);
        plan.handle_gone(C);
        assert_eq!(plan.drain_effects(), [Halt(B)]);
        plan.handle_gone(B);
        assert_eq!(plan.drain_effects(), [Run(A, DELAY)]);
        plan.handle_gone(A);
        plan.handle_halt();
        assert_eq!(plan.drain_effects(), [Halted(None)]);
    }

    #[test]
    fn temporary_children_leave_when_they_end_or_their_group_restarts() {
        let mut plan = running(Strategy::OneForAll);
        let (first, second) = (ChildId(3), ChildId(4));
        for child in [first, second] {
            plan.add(child, Arc::from("t"), policy(RestartPolicy::Temporary));
            assert_eq!(plan.drain_effects(), [Run(child, AT_ONCE)]);
            plan.handle_up(child);
        }
        assert_eq!(fail(&mut plan, first), [Down(first, linked()), End(first)]);
        assert_eq!(
            fail(&mut plan, C),
            [Down(C, linked()), End(second), Halt(B)]
        );
    }

    #[test]
    fn an_empty_tree_starts_and_halts() {
        let mut plan = TreePlan::new(Strategy::OneForOne, Intensity::default());
        plan.handle_start();
        assert_eq!(plan.drain_effects(), [Started]);
        plan.handle_halt();
        assert_eq!(plan.drain_effects(), [Halted(None)]);
    }
}
