//! ConnectionActor: owns one byte stream, from its handshake to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Instant;

use actix::{Actor, ActorContext, ActorState, ArbiterHandle, Recipient};
use tokio::sync::oneshot;

use super::admission::Admit;
use super::connections::ConnectionEntry;
use super::handshake::{NotOpened, Opened, Origin, open};
use super::refusals::{announce_refusal, log_refusal};
use super::session::{Farewell, Session};
use crate::address::{PeerAddress, Role};
use crate::clock;
use crate::engine::DialOutcome;
use crate::event::{ConnectionStage, RefusalReason};
use crate::supervise::{contain, drop_contained};

/// Result of a connection, for the dialer that made it.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its peer is admitted, which is told once.
    pub(crate) up: Option<oneshot::Sender<()>>,
    pub(crate) ended: oneshot::Sender<DialOutcome>,
}

/// Owns one byte stream.
///
/// Nobody sends it messages, and it does one thing after the other. So its context has no mailbox and
/// no list of futures: those would take as much as everything else that an idle connection needs.
#[derive(Debug)]
pub(crate) struct ConnectionActor {
    entry: ConnectionEntry,
    /// Input of the connection's work, until it has begun.
    beginning: Option<Box<Beginning>>,
    report: Option<Box<Report>>,
}

#[derive(Debug)]
struct Beginning {
    router: Recipient<Admit>,
    origin: Origin,
}

/// The context of an actor that has no mailbox.
pub(crate) struct Unaddressed {
    state: ActorState,
    work: Work,
}

/// Present work of a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is what nearly all connections do nearly all the time"
)]
enum Work {
    Nothing,
    /// In a box of its own, because its state is many times as large as that of the later steps.
    Opening(Pin<Box<dyn Future<Output = Result<Opened, RefusedConnection>>>>),
    Running(Session, Instant),
    Parting(Pin<Box<dyn Future<Output = ()>>>),
}

/// A connection that was refused, and whose it was.
type RefusedConnection = (NotOpened, PeerAddress, Role);

impl ConnectionActor {
    pub(crate) fn new(
        entry: ConnectionEntry,
        router: Recipient<Admit>,
        origin: Origin,
        report: Option<Report>,
    ) -> Self {
        Self {
            entry,
            beginning: Some(Box::new(Beginning { router, origin })),
            report: report.map(Box::new),
        }
    }

    /// Starts it in the arbiter of the caller.
    pub(crate) fn start_here(self) {
        actix_rt::spawn(ConnectionTask::of(self));
    }

    /// Starts it in another arbiter; one that is stopped drops it.
    pub(crate) fn start_in(self, arbiter: &ArbiterHandle) {
        arbiter.spawn_fn(move || self.start_here());
    }

    /// Tells everyone who is concerned, the peer last.
    fn refuse(&mut self, (refusal, address, role): RefusedConnection, ctx: &mut Unaddressed) {
        let NotOpened {
            peer,
            reason,
            duplicate,
            dials_in_return,
            silent,
            stream,
        } = refusal;
        let Some(reason) = reason else {
            ctx.stop();
            return;
        };
        let dismissal = NotOpened::dismissal(&reason);
        let core = self.entry.core();
        let is_probe = role == Role::BindEnd && silent;
        if is_probe {
            core.admission.note_probe();
        }
        // Our dialer, which sees no more than an end, says what is to be said.
        let is_itself = role == Role::BindEnd && reason == RefusalReason::Itself;
        if dials_in_return && role == Role::BindEnd {
            tracing::info!(%address, "not connected a second time: the peer that dials us is one that we have dialled");
        } else {
            log_refusal(&address, role, &reason, is_probe || is_itself);
        }
        if is_itself {
            core.admission.note_itself(&address);
        }
        announce_refusal(core, peer, address, role, reason.clone());
        self.report(match duplicate {
            Some(peer) => DialOutcome::Duplicate(peer),
            None => DialOutcome::Refused(reason),
        });
        Self::part(stream.zip(dismissal), ctx);
    }

    /// Ends, once the peer has been told why, if it can be.
    fn part(farewell: Option<Farewell>, ctx: &mut Unaddressed) {
        match farewell {
            None => ctx.stop(),
            Some((stream, dismissal)) => {
                ctx.work = Work::Parting(Box::pin(stream.dismiss(dismissal)));
            }
        }
    }

