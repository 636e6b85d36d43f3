//! The task of one supervised actor: incarnation, backoff, incarnation.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use actix::{Actor, Context, System};
use tokio::time::Sleep;

use super::builder::{Factory, OnEscalate, OnPanic, Seed};
use super::child_list::Seat;
use super::child_record::{ChildCell, Command, Failure};
use super::event::{Notices, RestartEvent};
use super::incarnation::{Ending, Incarnation, Mailroom};
use super::monitor::{AddrKey, DownReason, delist};
use super::panics::{Contained, PanicPlace, PanicReport, contain};
use super::policy::{Cause, Decision, Escalation, Exit, Policy, Verdict};
use super::report::ChildState;
use crate::clock;

/// Who decides about the actor.
pub(crate) enum Boss {
    Alone(Alone),
    Tree(Seat),
}

/// The rules of an actor outside of any tree.
pub(crate) struct Alone {
    pub(crate) policy: Policy,
    pub(crate) on_escalate: Option<OnEscalate>,
}

/// Tells everyone that a child has ended, when it is dropped.
pub(crate) struct EndGuard {
    cell: Arc<ChildCell>,
    key: Option<AddrKey>,
}

impl EndGuard {
    pub(crate) fn new(cell: Arc<ChildCell>, key: Option<AddrKey>) -> Self {
        Self { cell, key }
    }

    pub(crate) fn cell(&self) -> &Arc<ChildCell> {
        &self.cell
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            delist(key);
        }
        self.cell.end();
    }
}

/// An actor under supervision. The fields are dropped in this order: the mailbox closes, then everyone is
/// told that the actor has ended, then its tree is.
pub(crate) struct ChildTask<A: Actor<Context = Context<A>>> {
    factory: Contained<Box<dyn Factory<A>>>,
    room: Contained<Rc<Mailroom<A>>>,
    on_panic: Contained<Option<OnPanic>>,
    shutdown: Duration,
    cell: Arc<ChildCell>,
    incarnations: u64,
    /// Whether it was told to end, so that nobody is asked what comes next.
    dismissed: bool,
    _end: EndGuard,
    boss: Boss,
}

/// What a child does next.
enum Next {
    Run(Duration),
    Wait,
    End(Option<Escalation>),
}

/// How far an incarnation has come.
enum Stage {
    Starting,
    Running,
    /// It was asked to stop, and is ended when the sleep is over.
    Halting(Pin<Box<Sleep>>),
}

/// What happens during an incarnation.
enum Turn {
    Started,
    Command(Command),
    OutOfPatience,
    Ended(Ending),
}

impl<A: Actor<Context = Context<A>>> ChildTask<A> {
    pub(crate) fn new<F: Factory<A>>(seed: Seed<A, F>, boss: Boss) -> Self {
        Self {
            factory: Contained::new(Box::new(seed.factory.into_inner())),
            room: Contained::new(Mailroom::new(seed.receiver.into_inner(), seed.lifetime)),
            on_panic: seed.on_panic,
            shutdown: seed.shutdown,
            cell: Arc::clone(seed.end.cell()),
            incarnations: 0,
            dismissed: false,
            _end: seed.end,
            boss,
        }
    }

