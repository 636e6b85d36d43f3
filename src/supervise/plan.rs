//! The decisions of a tree: which children run, halt and restart, and in which order.
//!
//! It is told what happened to the children and answers with [`Effect`]s; it has no clock and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::monitor::DownReason;
use super::policy::{Escalation, EscalationReason, Exit, Policy, RestartPolicy, Verdict, admit};
use crate::engine::intensity::{Intensity, RestartWindow};

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
