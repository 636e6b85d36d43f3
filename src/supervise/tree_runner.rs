//! Runs a tree: carries out what its plan decides.

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep_until, timeout};

use super::child_list::ChildList;
use super::child_record::ChildRecord;
use super::child_task::{ChildLifecycle, Runner};
use super::command::Command;
use super::policy::{Cause, Decision, Escalation, EscalationReason, Policy};
use super::tree_membership::{Newcomer, TreeInput, TreeMembership};
use super::tree_plan::{TreeEffect, TreePlan};
use super::tree_strategy::{ChildId, Strategy};
use crate::clock;
use crate::engine::restart_intensity::Intensity;

/// How long children that have halted may take to be gone. Those that are not by then have a blocked thread.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Starts the task of a child.
pub(crate) type Launch = Box<dyn FnOnce()>;

/// A tree as its task runs it.
pub(crate) struct TreeRunner {
    pub(crate) plan: TreePlan,
    /// Children whose tasks have not been started.
    pub(crate) launches: Vec<Launch>,
    pub(crate) children: Arc<ChildList>,
    next_id: u64,
    /// A child that the tree has ended without: it cannot be started again.
    left_behind: Option<Arc<str>>,
    pub(crate) inputs: (UnboundedSender<TreeInput>, UnboundedReceiver<TreeInput>),
}

impl Runner for TreeRunner {
    async fn run(&mut self, child: &mut ChildLifecycle) -> (Cause, Decision) {
        if let Some(left_behind) = &self.left_behind {
            let escalation = Escalation {
                child: Arc::clone(left_behind),
                reason: EscalationReason::LeftBehind,
                panic: None,
            };
            return (Cause::Escalated(escalation), Decision::Escalate);
        }
        for launch in std::mem::take(&mut self.launches) {
            launch();
        }
        self.plan.handle_start();
        let mut told_to_halt = false;
        let mut watch = HaltWatch::default();
        loop {
            if let ControlFlow::Break(escalation) = self.carry_out(child) {
                // As with an actor: whoever told it to halt waits for that answer, whatever fails meanwhile.
                let escalation = escalation.filter(|_| !told_to_halt);
                let cause = escalation.map_or(Cause::Halted, Cause::Escalated);
                return (cause, Decision::Restart);
            }
            watch.look_at(self.plan.halting(), self.plan.ends());
            tokio::select! {
                biased;
                command = child.record.commands.next() => match command {
                    Command::Halt | Command::End => {
                        told_to_halt = true;
                        child.stopping(&command);
                        self.plan.handle_halt();
                    }
                    Command::Run(_) | Command::Crash(_) => {}
                },
                Some(input) = self.inputs.1.recv() => self.take_in(input),
                late = watch.late() => self.handle_late(child, late),
            }
        }
    }

    async fn next_command(&mut self, record: &ChildRecord) -> Command {
        loop {
            tokio::select! {
                biased;
                command = record.commands.next() => return command,
                Some(input) = self.inputs.1.recv() => self.take_in(input),
            }
        }
    }

    /// Ends all children and waits until they are gone, except for those whose thread is blocked.
    async fn close(&mut self) {
        self.launches.clear();
        for record in self.children.records().iter().rev() {
            record.commands.put(Command::End);
        }
        while !self.children.is_empty() {
            match timeout(GONE_WITHIN, self.inputs.1.recv()).await {
                Ok(Some(TreeInput::Gone(child))) => self.children.remove(child),
                Ok(Some(TreeInput::Up(_) | TreeInput::Exited(..) | TreeInput::Add(_))) => {}
                Ok(None) => return,
                Err(_) => {
                    for child in self.children.records() {
                        let child = child.name();
                        tracing::error!(%child, "a child is not gone, most likely its thread is blocked: its tree ends without it");
                    }
                    return;
                }
            }
        }
    }
}