    // Not an `async fn`, which would keep the task twice: as its argument, and as what it works with.
    #[expect(clippy::manual_async_fn, reason = "it is a third smaller")]
    pub(crate) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            self.cell.listen().await;
            let mut next = match &self.boss {
                Boss::Alone(_) => Next::Run(Duration::ZERO),
                Boss::Tree(_) => Next::Wait,
            };
            let escalation = loop {
                next = match next {
                    Next::Run(delay) => self.run_after(delay).await,
                    Next::Wait => self.await_order().await,
                    Next::End(escalation) => break escalation,
                };
            };
            let on_escalate = match &mut self.boss {
                Boss::Alone(alone) => alone.on_escalate.take(),
                Boss::Tree(_) => None,
            };
            let notices = self.cell.notices();
            drop(self);
            wind_up(notices, escalation, on_escalate);
        }
    }

    async fn await_order(&mut self) -> Next {
        loop {
            match self.cell.next_command().await {
                Command::Run(delay) => return Next::Run(delay),
                Command::Crash(_) => {}
                Command::Halt => return self.report(Exit::halted()),
                Command::End => return self.dismiss(),
            }
        }
    }

    async fn run_after(&mut self, delay: Duration) -> Next {
        if self.incarnations > 0 {
            match back_off(&self.cell, delay).await {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Halting::Halt) => return self.report(Exit::halted()),
                ControlFlow::Break(Halting::End) => return self.dismiss(),
            }
        }
        self.incarnations += 1;
        let began = clock::now();
        let (cause, decision) = self.live().await;
        let failure = match cause {
            Cause::Panicked(_) | Cause::Linked(_) | Cause::Escalated(_) => Failure::Spreads,
            Cause::Stopped | Cause::Unaddressed | Cause::Halted => Failure::None,
        };
        self.cell.unlink(failure);
        self.cell.update(|vitals| {
            vitals.state = ChildState::Waiting;
            vitals.running_since = None;
        });
        let uptime = clock::now().saturating_duration_since(began);
        self.report(Exit {
            cause,
            decision,
            uptime,
        })
    }

    /// One incarnation, which is completely gone when this returns.
    async fn live(&mut self) -> (Cause, Decision) {
        self.cell.forget_crash();
        self.cell.starting(self.incarnations);
        let mut incarnation = match Incarnation::begin(&self.room, &mut **self.factory) {
            Ok(incarnation) => incarnation,
            Err(message) => return self.panicked(message, PanicPlace::Factory),
        };
        let mut stage = Stage::Starting;
        loop {
            match poll_fn(|cx| self.poll_life(&mut incarnation, &mut stage, cx)).await {
                Turn::Started => self.started(),
                Turn::Command(Command::Run(_)) => {}
                Turn::Command(Command::Crash(peer)) => match stage {
                    Stage::Halting(_) => {}
                    Stage::Starting | Stage::Running => {
                        return (Cause::Linked(peer), Decision::Restart);
                    }
                },
                Turn::Command(command @ (Command::Halt | Command::End)) => {
                    self.cell
                        .update(|vitals| vitals.state = ChildState::Stopping);
                    self.dismissed |= command == Command::End;
                    if !matches!(stage, Stage::Halting(_)) {
                        incarnation.stop();
                        stage = Stage::Halting(Box::pin(tokio::time::sleep(self.shutdown)));
                    }
                }
                Turn::OutOfPatience => return (Cause::Halted, Decision::Restart),
                Turn::Ended(ending) => {
                    let (cause, decision) = match ending {
                        Ending::Stopped => (Cause::Stopped, Decision::Restart),
                        Ending::Unaddressed => (Cause::Unaddressed, Decision::Restart),
                        Ending::Panicked(message, place) => self.panicked(message, place),
                    };
                    match (&stage, &cause, decision) {
                        (Stage::Halting(_), ..) => return (Cause::Halted, Decision::Restart),
                        (_, Cause::Panicked(panic), Decision::Resume)
                            if panic.place == PanicPlace::Message =>
                        {
                            incarnation.resume();
                        }
                        _ => return (cause, decision),
                    }
                }
            }
        }
    }

    fn poll_life(
        &self,
        life: &mut Incarnation<A>,
        stage: &mut Stage,
        cx: &mut task::Context<'_>,
    ) -> Poll<Turn> {
        if self.cell.is_commanded()
            && let Some(command) = self.cell.take_command()
        {
            return Poll::Ready(Turn::Command(command));
        }
        if let Stage::Halting(patience) = stage
            && patience.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Turn::OutOfPatience);
        }
        match (life.poll(cx), &stage) {
            (Poll::Ready(ending), _) => Poll::Ready(Turn::Ended(ending)),
            (Poll::Pending, Stage::Starting) => {
                *stage = Stage::Running;
                Poll::Ready(Turn::Started)
            }
            (Poll::Pending, Stage::Running | Stage::Halting(_)) => Poll::Pending,
        }
    }

    fn started(&self) {
        self.cell.running();
        match &self.boss {
            Boss::Alone(_) => {}
            Boss::Tree(seat) => seat.up(),
        }
    }

    /// Records a panic and asks what to do about it.
    fn panicked(&mut self, message: Arc<str>, place: PanicPlace) -> (Cause, Decision) {
        let panic = self.cell.update(|vitals| {
            let (actor, restarts) = (self.cell.name(), vitals.restarts);
            let panic = PanicReport {
                actor,
                message,
                place,
                restarts,
            };
            vitals.last_panic = Some(panic.clone());
            panic
        });
        tracing::error!(actor = panic.actor(), %place, message = panic.message(), "an actor panicked");
        self.cell.tell(RestartEvent::Panicked(panic.clone()));
        let decision = match &mut *self.on_panic {
            Some(decide) => contain(|| decide(&panic)).unwrap_or_default(),
            None => Decision::default(),
        };
        (Cause::Panicked(panic), decision)
    }

    fn dismiss(&mut self) -> Next {
        self.dismissed = true;
        self.report(Exit::halted())
    }

    /// Hands the end of an incarnation to whoever decides.
    fn report(&mut self, exit: Exit) -> Next {
        if self.dismissed {
            self.cell.update(|vitals| vitals.down = None);
            return Next::End(None);
        }
        match &mut self.boss {
            Boss::Tree(seat) => {
                seat.exited(exit);
                Next::Wait
            }
            Boss::Alone(alone) => match alone.policy.verdict(clock::now(), &exit) {
                Verdict::Restart(delay) => {
                    self.cell.down(&DownReason::from(&exit.cause));
                    Next::Run(delay)
                }
                Verdict::End => {
                    self.cell.down(&DownReason::from(&exit.cause));
                    Next::End(None)
                }
                Verdict::Escalate(reason) => {
                    let panic = exit.cause.panic().cloned();
                    let escalation = Escalation {
                        child: self.cell.name(),
                        reason,
                        panic,
                    };
                    self.cell.down(&DownReason::Escalated(escalation.clone()));
                    Next::End(Some(escalation))
                }
            },
        }
    }
}

