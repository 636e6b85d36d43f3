//! The task of a tree: it carries out what the plan decides.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::builder::OnEscalate;
use super::child_list::{Newcomer, Report, Roster, Seat};
use super::child_record::{ChildCell, Command};
use super::child_task::{EndGuard, Halting, back_off, wind_up};
use super::monitor::DownReason;
use super::policy::{Cause, Decision, Escalation, Exit};
use super::report::ChildState;
use super::tree::Launch;
use super::tree_strategy::{ChildId, Effect, Plan};
use crate::clock;

/// Who decides about the tree.
pub(crate) enum TreeBoss {
    Root(Option<OnEscalate>),
    Tree(Seat),
}

/// A tree at work. The last fields are dropped in this order: everyone is told that it has ended, then its
/// parent is.
pub(crate) struct TreeTask {
    pub(crate) cell: Arc<ChildCell>,
    pub(crate) plan: Plan,
    pub(crate) launches: Vec<Launch>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) next_id: u64,
    pub(crate) reports: (UnboundedSender<Report>, UnboundedReceiver<Report>),
    pub(crate) incarnations: u64,
    /// Whether it was told to end, so that nobody is asked what comes next.
    pub(crate) dismissed: bool,
    pub(crate) _end: EndGuard,
    pub(crate) boss: TreeBoss,
}

/// What a tree does next.
enum Next {
    Run(Duration),
    Wait,
    End(Option<Escalation>),
}

enum Input {
    Command(Command),
    Report(Report),
}

impl TreeTask {
    pub(crate) async fn run(mut self) {
        self.cell.listen().await;
        for launch in std::mem::take(&mut self.launches) {
            launch();
        }
        let mut next = match &self.boss {
            TreeBoss::Root(_) => Next::Run(Duration::ZERO),
            TreeBoss::Tree(_) => Next::Wait,
        };
        let escalation = loop {
            next = match next {
                Next::Run(delay) => self.run_after(delay).await,
                Next::Wait => self.await_order().await,
                Next::End(escalation) => break escalation,
            };
        };
        self.dismiss_children().await;
        let on_escalate = match &mut self.boss {
            TreeBoss::Root(on_escalate) => on_escalate.take(),
            TreeBoss::Tree(_) => None,
        };
        let notices = self.cell.notices();
        drop(self);
        wind_up(notices, escalation, on_escalate);
    }

    async fn await_order(&mut self) -> Next {
        loop {
            match self.next_input().await {
                Input::Command(Command::Run(delay)) => return Next::Run(delay),
                Input::Command(Command::Crash(_)) => {}
                Input::Command(Command::Halt) => return self.answer(Exit::halted()),
                Input::Command(Command::End) => return self.dismiss(),
                Input::Report(report) => self.take_in(report),
            }
        }
    }

    async fn run_after(&mut self, delay: Duration) -> Next {
        if self.incarnations > 0 {
            match back_off(&self.cell, delay).await {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Halting::Halt) => return self.answer(Exit::halted()),
                ControlFlow::Break(Halting::End) => return self.dismiss(),
            }
        }
        self.incarnations += 1;
        self.cell.starting(self.incarnations);
        let began = clock::now();
        let cause = match self.live().await {
            Some(escalation) => Cause::Escalated(escalation),
            None => Cause::Halted,
        };
        self.cell.update(|vitals| {
            vitals.state = ChildState::Waiting;
            vitals.running_since = None;
        });
        let uptime = clock::now().saturating_duration_since(began);
        let decision = Decision::Restart;
        self.answer(Exit {
            cause,
            decision,
            uptime,
        })
    }

    /// Runs the children until all of them are halted.
    async fn live(&mut self) -> Option<Escalation> {
        self.plan.handle_start();
        loop {
            if let ControlFlow::Break(escalation) = self.carry_out() {
                return escalation;
            }
            match self.next_input().await {
                Input::Command(command @ (Command::Halt | Command::End)) => {
                    self.dismissed |= command == Command::End;
                    self.cell
                        .update(|vitals| vitals.state = ChildState::Stopping);
                    self.plan.handle_halt();
                }
                Input::Command(Command::Run(_) | Command::Crash(_)) => {}
                Input::Report(report) => self.take_in(report),
            }
        }
    }

    fn carry_out(&mut self) -> ControlFlow<Option<Escalation>> {
        for effect in self.plan.drain_effects() {
            match effect {
                Effect::Run(child, delay) => self.command(child, Command::Run(delay)),
                Effect::Halt(child) => self.command(child, Command::Halt),
                Effect::End(child) => self.command(child, Command::End),
                Effect::Down(child, reason) => {
                    if let Some(cell) = self.roster.cell(child) {
                        cell.down(&reason);
                    }
                }
                Effect::Started => {
                    self.cell.running();
                    match &self.boss {
                        TreeBoss::Root(_) => {}
                        TreeBoss::Tree(seat) => seat.up(),
                    }
                }
                Effect::Halted(escalation) => return ControlFlow::Break(escalation),
            }
        }
        ControlFlow::Continue(())
    }

    fn command(&self, child: ChildId, command: Command) {
        if let Some(cell) = self.roster.cell(child) {
            cell.command(command);
        }
    }

    async fn next_input(&mut self) -> Input {
        tokio::select! {
            biased;
            command = self.cell.next_command() => Input::Command(command),
            Some(report) = self.reports.1.recv() => Input::Report(report),
        }
    }

    fn take_in(&mut self, report: Report) {
        match report {
            Report::Up(child) => self.plan.handle_up(child),
            Report::Exited(child, exit) => self.plan.handle_exit(clock::now(), child, &exit),
            Report::Gone(child) => {
                self.roster.remove(child);
                self.plan.handle_gone(child);
            }
            Report::Add(newcomer) => self.welcome(*newcomer),
        }
    }

    fn welcome(&mut self, newcomer: Newcomer) {
        let child = ChildId(self.next_id);
        self.next_id += 1;
        let name = newcomer.cell.name();
        self.roster.insert(child, newcomer.cell, None);
        (newcomer.launch)(Seat::new(child, self.reports.0.clone()));
        self.plan.add(child, name, newcomer.policy);
    }

    fn dismiss(&mut self) -> Next {
        self.dismissed = true;
        self.answer(Exit::halted())
    }

    /// Hands the end of this run to whoever decides.
    fn answer(&mut self, exit: Exit) -> Next {
        if self.dismissed {
            self.cell.update(|vitals| vitals.down = None);
            return Next::End(None);
        }
        match (&self.boss, &exit.cause) {
            (TreeBoss::Tree(seat), _) => {
                seat.exited(exit);
                Next::Wait
            }
            (TreeBoss::Root(_), Cause::Escalated(escalation)) => {
                self.cell.down(&DownReason::Escalated(escalation.clone()));
                Next::End(Some(escalation.clone()))
            }
            (TreeBoss::Root(_), _) => Next::End(None),
        }
    }

    /// Ends all children and waits until they are gone.
    async fn dismiss_children(&mut self) {
        for cell in self.roster.cells().iter().rev() {
            cell.command(Command::End);
        }
        while !self.roster.is_empty() {
            match self.reports.1.recv().await {
                Some(Report::Gone(child)) => self.roster.remove(child),
                Some(Report::Up(_) | Report::Exited(..) | Report::Add(_)) => {}
                None => return,
            }
        }
    }
}
