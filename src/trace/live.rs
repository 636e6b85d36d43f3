//! Spans that have begun.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task;

use actix::fut::ActorFuture;
use actix::{Actor, ResponseActFuture, ResponseFuture};
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId};
use opentelemetry::{Context, ContextGuard, KeyValue};

use super::error_type;
use crate::error::{AskError, SendError};
use crate::excerpt::beginning;
use crate::id::Identity;
use crate::payload::{AskId, TraceContext};

/// The span that something belongs to which is not done yet, as the context of its caller had it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parent(pub(super) Option<Context>);

impl Parent {
    pub(super) fn context(&self) -> Context {
        self.0.clone().unwrap_or_default()
    }
}

/// A span from its begin to its end; none where a socket has no spans. Dropped before its end it was cancelled, or its handler
/// panicked.
#[derive(Default)]
pub(crate) struct Span(Option<Box<Context>>);

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.context()).finish()
    }
}

impl Span {
    /// One that has begun, in the context that it makes.
    pub(super) fn begun(context: Context) -> Self {
        Self(Some(Box::new(context)))
    }

    /// How it travels. `None` if no provider has given it a place in a trace.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        let span = self.0.as_ref()?.span();
        let context = span.span_context();
        context.is_valid().then(|| to_travel(context))
    }

    /// Code of this thread runs inside of it, until what this yields is dropped.
    #[inline]
    pub(crate) fn enter(&self) -> Option<ContextGuard> {
        self.0
            .as_ref()
            .map(|context| Context::clone(context).attach())
    }

    /// A future that runs inside of it.
    #[inline]
    pub(crate) fn wrap<O: 'static>(&self, future: ResponseFuture<O>) -> ResponseFuture<O> {
        match &self.0 {
            None => future,
            Some(context) => Box::pin(Inside {
                future,
                context: Context::clone(context),
            }),
        }
    }

    /// A future of an actor that runs inside of it.
    #[inline]
    pub(crate) fn wrap_actor<A: Actor, O: 'static>(
        &self,
        future: ResponseActFuture<A, O>,
    ) -> ResponseActFuture<A, O> {
        match &self.0 {
            None => future,
            Some(context) => {
                let context = Context::clone(context);
                Box::pin(Within { future, context })
            }
        }
    }

    /// The result of a handler, which runs inside of it if it is a future of actix's own types.
    #[inline]
    pub(crate) fn wrap_result<A: Actor, R: 'static, O: 'static>(&self, result: R) -> R {
        match &self.0 {
            None => result,
            Some(_) => self.wrap_any::<A, R, O>(result),
        }
    }

    #[cold]
    fn wrap_any<A: Actor, R: 'static, O: 'static>(&self, result: R) -> R {
        let mut result = Some(result);
        let any: &mut dyn Any = &mut result;
        if let Some(future) = any.downcast_mut::<Option<ResponseFuture<O>>>() {
            *future = future.take().map(|future| self.wrap(future));
        } else if let Some(future) = any.downcast_mut::<Option<ResponseActFuture<A, O>>>() {
            *future = future.take().map(|future| self.wrap_actor(future));
        }
        result.expect("it was put back")
    }

    /// Notes who was asked.
    #[inline]
    pub(crate) fn note_ask(&self, peer: Identity, id: AskId) {
        if let Some(context) = &self.0 {
            let span = context.span();
            if span.is_recording() {
                span.set_attribute(KeyValue::new("messaging.aiomsg.peer", peer.to_string()));
                let id = hex(&id);
                span.set_attribute(KeyValue::new("messaging.message.conversation_id", id));
            }
        }
    }

    /// It ends, and all went well.
    #[inline]
    pub(crate) fn succeed(&mut self) {
        if let Some(context) = self.0.take() {
            context.span().end();
        }
    }

    /// It ends as if it was dropped.
    pub(crate) fn abandon(&mut self) {
        drop(std::mem::take(self));
    }

    /// It ends with an error of this kind.
    #[inline]
    pub(crate) fn fail(&mut self, kind: &'static str, text: &dyn fmt::Display) {
        if let Some(context) = self.0.take() {
            end_failed(&context, kind, text);
        }
    }

    #[cold]
    fn end_dropped(&mut self) {
        if let Some(context) = self.0.take() {
            let (kind, text) = match std::thread::panicking() {
                true => (error_type::PANIC, PANICKED),
                false => (error_type::CANCELLED, "it was dropped before its end"),
            };
            end_failed(&context, kind, &text);
        }
    }

    /// An ask has ended.
    #[inline]
    pub(crate) fn end_ask<R>(&mut self, outcome: &Result<R, AskError>) {
        match outcome {
            _ if self.0.is_none() => {}
            Ok(_) => self.succeed(),
            Err(error) => self.fail(error_type::of_ask(error), error),
        }
    }

    /// A send has ended.
    #[inline]
    pub(crate) fn end_send(&mut self, outcome: &Result<(), SendError>) {
        match outcome {
            _ if self.0.is_none() => {}
            Ok(()) => self.succeed(),
            Err(error) => self.fail(error_type::of_send(error), error),
        }
    }
}