/// A command that interrupts a backoff.
pub(crate) enum Halting {
    Halt,
    End,
}

/// Waits before a restart, unless the child is told to halt.
pub(crate) async fn back_off(cell: &ChildCell, delay: Duration) -> ControlFlow<Halting> {
    let child = cell.name();
    cell.tell(RestartEvent::Restarting { child, delay });
    cell.update(|vitals| vitals.state = ChildState::BackingOff);
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
            command = cell.next_command() => match command {
                Command::Halt => return ControlFlow::Break(Halting::Halt),
                Command::End => return ControlFlow::Break(Halting::End),
                Command::Run(_) | Command::Crash(_) => {}
            },
            () = &mut pause => return ControlFlow::Continue(()),
        }
    }
}

/// What is left to do for a child whose task is gone.
pub(crate) fn wind_up(
    notices: Option<Notices>,
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

/// What happens at the top when a failure could not be handled: a callback, or the end of the `System`.
fn escalate(escalation: Escalation, on_escalate: Option<OnEscalate>) {
    tracing::error!(%escalation, "supervision gave up");
    match (on_escalate, System::try_current()) {
        (Some(act), _) => {
            if let Err(message) = contain(|| act(escalation)) {
                tracing::error!(%message, "an on_escalate callback panicked");
            }
        }
        (None, Some(system)) => system.stop_with_code(1),
        (None, None) => {}
    }
}
