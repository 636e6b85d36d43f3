//! The decisions of a tree: which children run, halt and restart, and in which order.
//!
//! A [`TreePlan`] is told what happened to the children and answers with [`TreeEffect`]s. It has no clock and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::down::ExitReason;
use super::policy::{
    Cause, Escalation, EscalationReason, Exit, Policy, RestartPolicy, RestartVerdict, admit,
};
use super::tree_strategy::{ChildId, Strategy};
use crate::engine::restart_intensity::{Intensity, RestartWindow};

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

    /// The child that is to halt next, and the time it has, if there is a limit.
    pub(crate) fn halting(&self) -> Option<(ChildId, Duration)> {
        let child = self.halting?;
        let within = self.children.get(&child)?.policy.halts_within?;
        Some((child, within))
    }

    /// True if all children halt, for good or until the tree is started anew.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.phase, TreePhase::Halting(_))
    }

    pub(crate) fn handle_up(&mut self, child: ChildId) {
        // One that is halting came up before it was told to, and has still to answer that.
        self.starting = self.starting.filter(|id| *id != child);
        self.proceed();
    }

    /// A child's mailbox has closed, or its arbiter has ended.
    pub(crate) fn handle_gone(&mut self, child: ChildId) {
        self.forget(child);
        self.proceed();
    }

    pub(crate) fn handle_exit(&mut self, now: Instant, child: ChildId, exit: &Exit) {
        let was_halting = self.halting == Some(child);
        if was_halting && exit.cause != Cause::Halted {
            // It ended by itself before it was told to halt, which waits for it and is still to be answered.
            self.effects
                .push(TreeEffect::Down(child, (&exit.cause).into()));
            return;
        }
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

    /// The restarts that count against the intensity of the tree.
    pub(crate) const fn window(&self) -> &RestartWindow {
        &self.window
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
        let Some(first) = self.strategy.first_of_group(child) else {
            return self.run(child, delay);
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
#[path = "tree_plan_tests.rs"]
mod tests;
