//! One life of an actor, on a mailbox that outlives it.
//!
//! The supervisor owns the receiving end of the mailbox. Every incarnation gets a fresh `ContextFut`, and
//! with it fresh futures, waits, cancellations and handle numbers, while its context says the lasting
//! address. A [`Feeder`] inside the context takes messages from the lasting mailbox.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use actix::dev::channel::AddressReceiver;
use actix::dev::{AsyncContextParts, ContextFut, ContextParts, EnvelopeProxy, Stream};
use actix::{Actor, ActorContext, ActorFuture, ActorState, AsyncContext, Context};

use super::factory::Factory;
use super::incarnation_end::{self, EndCallbacks};
use super::panics::{PanicPlace, contain, drop_contained};

/// The messages that are handled in one poll of the task, before the other tasks of the arbiter have their turn. They are
/// counted over the whole poll, because actix polls the feeder again and again while handlers spawn futures.
const MESSAGES_PER_TURN: u32 = 128;

/// The full turns after which timers and sockets of the arbiter are looked at. That costs a system call.
const TURNS_PER_ROUND: u32 = 8;

/// The rule for an actor without an address that leads to it: it lives on, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Supervised,
    WhileAddressed,
}

/// The mailbox of a supervised actor, which stays when the actor is replaced.
pub(crate) struct LastingMailbox<A: Actor<Context = Context<A>>> {
    receiver: RefCell<AddressReceiver<A>>,
    lifetime: Lifetime,
    feed: Cell<FeedState>,
    /// Messages that may still be handled in this poll.
    allowance: Cell<u32>,
    /// Full turns since the last round.
    turns: Cell<u32>,
}

/// The state of the current incarnation's feeder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FeedState {
    /// Not run yet: the actor is still starting.
    Unpolled,
    /// Waiting for messages or for its turn.
    Open,
    /// Handing messages to handlers.
    Handling,
    /// Ended, or cancelled by the actor.
    Gone,
}

impl<A: Actor<Context = Context<A>>> LastingMailbox<A> {
    pub(crate) fn new(receiver: AddressReceiver<A>, lifetime: Lifetime) -> Rc<Self> {
        Rc::new(Self {
            receiver: RefCell::new(receiver),
            lifetime,
            feed: Cell::new(FeedState::Unpolled),
            allowance: Cell::new(0),
            turns: Cell::new(0),
        })
    }

    /// Hands messages to the actor, until none is left, the actor wants to wait, or its turn is over.
    fn feed_actor(
        &self,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        let mut receiver = self.receiver.borrow_mut();
        let mut allowance = self.allowance.get();
        let fed = loop {
            if ctx.waiting() {
                break Poll::Pending;
            }
            if allowance == 0 {
                self.end_turn(task);
                break Poll::Pending;
            }
            match Pin::new(&mut *receiver).poll_next(task) {
                Poll::Ready(Some(mut envelope)) => {
                    allowance -= 1;
                    envelope.handle(actor, ctx);
                }
                Poll::Ready(None) => break Poll::Ready(()),
                Poll::Pending => match self.lifetime {
                    Lifetime::WhileAddressed if !receiver.connected() => break Poll::Ready(()),
                    Lifetime::WhileAddressed | Lifetime::Supervised => break Poll::Pending,
                },
            }
        };
        self.allowance.set(allowance);
        fed
    }

    /// Comes back soon: after the tasks that wait, or after the arbiter has looked at its timers and sockets too.
    fn end_turn(&self, task: &mut task::Context<'_>) {
        if self.allowance.get() == 0 {
            return;
        }
        let turns = self.turns.get() + 1;
        self.turns.set(turns % TURNS_PER_ROUND);
        if turns == TURNS_PER_ROUND {
            // Its first poll leaves the waker with the runtime, which wakes it after the round.
            let _ = pin!(tokio::task::yield_now()).poll(task);
        } else {
            task.waker().wake_by_ref();
        }
    }

    /// True while the actor is to go on, with or without an address that leads to it.
    fn is_wanted(&self) -> bool {
        match self.lifetime {
            Lifetime::Supervised => true,
            Lifetime::WhileAddressed => self.receiver.borrow().connected(),
        }
    }
}

/// The end of an incarnation that nobody told to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IncarnationEnd {
    Stopped,
    Unaddressed,
    Panicked(Arc<str>, PanicPlace),
}

/// A living actor. However it ends, what its destructors and its last methods do is contained.
pub(crate) struct Incarnation<A: Actor<Context = Context<A>>> {
    life: Option<ContextFut<A, Context<A>>>,
    mailbox: Rc<LastingMailbox<A>>,
    at_end: Rc<EndCallbacks>,
}

