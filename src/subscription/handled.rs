//! Results of handlers: which are complete the moment that `handle` returns, and which have failed.

use std::any::{Any, TypeId};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix::dev::{MessageResponse, OneshotSender};
use actix::fut::{ActorFuture, ActorFutureExt};
use actix::{Actor, AsyncContext, Context as ActorContext, Handler};
use tokio::sync::oneshot;

use super::failure::Failure;
use super::in_flight::Finished;
use super::received::Received;
use crate::payload::Payload;
use crate::trace::Span;

/// The result of a [`Received`] handler that can fail. `Result<(), E>` converts into it, for every
/// `E` that can be displayed.
///
/// A failed delivery is delivered again as after a panic, without the panic: up to
/// [`max_delivery_attempts`](crate::SocketBuilder::max_delivery_attempts) times if its sender waits for an acknowledgement, and
/// then it is a [`Poison`](crate::event::DeadLetterReason::Poison) dead letter with the last error. One that was sent at most
/// once is a dead letter at once. A handler that has called [`nack`](Received::nack) or [`reject`](Received::reject) has
/// decided: its error changes nothing.
///
/// ```
/// use actix::prelude::*;
/// use actix_aiomsg::prelude::*;
///
/// struct Stock(i64);
///
/// impl Actor for Stock {
///     type Context = Context<Self>;
/// }
///
/// impl Stock {
///     fn take(&mut self, order: &Received) -> Result<(), Box<dyn std::error::Error>> {
///         self.0 -= order.text()?.parse::<i64>()?;
///         Ok(())
///     }
/// }
///
/// impl Handler<Received> for Stock {
///     type Result = Handled;
///     fn handle(&mut self, order: Received, _: &mut Self::Context) -> Handled {
///         self.take(&order).into()
///     }
/// }
/// ```
///
/// Write `type Result = Handled;` and convert: a handler whose `type Result` is `Result<(), E>` does not compile (E0271), because actix
/// wants the result of the message itself there. [`Handled::ok`] is for a handler that has nothing to convert.
///
/// [`Handled::future`] is for asynchronous handlers, and [`ActorHandled`] for those whose future needs the actor.
#[must_use = "it is the result of the handler"]
pub struct Handled(HandledState);

enum HandledState {
    Done(Result<(), Failure>),
    Underway(Pin<Box<dyn Future<Output = Result<(), Failure>>>>),
}

impl Handled {
    /// The message is handled: what `Ok(())` stands for where nothing says which errors there could be, so that
    /// `Ok(()).into()` does not compile.
    ///
    /// ```
    /// # use actix_aiomsg::prelude::*;
    /// # fn handle(order: Received) -> Handled {
    /// if order.payload().is_empty() {
    ///     return Handled::ok();
    /// }
    /// order.text().map(|text| println!("{text}")).into()
    /// # }
    /// ```
    pub const fn ok() -> Self {
        Self(HandledState::Done(Ok(())))
    }

    /// The message is handled when this future resolves to `Ok`. As with actix's `ResponseFuture`, it runs beside the
    /// actor; [`max_in_flight`](crate::SubscribeOptions::max_in_flight) limits how many do. The thread of a `SyncContext` actor
    /// runs it to its end, in a runtime of its own.
    ///
    /// ```
    /// # use actix_aiomsg::prelude::*;
    /// # async fn store(order: &Received) -> std::io::Result<()> { Ok(()) }
    /// # fn handle(order: Received) -> Handled {
    /// Handled::future(async move { store(&order).await })
    /// # }
    /// ```
    ///
    /// A future that uses `?` says of which type its error is, by its last line: `Ok::<(), std::io::Error>(())`.
    pub fn future<E: fmt::Display>(future: impl Future<Output = Result<(), E>> + 'static) -> Self {
        let future = async move { future.await.map_err(|error| Failure::new(&error)) };
        Self(HandledState::Underway(Box::pin(future)))
    }

    fn begin(self, span: &Span) -> HandlerReturn {
        match self.0 {
            HandledState::Done(Ok(())) => HandlerReturn::Finished,
            HandledState::Done(Err(failure)) => HandlerReturn::Failed(failure),
            HandledState::Underway(future) => {
                let (sender, result) = oneshot::channel();
                let future = span.wrap(future);
                actix_rt::spawn(async move {
                    // A pump that is gone has given the message back.
                    let _ = sender.send(future.await);
                });
                HandlerReturn::Awaited(Ending::fallible(result))
            }
        }
    }
}

impl<E: fmt::Display> From<Result<(), E>> for Handled {
    fn from(result: Result<(), E>) -> Self {
        Self(HandledState::Done(
            result.map_err(|error| Failure::new(&error)),
        ))
    }
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            HandledState::Done(result) => f.debug_tuple("Handled").field(result).finish(),
            HandledState::Underway(_) => f.write_str("Handled(underway)"),
        }
    }
}

/// A failure gives no response to somebody who sent a message from actor to actor.
impl<A: Actor, T> MessageResponse<A, Received<T>> for Handled {
    fn handle(self, _: &mut A::Context, response: Option<OneshotSender<()>>) {
        match self.0 {
            HandledState::Done(result) => respond(result, response),
            HandledState::Underway(future) if can_spawn() => {
                drop(actix_rt::spawn(async move {
                    respond(future.await, response);
                }));
            }
            HandledState::Underway(future) => respond(block_on(future), response),
        }
    }
}

/// False on the threads of a `SyncArbiter`, which have no runtime. A `LocalSet` without a `System` has one, and no arbiter.
fn can_spawn() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

/// Runs the future of a `SyncContext` actor, whose thread is for work that blocks.
#[cold]
fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = actix_rt::Runtime::new().map_err(|error| Failure::new(&error))?;
    runtime.block_on(future)
}

