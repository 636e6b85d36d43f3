//! The decisions of a tree: which children run, halt and restart, and in which order.
//!
//! It is told what happened to the children and answers with [`Effect`]s; it has no clock and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::monitor::DownReason;
use super::policy::{Escalation, EscalationReason, Exit, Policy, RestartPolicy, Verdict, admit};
use crate::engine::restart_intensity::{Intensity, RestartWindow};

/// Who is restarted when a child of a [`SupervisionTree`](super::SupervisionTree) fails.
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

/// Something that the tree has to carry out.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Let the child run after a pause.
    Run(ChildId, Duration),
    /// Let the child halt; it stays a member.
    Halt(ChildId),
    /// The child is a member no longer.
    End(ChildId),
    /// Tell whoever watches the child.
    Down(ChildId, DownReason),
    /// Every child that was to be started has been.
    Started,
    /// All children are halted: on demand, or because the tree gave up.
    Halted(Option<Escalation>),
}

/// The children of a tree and what is to become of them.
#[derive(Debug)]
pub(crate) struct Plan {
    strategy: Strategy,
    window: RestartWindow,
    members: BTreeMap<ChildId, Member>,
    /// Children to halt, one at a time from the last to the first.
    to_halt: BTreeSet<ChildId>,
    /// Children to start, one at a time from the first to the last, once nothing is left to halt.
    to_start: BTreeMap<ChildId, Duration>,
    /// The child that the next one in `to_start` waits for.
    starting: Option<ChildId>,
    /// The child that is halting at the moment.
    halting: Option<ChildId>,
    course: Course,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct Member {
    name: Arc<str>,
    policy: Policy,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dormant,
    Running,
}

#[derive(Debug, PartialEq)]
enum Course {
    Idle,
    Starting,
    Running,
    Halting(Option<Escalation>),
}

impl Plan {
    pub(crate) fn new(strategy: Strategy, intensity: Intensity) -> Self {
        Self {
            strategy,
            window: RestartWindow::new(intensity),
            members: BTreeMap::new(),
            to_halt: BTreeSet::new(),
            to_start: BTreeMap::new(),
            starting: None,
            halting: None,
            course: Course::Idle,
            effects: Vec::new(),
        }
    }

    pub(crate) fn drain_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes a new member in, which starts after all the others.
    pub(crate) fn add(&mut self, child: ChildId, name: Arc<str>, policy: Policy) {
        let phase = Phase::Dormant;
        self.members.insert(
            child,
            Member {
                name,
                policy,
                phase,
            },
        );
        match self.course {
            Course::Starting | Course::Running => {
                self.to_start.insert(child, Duration::ZERO);
            }
            Course::Idle | Course::Halting(_) => {}
        }
        self.proceed();
    }

    /// Starts all members, with nothing remembered of earlier failures.
    pub(crate) fn handle_start(&mut self) {
        self.window.reset();
        for (child, member) in &mut self.members {
            member.policy.reset();
            self.to_start.insert(*child, Duration::ZERO);
        }
        self.course = Course::Starting;
        self.proceed();
    }

    /// Halts all members.
    pub(crate) fn handle_halt(&mut self) {
        match self.course {
            Course::Halting(_) => {}
            Course::Idle | Course::Starting | Course::Running => self.halt_all(None),
        }
    }

    pub(crate) fn handle_up(&mut self, child: ChildId) {
        self.is_no_longer_busy(child);
        self.proceed();
    }

    /// A member's mailbox has closed, or its arbiter has ended.
    pub(crate) fn handle_gone(&mut self, child: ChildId) {
        self.forget(child);
        self.proceed();
    }

    pub(crate) fn handle_exit(&mut self, now: Instant, child: ChildId, exit: &Exit) {
        let was_halting = self.halting == Some(child);
        self.is_no_longer_busy(child);
        let Some(member) = self.members.get_mut(&child) else {
            return;
        };
        member.phase = Phase::Dormant;
        let is_on_its_own = matches!(self.course, Course::Starting | Course::Running)
            && !self.to_halt.remove(&child);
        if was_halting || !is_on_its_own {
            self.effects.push(Effect::Down(child, (&exit.cause).into()));
        } else {
            self.judge(now, child, exit);
        }
        self.proceed();
    }

    fn judge(&mut self, now: Instant, child: ChildId, exit: &Exit) {
        let Some(member) = self.members.get_mut(&child) else {
            return;
        };
        let verdict = match member.policy.verdict(now, exit) {
            Verdict::Restart(delay) => match admit(&mut self.window, now) {
                Ok(()) => Verdict::Restart(delay),
                Err(reason) => Verdict::Escalate(reason),
            },
            verdict => verdict,
        };
        match verdict {
            Verdict::Restart(delay) => {
                self.effects.push(Effect::Down(child, (&exit.cause).into()));
                self.restart_group(child, delay);
            }
            Verdict::End => {
                self.effects.push(Effect::Down(child, (&exit.cause).into()));
                self.effects.push(Effect::End(child));
                self.forget(child);
            }
            Verdict::Escalate(reason) => self.give_up(child, reason, exit),
        }
    }