impl<A: Actor<Context = Context<A>>> Incarnation<A> {
    /// Asks the factory for an actor and gives it a context of its own.
    pub(crate) fn begin(
        mailbox: &Rc<LastingMailbox<A>>,
        factory: &mut dyn Factory<A>,
    ) -> Result<Self, Arc<str>> {
        let mut incarnation = Self {
            life: None,
            mailbox: Rc::clone(mailbox),
            at_end: Rc::default(),
        };
        let at_end = Rc::clone(&incarnation.at_end);
        let life = contain(|| {
            let _current = incarnation_end::enter(&at_end);
            let mut ctx = Context::new();
            *ctx.parts() = ContextParts::new(mailbox.receiver.borrow().sender_producer());
            ctx.spawn(Feeder::new(mailbox));
            let actor = factory.build(&mut ctx);
            ctx.into_future(actor)
        })?;
        incarnation.life = Some(life);
        Ok(incarnation)
    }

    /// Lets the actor work, until it ends by itself.
    pub(crate) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<IncarnationEnd> {
        let Some(life) = &mut self.life else {
            return Poll::Ready(IncarnationEnd::Stopped);
        };
        self.mailbox.allowance.set(MESSAGES_PER_TURN);
        loop {
            let _current = incarnation_end::enter(&self.at_end);
            match contain(|| Pin::new(&mut *life).poll(cx)) {
                Ok(Poll::Pending) if self.mailbox.feed.get() != FeedState::Gone => {
                    return Poll::Pending;
                }
                Ok(Poll::Pending) if self.mailbox.is_wanted() => {
                    life.ctx().spawn(Feeder::new(&self.mailbox));
                }
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) if self.mailbox.is_wanted() => {
                    return Poll::Ready(IncarnationEnd::Stopped);
                }
                Ok(Poll::Ready(())) => return Poll::Ready(IncarnationEnd::Unaddressed),
                Err(message) => {
                    let place = match (self.mailbox.feed.get(), life.ctx().state()) {
                        (FeedState::Handling, _) => PanicPlace::Message,
                        (_, ActorState::Stopping | ActorState::Stopped) => PanicPlace::Stopping,
                        (FeedState::Unpolled, _) => PanicPlace::Started,
                        (FeedState::Open | FeedState::Gone, _) => PanicPlace::Future,
                    };
                    return Poll::Ready(IncarnationEnd::Panicked(message, place));
                }
            }
        }
    }

    /// Goes on after the panic of a message handler, as if it had returned.
    pub(crate) fn resume(&mut self) {
        self.mailbox.feed.set(FeedState::Open);
    }

    /// Asks the actor to stop, as `ctx.stop()` would.
    pub(crate) fn stop(&mut self) {
        if let Some(life) = &mut self.life {
            life.ctx().stop();
        }
    }

    /// Runs `stopping` and `stopped` if the actor has started and has not stopped, as actix does for an actor
    /// that is dropped. A barrier keeps the futures of an actor that refuses to stop from running once more.
    fn say_farewell(&self, life: &mut ContextFut<A, Context<A>>) {
        if !life.ctx().parts().started() || life.ctx().state() == ActorState::Stopped {
            return;
        }
        let farewell = contain(|| {
            life.ctx().wait(Barrier);
            life.ctx().stop();
            let _ = Pin::new(&mut *life).poll(&mut task::Context::from_waker(Waker::noop()));
        });
        if let Err(message) = farewell {
            tracing::error!(%message, "an actor panicked once more while it was stopped");
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Incarnation<A> {
    fn drop(&mut self) {
        if let Some(mut life) = self.life.take() {
            let _current = incarnation_end::enter(&self.at_end);
            self.say_farewell(&mut life);
            life.ctx().terminate();
            drop_contained(life, std::any::type_name::<A>());
        }
        self.at_end.run();
        self.mailbox.feed.set(FeedState::Unpolled);
    }
}

/// Moves messages from the lasting mailbox into the actor. It lives in the actor's context, where the
/// actor is at hand.
struct Feeder<A: Actor<Context = Context<A>>> {
    mailbox: Rc<LastingMailbox<A>>,
}

impl<A: Actor<Context = Context<A>>> Feeder<A> {
    fn new(mailbox: &Rc<LastingMailbox<A>>) -> Self {
        mailbox.feed.set(FeedState::Unpolled);
        let mailbox = Rc::clone(mailbox);
        Self { mailbox }
    }
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Feeder<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        // Only handlers run below, so a panic that leaves this state behind is one of theirs.
        self.mailbox.feed.set(FeedState::Handling);
        let fed = self.mailbox.feed_actor(actor, ctx, task);
        self.mailbox.feed.set(FeedState::Open);
        fed
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Feeder<A> {
    fn drop(&mut self) {
        self.mailbox.feed.set(FeedState::Gone);
    }
}

/// A future that never ends, before which nothing else of a context runs.
struct Barrier;

impl<A: Actor> ActorFuture<A> for Barrier {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        _: &mut A,
        _: &mut A::Context,
        _: &mut task::Context<'_>,
    ) -> Poll<()> {
        Poll::Pending
    }
}
