//! The behaviours that answer to received messages: sink, echo and relay.

use std::future::pending;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::printer::Printer;

/// What a worker does with one message. The message counts as handled when this is done.
#[derive(Clone)]
pub(crate) enum Step {
    /// Prints the payload on a line, after a delay.
    Print { printer: Printer, delay: Duration },
    /// Sends the payload back to where it came from.
    SendBack,
    /// Sends the payload on by the socket's send mode.
    SendOn,
}

/// How far a worker has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do, or a message in hand.
    Busy,
    /// No message is in hand and none will be taken.
    Idle,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// Why a step was not done.
enum Trouble {
    /// This message has nowhere to go; the next may.
    Skip(String),
    /// No message can be handled any more.
    Fail(String),
}

/// Takes a number of messages, one after another, and does the same step with each.
pub(crate) struct Worker {
    socket: WeakSocket,
    step: Step,
    untaken: u64,
    in_hand: u64,
    closing: bool,
    progress: watch::Sender<Progress>,
}

/// Tells a worker to take no further message.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TakeNoMore;

/// Ends a worker, whatever it has in hand.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End;

/// What became of the message in hand, told to the worker through its own mailbox.
///
/// The mailbox comes after everything that is ready in this context, the completion of the handler
/// included: when the news gets out, the acknowledgement is on its way.
#[derive(Message)]
#[rtype(result = "()")]
struct StepEnded(Result<(), Trouble>);

impl Worker {
    /// A worker on `socket` for `count` messages, and where to see how far it is.
    pub(crate) fn new(
        socket: WeakSocket,
        step: Step,
        count: u64,
    ) -> (Self, watch::Receiver<Progress>) {
        let (progress, seen) = watch::channel(Progress::Busy);
        let worker = Self {
            socket,
            step,
            untaken: count,
            in_hand: 0,
            closing: false,
            progress,
        };
        (worker, seen)
    }

    fn tell_if_idle(&self) {
        if self.untaken == 0 && self.in_hand == 0 {
            self.progress.send_replace(Progress::Idle);
        }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
        self.tell_if_idle();
    }
}

impl Handler<Received> for Worker {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Self::Result {
        if self.untaken == 0 {
            // Not ours to handle: never done, so never acknowledged, and nothing more is read.
            return Box::pin(pending().into_actor(self));
        }
        self.untaken -= 1;
        self.in_hand += 1;
        let (step, socket) = (self.step.clone(), self.socket.clone());
        Box::pin(
            async move { step.run(&socket, message).await }
                .into_actor(self)
                .then(|outcome, worker, ctx| {
                    let failed = matches!(outcome, Err(Trouble::Fail(_)));
                    ctx.notify(StepEnded(outcome));
                    let handled = async move {
                        if failed {
                            pending().await
                        }
                    };
                    handled.into_actor(worker)
                }),
        )
    }
}

impl Handler<StepEnded> for Worker {
    type Result = ();

    fn handle(&mut self, StepEnded(outcome): StepEnded, _: &mut Self::Context) {
        match outcome {
            Ok(()) => self.in_hand -= 1,
            Err(Trouble::Skip(reason)) => {
                tracing::warn!(reason, "a message is skipped and not counted");
                self.in_hand -= 1;
                self.untaken += u64::from(!self.closing);
            }
            Err(Trouble::Fail(reason)) => {
                self.progress.send_replace(Progress::Failed(reason));
                return;
            }
        }
        self.tell_if_idle();
    }
}

impl Handler<TakeNoMore> for Worker {
    type Result = ();

    fn handle(&mut self, _: TakeNoMore, _: &mut Self::Context) {
        self.closing = true;
        self.untaken = 0;
        self.tell_if_idle();
    }
}

impl Handler<End> for Worker {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Step {
    async fn run(self, socket: &WeakSocket, message: Received) -> Result<(), Trouble> {
        match self {
            Self::Print { printer, delay } => {
                // A sleep takes a millisecond, however short it is.
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                printer.print(message.payload()).await.map_err(|error| {
                    Trouble::Fail(format!("standard output cannot be written: {error}"))
                })
            }
            Self::SendBack => send_back(socket, &message).await,
            Self::SendOn => open(socket)?
                .send(message.into_payload())
                .await
                .map_err(|error| Trouble::Skip(format!("it cannot be sent on: {error}"))),
        }
    }
}

/// A reply never waits; above its hard mark the payload goes the way that does.
async fn send_back(socket: &WeakSocket, message: &Received) -> Result<(), Trouble> {
    if message.reply(message.payload().clone()).is_ok() {
        return Ok(());
    }
    open(socket)?
        .send_to(message.peer(), message.payload().clone())
        .await
        .map_err(|error| Trouble::Skip(format!("it cannot be sent back: {error}")))
}

fn open(socket: &WeakSocket) -> Result<Socket, Trouble> {
    socket
        .upgrade()
        .ok_or_else(|| Trouble::Fail("the socket is closed".to_owned()))
}

/// Resolves when the worker has nothing left to do.
pub(crate) async fn idle(mut progress: watch::Receiver<Progress>) -> Result<(), String> {
    let last = progress
        .wait_for(|progress| *progress != Progress::Busy)
        .await
        .map_err(|_| "the handler has gone".to_owned())?;
    match &*last {
        Progress::Busy | Progress::Idle => Ok(()),
        Progress::Failed(reason) => Err(reason.clone()),
    }
}