/// Bytes of an error's text that a span keeps: a peer may have written it, and it may quote a payload.
const TEXT_BYTES: usize = 256;

#[cold]
fn end_failed(context: &Context, kind: &'static str, text: &dyn fmt::Display) {
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new("error.type", kind));
        let text = text.to_string();
        span.set_status(Status::error(beginning(&text, TEXT_BYTES).to_owned()));
    }
    span.end();
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            self.end_dropped();
        }
    }
}

/// The span of a send: none where a socket has no spans. It begins when the send does, and not with the call that prepares it.
#[derive(Debug, Default)]
pub(crate) struct SendSpan(Option<Box<SendState>>);

#[derive(Debug)]
struct SendState {
    parent: Parent,
    topic: &'static str,
    span: Span,
}

impl SendSpan {
    #[cold]
    pub(super) fn prepared(parent: Parent, topic: &'static str) -> Self {
        let span = Span::default();
        Self(Some(Box::new(SendState {
            parent,
            topic,
            span,
        })))
    }

    /// The send begins: `begin` makes the span of its parent and its topic.
    pub(crate) fn begin(&mut self, begin: impl FnOnce(&Parent, &'static str) -> Span) {
        if let Some(state) = &mut self.0 {
            state.span = begin(&state.parent, state.topic);
        }
    }

    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.0.as_ref()?.span.context()
    }

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(crate) fn end(&mut self, outcome: &Result<(), SendError>) {
        if let Some(state) = &mut self.0 {
            state.span.end_send(outcome);
        }
    }
}

/// A future of an actor inside of a span.
struct Within<A: Actor, O> {
    future: ResponseActFuture<A, O>,
    context: Context,
}

impl<A: Actor, O> ActorFuture<A> for Within<A, O> {
    type Output = O;

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut A,
        ctx: &mut A::Context,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<O> {
        let Self { future, context } = &mut *self;
        let _entered = context.clone().attach();
        let _polled = Polled(context);
        future.as_mut().poll(act, ctx, cx)
    }
}

/// A future inside of a span.
struct Inside<O> {
    future: ResponseFuture<O>,
    context: Context,
}

impl<O> Future for Inside<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<O> {
        let Self { future, context } = &mut *self;
        let _entered = context.clone().attach();
        let _polled = Polled(context);
        future.as_mut().poll(cx)
    }
}

/// A panic of what is polled ends its span: whoever has the span only learns that the future is gone.
struct Polled<'a>(&'a Context);

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end_failed(self.0, error_type::PANIC, &PANICKED);
        }
    }
}

const PANICKED: &str = "the handler panicked";

/// A context as messages have it.
fn to_travel(context: &SpanContext) -> TraceContext {
    TraceContext {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
        flags: context.trace_flags().to_u8(),
    }
}

/// The context that a message has brought, if it is one.
pub(super) fn from_peer(trace: TraceContext) -> Option<SpanContext> {
    let context = SpanContext::new(
        TraceId::from_bytes(trace.trace_id),
        SpanId::from_bytes(trace.span_id),
        TraceFlags::new(trace.flags),
        true,
        opentelemetry::trace::TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