    fn restart_group(&mut self, child: ChildId, delay: Duration) {
        let first = match self.strategy {
            Strategy::OneForOne => return self.run(child, delay),
            Strategy::RestForOne => child,
            Strategy::OneForAll => ChildId(0),
        };
        let group: Vec<ChildId> = self.members.range(first..).map(|(id, _)| *id).collect();
        let mut pause = delay;
        for id in group {
            let Some(member) = self.members.get(&id) else {
                continue;
            };
            match (member.policy.restart, member.phase) {
                (RestartPolicy::Temporary, _) if id != child => {
                    self.effects.push(Effect::End(id));
                    self.forget(id);
                    continue;
                }
                (_, Phase::Running) => {
                    self.to_halt.insert(id);
                }
                (_, Phase::Dormant) => {}
            }
            self.to_start.insert(id, std::mem::take(&mut pause));
        }
        self.starting = self.starting.filter(|id| *id < first);
    }

    fn give_up(&mut self, child: ChildId, reason: EscalationReason, exit: &Exit) {
        let name = self
            .members
            .get(&child)
            .map(|member| Arc::clone(&member.name));
        let escalation = Escalation {
            child: name.unwrap_or_default(),
            reason,
            panic: exit.cause.panic().cloned(),
        };
        let down = DownReason::Escalated(escalation.clone());
        self.effects.push(Effect::Down(child, down));
        self.halt_all(Some(escalation));
    }

    fn halt_all(&mut self, escalation: Option<Escalation>) {
        self.to_start.clear();
        self.starting = None;
        self.to_halt = self.members.keys().copied().collect();
        self.course = Course::Halting(escalation);
        self.proceed();
    }

    /// Takes the next steps that need not wait for anything.
    fn proceed(&mut self) {
        while self.halting.is_none() {
            let Some(child) = self.to_halt.pop_last() else {
                break;
            };
            if self
                .members
                .get(&child)
                .is_some_and(|member| member.phase == Phase::Running)
            {
                self.halting = Some(child);
                self.effects.push(Effect::Halt(child));
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
        match &mut self.course {
            Course::Idle | Course::Running => {}
            Course::Starting => {
                self.course = Course::Running;
                self.effects.push(Effect::Started);
            }
            Course::Halting(escalation) => {
                let escalation = escalation.take();
                self.course = Course::Idle;
                self.effects.push(Effect::Halted(escalation));
            }
        }
    }

    fn run(&mut self, child: ChildId, delay: Duration) {
        if let Some(member) = self.members.get_mut(&child) {
            member.phase = Phase::Running;
            self.effects.push(Effect::Run(child, delay));
        }
    }

    fn is_no_longer_busy(&mut self, child: ChildId) {
        self.starting = self.starting.filter(|id| *id != child);
        self.halting = self.halting.filter(|id| *id != child);
    }

    fn forget(&mut self, child: ChildId) {
        self.members.remove(&child);
        self.to_halt.remove(&child);
        self.to_start.remove(&child);
        self.is_no_longer_busy(child);
    }
}

#[cfg(test)]
mod tests {
    use super::Effect::{Down, End, Halt, Halted, Run, Started};
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

    fn linked() -> DownReason {
        DownReason::Linked(Arc::from("x"))
    }

    fn policy(restart: RestartPolicy) -> Policy {
        Policy::new(restart, None, &Backoff::fixed(DELAY))
    }

    /// A tree of permanent a, b and c, of which all run.
    fn running(strategy: Strategy) -> Plan {
        let intensity = Intensity {
            max_restarts: 2,
            window: Duration::from_secs(1),
        };
        let mut plan = Plan::new(strategy, intensity);
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

    fn fail(plan: &mut Plan, child: ChildId) -> Vec<Effect> {
        plan.handle_exit(Instant::now(), child, &failure());
        plan.drain_effects()
    }

    fn halted(plan: &mut Plan, child: ChildId) -> Vec<Effect> {
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
        let stopped = DownReason::Stopped;
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
        let stopped = DownReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(A, DELAY)]);
    }

    #[test]
    fn a_failure_before_the_group_is_up_again_begins_anew() {
        let mut plan = running(Strategy::RestForOne);
        assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
        let stopped = DownReason::Stopped;
        assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(B, DELAY)]);
        assert_eq!(fail(&mut plan, A), [Down(A, linked()), Halt(B)]);
        let stopped = DownReason::Stopped;
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
        let down = DownReason::Escalated(escalation.clone());
        assert_eq!(fail(&mut plan, B), [Down(B, down), Halt(C)]);
        let stopped = DownReason::Stopped;
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
        let stopped = DownReason::Stopped;
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
        let mut plan = Plan::new(Strategy::OneForOne, Intensity::default());
        plan.handle_start();
        assert_eq!(plan.drain_effects(), [Started]);
        plan.handle_halt();
        assert_eq!(plan.drain_effects(), [Halted(None)]);
    }
}