fn respond(result: Result<(), Failure>, response: Option<OneshotSender<()>>) {
    if let (Ok(()), Some(response)) = (result, response) {
        // Whoever waited may have stopped.
        let _ = response.send(());
    }
}

/// [`Handled`] for a handler whose future needs the actor, as actix's `ResponseActFuture` is for others.
///
/// ```
/// use actix::prelude::*;
/// use actix_aiomsg::prelude::*;
///
/// struct Journal {
///     written: usize,
/// }
///
/// impl Actor for Journal {
///     type Context = Context<Self>;
/// }
///
/// # async fn write(line: &str) -> std::io::Result<usize> { Ok(line.len()) }
/// impl Handler<Received<String>> for Journal {
///     type Result = ActorHandled<Self>;
///     fn handle(&mut self, line: Received<String>, _: &mut Self::Context) -> Self::Result {
///         let writing = async move { write(&line).await }.into_actor(self);
///         ActorHandled::new(writing.map(|written, journal, _| {
///             journal.written += written?;
///             Ok::<(), std::io::Error>(())
///         }))
///     }
/// }
/// ```
#[must_use = "it is the result of the handler"]
pub struct ActorHandled<A: Actor>(Pin<Box<dyn ActorFuture<A, Output = Result<(), Failure>>>>);

impl<A: Actor<Context = ActorContext<A>>> ActorHandled<A> {
    /// The message is handled when this future resolves to `Ok`.
    pub fn new<E: fmt::Display>(
        future: impl ActorFuture<A, Output = Result<(), E>> + 'static,
    ) -> Self {
        let future = future.map(|result, _, _| result.map_err(|error| Failure::new(&error)));
        Self(Box::pin(future))
    }

    fn begin(self, ctx: &mut A::Context, span: &Span) -> HandlerReturn {
        let (sender, result) = oneshot::channel();
        ctx.spawn(span.wrap_actor(self.0).map(|result, _, _| {
            // A pump that is gone has given the message back.
            let _ = sender.send(result);
        }));
        HandlerReturn::Awaited(Ending::fallible(result))
    }
}

impl<A: Actor> fmt::Debug for ActorHandled<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActorHandled(underway)")
    }
}

/// As for [`Handled`].
impl<A: Actor<Context = ActorContext<A>>, T> MessageResponse<A, Received<T>> for ActorHandled<A> {
    fn handle(self, ctx: &mut A::Context, response: Option<OneshotSender<()>>) {
        ctx.spawn(self.0.map(|result, _, _| respond(result, response)));
    }
}

/// A handler that has returned.
pub(super) enum HandlerReturn {
    Finished,
    Failed(Failure),
    Awaited(Ending),
}

/// Takes what a handler returned. Results that are no futures need no channel to learn of their
/// completion. Futures run inside of the span.
#[inline]
pub(super) fn begin<A, T>(result: A::Result, ctx: &mut A::Context, span: &Span) -> HandlerReturn
where
    A: Actor<Context = ActorContext<A>> + Handler<Received<T>>,
    A::Result: 'static,
    T: Payload,
{
    if TypeId::of::<A::Result>() == TypeId::of::<()>() {
        result.handle(ctx, None);
        return HandlerReturn::Finished;
    }
    let mut result = Some(span.wrap_result::<A, _, ()>(result));
    let any: &mut dyn Any = &mut result;
    if let Some(handled) = any.downcast_mut::<Option<Handled>>() {
        return handled
            .take()
            .map_or(HandlerReturn::Finished, |handled| handled.begin(span));
    }
    if let Some(handled) = any.downcast_mut::<Option<ActorHandled<A>>>() {
        return handled
            .take()
            .map_or(HandlerReturn::Finished, |handled| handled.begin(ctx, span));
    }
    let (sender, mut done) = oneshot::channel();
    if let Some(result) = result {
        result.handle(ctx, Some(sender));
    }
    match done.try_recv() {
        Ok(()) => HandlerReturn::Finished,
        Err(_) => HandlerReturn::Awaited(Ending {
            result: Awaited::Plain(done),
            failure: None,
        }),
    }
}

/// The end of an asynchronous handler, once it is known.
#[derive(Debug)]
pub(super) struct Ending {
    result: Awaited,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Awaited {
    /// The handler cannot fail but by letting go of its message.
    Plain(oneshot::Receiver<()>),
    Fallible(oneshot::Receiver<Result<(), Failure>>),
}

impl Ending {
    const fn fallible(result: oneshot::Receiver<Result<(), Failure>>) -> Self {
        Self {
            result: Awaited::Fallible(result),
            failure: None,
        }
    }

    /// The error that the handler ended with.
    pub(super) const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        match &mut self.result {
            Awaited::Plain(done) => Pin::new(done).poll(cx).map(|end| end.is_ok()),
            Awaited::Fallible(done) => {
                let end = std::task::ready!(Pin::new(done).poll(cx));
                Poll::Ready(self.note(end.ok()))
            }
        }
    }

    /// Its end, if that has come.
    pub(super) fn try_end(&mut self) -> Option<Finished> {
        let empty = oneshot::error::TryRecvError::Empty;
        match &mut self.result {
            Awaited::Plain(done) => match done.try_recv() {
                Ok(()) => Some(true),
                Err(error) => (error != empty).then_some(false),
            },
            Awaited::Fallible(done) => match done.try_recv() {
                Ok(result) => Some(self.note(Some(result))),
                Err(error) => (error != empty).then_some(false),
            },
        }
    }

    fn note(&mut self, end: Option<Result<(), Failure>>) -> Finished {
        match end {
            Some(Ok(())) => true,
            Some(Err(failure)) => {
                self.failure = Some(failure);
                false
            }
            None => false,
        }
    }
}
