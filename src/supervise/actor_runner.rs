//! Runs the incarnations of a supervised actor.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use actix::{Actor, Context};
use tokio::time::Sleep;

use super::child_record::ChildRecord;
use super::child_task::{ChildLifecycle, Runner};
use super::command::Command;
use super::event::RestartEvent;
use super::factory::Factory;
use super::incarnation::{Incarnation, IncarnationEnd, LastingMailbox};
use super::panics::{Contained, PanicPlace, PanicReport, contain};
use super::policy::{Cause, Decision, OnPanic};
use crate::engine::LogPermit;
use crate::telemetry::{self, Topic};

/// An actor as its task runs it.
pub(crate) struct ActorRunner<A: Actor<Context = Context<A>>> {
    pub(crate) factory: Contained<Box<dyn Factory<A>>>,
    pub(crate) mailbox: Contained<Rc<LastingMailbox<A>>>,
    pub(crate) on_panic: Contained<Option<OnPanic>>,
    pub(crate) shutdown: Duration,
}

/// The progress of an incarnation.
enum IncarnationProgress {
    Starting,
    Running,
    /// Asked to stop; ended when the sleep is over.
    Halting(Pin<Box<Sleep>>),
}

/// An event in the life of an incarnation.
enum LifeEvent {
    Started,
    Command(Command),
    OutOfPatience,
    Ended(IncarnationEnd),
}

impl<A: Actor<Context = Context<A>>> Runner for ActorRunner<A> {
    async fn run(&mut self, child: &mut ChildLifecycle) -> (Cause, Decision) {
        let mut incarnation = match Incarnation::begin(&self.mailbox, &mut **self.factory) {
            Ok(incarnation) => incarnation,
            Err(message) => return self.panicked(&child.record, message, PanicPlace::Factory),
        };
        let mut progress = IncarnationProgress::Starting;
        loop {
            let event =
                poll_fn(|cx| poll_life(&child.record, &mut incarnation, &mut progress, cx)).await;
            match event {
                LifeEvent::Started => child.started(),
                LifeEvent::Command(Command::Run(_)) => {}
                LifeEvent::Command(Command::Crash(peer)) => match progress {
                    IncarnationProgress::Halting(_) => {}
                    IncarnationProgress::Starting | IncarnationProgress::Running => {
                        return (Cause::Linked(peer), Decision::Restart);
                    }
                },
                LifeEvent::Command(command @ (Command::Halt | Command::End)) => {
                    child.stopping(&command);
                    if !matches!(progress, IncarnationProgress::Halting(_)) {
                        incarnation.stop();
                        progress = IncarnationProgress::Halting(Box::pin(tokio::time::sleep(
                            self.shutdown,
                        )));
                    }
                }
                LifeEvent::OutOfPatience => return (Cause::Halted, Decision::Restart),
                LifeEvent::Ended(ending) => {
                    let (cause, decision) = match ending {
                        IncarnationEnd::Stopped => (Cause::Stopped, Decision::Restart),
                        IncarnationEnd::Unaddressed => (Cause::Unaddressed, Decision::Restart),
                        IncarnationEnd::Panicked(message, place) => {
                            self.panicked(&child.record, message, place)
                        }
                    };
                    match (&progress, &cause, decision) {
                        (IncarnationProgress::Halting(_), ..) => {
                            return (Cause::Halted, Decision::Restart);
                        }
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
}

impl<A: Actor<Context = Context<A>>> ActorRunner<A> {
    /// Records a panic and asks what to do about it.
    fn panicked(
        &mut self,
        record: &ChildRecord,
        message: Arc<str>,
        place: PanicPlace,
    ) -> (Cause, Decision) {
        let panic = record.update(|vitals| {
            let (actor, restarts) = (record.name(), vitals.restarts);
            let panic = PanicReport {
                actor,
                message,
                place,
                restarts,
            };
            vitals.last_panic = Some(panic.clone());
            panic
        });
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::ActorPanicked, panic.actor()) {
            let (actor, message) = (panic.actor(), panic.message());
            tracing::error!(actor, %place, message, unlogged, "an actor panicked");
        }
        record.tell(RestartEvent::Panicked(panic.clone()));
        let decision = match &mut *self.on_panic {
            Some(decide) => contain(|| decide(&panic)).unwrap_or_default(),
            None => Decision::default(),
        };
        (Cause::Panicked(panic), decision)
    }
}

fn poll_life<A: Actor<Context = Context<A>>>(
    record: &ChildRecord,
    incarnation: &mut Incarnation<A>,
    progress: &mut IncarnationProgress,
    cx: &mut task::Context<'_>,
) -> Poll<LifeEvent> {
    if let Some(command) = record.commands.take() {
        return Poll::Ready(LifeEvent::Command(command));
    }
    if let IncarnationProgress::Halting(patience) = progress
        && patience.as_mut().poll(cx).is_ready()
    {
        return Poll::Ready(LifeEvent::OutOfPatience);
    }
    match (incarnation.poll(cx), &progress) {
        (Poll::Ready(ending), _) => Poll::Ready(LifeEvent::Ended(ending)),
        (Poll::Pending, IncarnationProgress::Starting) => {
            *progress = IncarnationProgress::Running;
            Poll::Ready(LifeEvent::Started)
        }
        (Poll::Pending, IncarnationProgress::Running | IncarnationProgress::Halting(_)) => {
            Poll::Pending
        }
    }
}