/// Watches how long the child takes that is to halt. One that was late for its siblings has its time once more when the tree
/// ends.
#[derive(Default)]
struct HaltWatch {
    child: Option<ChildId>,
    tree_ends: bool,
    /// `None` once it was late.
    until: Option<Instant>,
}

impl HaltWatch {
    fn look_at(&mut self, halting: Option<(ChildId, Duration)>, tree_ends: bool) {
        let child = halting.map(|(child, _)| child);
        if (self.child, self.tree_ends) != (child, tree_ends) {
            (self.child, self.tree_ends) = (child, tree_ends);
            self.until = halting.and_then(|(_, within)| clock::now().checked_add(within));
        }
    }

    /// Resolves once for a child that is late.
    async fn late(&mut self) -> ChildId {
        let (Some(child), Some(until)) = (self.child, self.until) else {
            return pending().await;
        };
        sleep_until(until.into()).await;
        self.until = None;
        child
    }
}

impl TreeRunner {
    pub(crate) fn new(strategy: Strategy) -> Self {
        Self {
            plan: TreePlan::new(strategy, Intensity::default()),
            launches: Vec::new(),
            children: ChildList::new(strategy),
            next_id: 0,
            left_behind: None,
            inputs: unbounded_channel(),
        }
    }

    /// Gives a child its place, after all the others. `tree` lists its own children, if it is a tree.
    pub(crate) fn admit(
        &mut self,
        record: &Arc<ChildRecord>,
        policy: Policy,
        tree: Option<Arc<ChildList>>,
    ) -> TreeMembership {
        let child = ChildId(self.next_id);
        self.next_id += 1;
        self.children.insert(child, Arc::clone(record), tree);
        self.plan.add(child, record.name(), policy);
        TreeMembership::new(child, self.inputs.0.clone())
    }

    fn carry_out(&mut self, tree: &ChildLifecycle) -> ControlFlow<Option<Escalation>> {
        for effect in self.plan.drain_effects() {
            match effect {
                TreeEffect::Run(child, delay) => self.command(child, Command::Run(delay)),
                TreeEffect::Halt(child) => self.command(child, Command::Halt),
                TreeEffect::End(child) => self.command(child, Command::End),
                TreeEffect::Down(child, reason) => {
                    tree.record.note_spent(Some(self.plan.window()));
                    if let Some(record) = self.children.record(child) {
                        record.down(&reason);
                    }
                }
                TreeEffect::Started => tree.started(),
                TreeEffect::Halted(escalation) => return ControlFlow::Break(escalation),
            }
        }
        ControlFlow::Continue(())
    }

    /// A child does not halt: most likely its thread is blocked.
    fn handle_late(&mut self, tree: &ChildLifecycle, late: ChildId) {
        let name = self.children.record(late).map(|record| record.name());
        let (child, tree) = (name.unwrap_or_default(), tree.record.name());
        if self.plan.ends() {
            tracing::error!(%child, %tree, "a child does not stop, most likely its thread is blocked: its tree ends without it");
            self.left_behind = Some(Arc::clone(&child));
            self.command(late, Command::End);
            self.take_in(TreeInput::Gone(late));
        } else {
            tracing::error!(%child, %tree, "a child does not stop, most likely its thread is blocked: its siblings wait for it");
        }
    }

    fn command(&self, child: ChildId, command: Command) {
        if let Some(record) = self.children.record(child) {
            record.commands.put(command);
        }
    }

    fn take_in(&mut self, input: TreeInput) {
        match input {
            TreeInput::Up(child) => self.plan.handle_up(child),
            TreeInput::Exited(child, exit) => self.plan.handle_exit(clock::now(), child, &exit),
            TreeInput::Gone(child) => {
                self.children.remove(child);
                self.plan.handle_gone(child);
            }
            TreeInput::Add(newcomer) => self.welcome(*newcomer),
        }
    }

    fn welcome(&mut self, newcomer: Newcomer) {
        let place = self.admit(&newcomer.record, newcomer.policy, None);
        (newcomer.launch)(place);
    }
}