    /// True if the dialer that made the connection has given it up.
    fn is_given_up(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let report = self.report.as_mut();
        report.is_some_and(|report| report.ended.poll_closed(cx).is_ready())
    }

    fn report_up(&mut self) {
        if let Some(up) = self.report.as_mut().and_then(|report| report.up.take()) {
            // A dialer that is gone does not mind.
            let _ = up.send(());
        }
    }

    fn report(&mut self, outcome: DialOutcome) {
        if let Some(report) = self.report.take() {
            // A dialer that is gone does not mind.
            let _ = report.ended.send(outcome);
        }
    }
}

impl Actor for ConnectionActor {
    type Context = Unaddressed;

    fn started(&mut self, ctx: &mut Unaddressed) {
        let Some(beginning) = self.beginning.take() else {
            ctx.stop();
            return;
        };
        let entry = self.entry.entry().clone();
        ctx.work = Work::Opening(Box::pin(async move {
            let Beginning { router, origin } = *beginning;
            let (address, role) = (origin.address(), origin.role());
            let opening = open(entry, router, origin).await;
            opening.map_err(|refusal| (refusal, address, role))
        }));
    }
}

impl ActorContext for Unaddressed {
    fn stop(&mut self) {
        self.state = ActorState::Stopping;
    }

    fn terminate(&mut self) {
        self.state = ActorState::Stopped;
    }

    fn state(&self) -> ActorState {
        self.state
    }
}

/// The life of a connection, as a task of its arbiter. The work is dropped before the actor, whose entry it
/// leaves.
struct ConnectionTask {
    ctx: Unaddressed,
    actor: ConnectionActor,
}

impl ConnectionTask {
    const fn of(actor: ConnectionActor) -> Self {
        let ctx = Unaddressed {
            state: ActorState::Started,
            work: Work::Nothing,
        };
        Self { actor, ctx }
    }

    /// Goes on until the connection has ended or has to wait.
    fn poll_work(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let Self { actor, ctx } = self;
        if ctx.state == ActorState::Started {
            ctx.state = ActorState::Running;
            actor.started(ctx);
        }
        while ctx.state == ActorState::Running {
            match &mut ctx.work {
                Work::Nothing => ctx.stop(),
                Work::Opening(_) if actor.is_given_up(cx) => ctx.stop(),
                Work::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(opened) => {
                        actor.report_up();
                        ctx.work = Work::Running(Session::new(opened), clock::now());
                    }
                    Err(refusal) => actor.refuse(refusal, ctx),
                },
                Work::Running(session, since) => {
                    let farewell = ready!(Pin::new(&mut *session).poll(cx));
                    let lasted = clock::now().saturating_duration_since(*since);
                    let peer = session.peer();
                    ctx.work = Work::Nothing;
                    actor.report(DialOutcome::Ended(peer, lasted));
                    ConnectionActor::part(farewell, ctx);
                }
                Work::Parting(parting) => {
                    ready!(parting.as_mut().poll(cx));
                    ctx.stop();
                }
            }
        }
        Poll::Ready(())
    }

    /// Ends the connection after a panic, as that of a dead peer, and tells the socket actor.
    fn end_after_panic(&mut self, message: Arc<str>) {
        self.ctx.terminate();
        let (stage, peer) = match std::mem::replace(&mut self.ctx.work, Work::Nothing) {
            Work::Running(mut session, _) => {
                let peer = session.peer();
                session.crash(&message);
                drop_contained(session, "a connection");
                (ConnectionStage::Session, Some(peer))
            }
            Work::Parting(parting) => {
                drop_contained(parting, "a connection");
                (ConnectionStage::Farewell, None)
            }
            opening @ (Work::Nothing | Work::Opening(_)) => {
                drop_contained(opening, "a connection");
                (ConnectionStage::Handshake, None)
            }
        };
        self.actor.entry.report_panic(peer, stage, message);
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        match contain(|| this.poll_work(cx)) {
            Ok(progress) => progress,
            Err(message) => {
                this.end_after_panic(message);
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;

    /// With what the task and two counters add, these are what each of ten thousand idle connections
    /// takes, beside its socket.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(
            size_of::<ConnectionTask>() <= 360,
            "{}",
            size_of::<ConnectionTask>()
        );
        assert!(size_of::<Link>() <= 456, "{}", size_of::<Link>());
    }
}
