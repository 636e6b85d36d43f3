//! The beginning of spans: their names, kinds, parents, links and attributes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanKind, TraceContextExt, Tracer as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue, StringValue, global};

use super::described::{Incoming, Outgoing};
use super::live::{Parent, SendSpan, Span, from_peer, hex};
use super::relation::SpanRelation;
use crate::id::{Identity, MessageId};
use crate::payload::TraceContext;

/// What a span is of.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Send,
    Publish,
    Process,
    Receive,
    Ask,
    Answer,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Publish => "publish",
            Self::Process => "process",
            Self::Receive => "receive",
            Self::Ask => "ask",
            Self::Answer => "answer",
        }
    }

    /// The type by the conventions.
    const fn operation_type(self) -> &'static str {
        match self {
            Self::Send | Self::Publish | Self::Ask => "send",
            Self::Process | Self::Answer => "process",
            Self::Receive => "receive",
        }
    }

    const fn kind(self) -> SpanKind {
        match self {
            Self::Send | Self::Publish => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            Self::Receive | Self::Ask => SpanKind::Client,
            Self::Answer => SpanKind::Server,
        }
    }
}

/// The spans of a socket, if it has some. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Tracing(Option<Arc<SocketTracer>>);

struct SocketTracer {
    tracer: BoxedTracer,
    relation: SpanRelation,
    /// The identity of the socket.
    client: StringValue,
    /// The name of the socket.
    socket: Option<StringValue>,
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = self.0.as_ref().map(|tracer| tracer.relation);
        f.debug_tuple("Tracing").field(&relation).finish()
    }
}

impl Tracing {
    /// Spans by the provider that the program has set by now.
    pub(crate) fn start(relation: SpanRelation, identity: Identity, name: Option<&str>) -> Self {
        let scope = InstrumentationScope::builder("actix-aiomsg")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url("https://opentelemetry.io/schemas/1.45.0")
            .build();
        Self(Some(Arc::new(SocketTracer {
            tracer: global::tracer_with_scope(scope),
            relation,
            client: shared(&identity.to_string()),
            socket: name.map(shared),
        })))
    }

    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span that what is called now belongs to.
    #[inline]
    pub(crate) fn parent(&self) -> Parent {
        Parent(self.0.as_ref().map(|_| Context::current()))
    }

    /// A send that belongs to what is called now.
    pub(crate) fn prepare_send(&self, topic: &'static str) -> SendSpan {
        SendSpan::prepared(self.parent(), topic)
    }

    /// A message is sent.
    #[inline]
    pub(crate) fn send(
        &self,
        parent: &Parent,
        topic: &str,
        message: impl FnOnce() -> Outgoing,
    ) -> Span {
        match &self.0 {
            None => Span::default(),
            Some(tracer) => tracer.send(parent, topic, &message()),
        }
    }

    /// Somebody is asked, who answers to this topic, or by this service.
    #[inline]
    pub(crate) fn ask(&self, parent: &Parent, topic: &str, given: Option<TraceContext>) -> Span {
        match &self.0 {
            None => Span::default(),
            Some(tracer) => {
                let links = Vec::from_iter(given.and_then(from_peer).map(Link::with_context));
                let parent = parent.context();
                let span = tracer.begin(Operation::Ask, topic, None, links, &parent);
                Span::begun(parent.with_span(span))
            }
        }
    }

    /// The spans of what one handler handles: messages of this topic, or of this service.
    pub(crate) fn consumer(&self, topic: &str, group: Option<&str>) -> Consumer {
        Consumer(self.0.as_ref().map(|tracer| {
            Arc::new(Handled {
                tracer: Arc::clone(tracer),
                topic: topic.trim_end().to_owned(),
                group: group.map(shared),
            })
        }))
    }
}

impl SocketTracer {
    /// Begins a span with what samplers may want to know.
    fn begin(
        &self,
        operation: Operation,
        topic: &str,
        group: Option<&StringValue>,
        links: Vec<Link>,
        parent: &Context,
    ) -> BoxedSpan {
        let topic = topic.trim_end();
        let name = match topic {
            "" => Cow::Borrowed(operation.name()),
            topic => Cow::Owned(format!("{} {topic}", operation.name())),
        };
        let mut attributes = Vec::with_capacity(12);
        attributes.extend([
            KeyValue::new("messaging.system", "aiomsg"),
            KeyValue::new("messaging.operation.name", operation.name()),
            KeyValue::new("messaging.operation.type", operation.operation_type()),
            KeyValue::new("messaging.client.id", self.client.clone()),
        ]);
        if let Some(socket) = &self.socket {
            attributes.push(KeyValue::new("messaging.aiomsg.socket", socket.clone()));
        }
        if !topic.is_empty() {
            attributes.push(KeyValue::new(
                "messaging.destination.name",
                topic.to_owned(),
            ));
        }
        if let Some(group) = group {
            attributes.push(KeyValue::new(
                "messaging.consumer.group.name",
                group.clone(),
            ));
        }
        let mut builder = SpanBuilder::from_name(name).with_kind(operation.kind());
        builder.attributes = Some(attributes);
        builder.links = (!links.is_empty()).then_some(links);
        self.tracer.build_with_context(builder, parent)
    }

    #[cold]
    fn send(&self, parent: &Parent, topic: &str, message: &Outgoing) -> Span {
        let operation = match message.publishes {
            true => Operation::Publish,
            false => Operation::Send,
        };
        // The context that the program gave goes with the message, and is not replaced by this span's.
        let links = Vec::from_iter(message.given.and_then(from_peer).map(Link::with_context));
        let parent = parent.context();
        let mut span = self.begin(operation, topic, None, links, &parent);
        if span.is_recording() {
            describe(&mut span, message.bytes, message.peer, message.id);
        }
        Span::begun(parent.with_span(span))
    }
}

/// The spans of what one handler handles, if its socket has some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer(Option<Arc<Handled>>);

struct Handled {
    tracer: Arc<SocketTracer>,
    topic: String,
    group: Option<StringValue>,
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handled")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// A message goes to its handler.
    #[inline]
    pub(crate) fn process(&self, message: impl FnOnce() -> Incoming) -> Span {
        match &self.0 {
            None => Span::default(),
            Some(handled) => handled.begin(Operation::Process, &message()),
        }
    }

    /// An ask goes to its handler.
    #[inline]
    pub(crate) fn answer(&self, ask: impl FnOnce() -> Incoming) -> Span {
        match &self.0 {
            None => Span::default(),
            Some(handled) => handled.begin(Operation::Answer, &ask()),
        }
    }

    /// A message has been handed to whoever asked for the next one.
    #[inline]
    pub(crate) fn receive(&self, message: impl FnOnce() -> Incoming) {
        if let Some(handled) = &self.0 {
            handled.begin(Operation::Receive, &message()).succeed();
        }
    }
}

impl Handled {
    #[cold]
    fn begin(&self, operation: Operation, message: &Incoming) -> Span {
        let remote = message.creation.and_then(from_peer);
        let ambient = Context::current();
        let is_child = match operation {
            Operation::Answer => true,
            _ => self.tracer.relation == SpanRelation::Child,
        };
        let mut links = Vec::new();
        if let Some(remote) = &remote
            && !matches!(operation, Operation::Answer)
        {
            links.push(Link::with_context(remote.clone()));
        }
        let parent = match remote {
            Some(remote) if is_child => {
                let around = ambient.span().span_context().clone();
                if around.is_valid() {
                    links.push(Link::with_context(around));
                }
                ambient.with_remote_span_context(remote)
            }
            _ => ambient,
        };
        let group = self.group.as_ref();
        let mut span = self
            .tracer
            .begin(operation, &self.topic, group, links, &parent);
        if span.is_recording() {
            describe(&mut span, message.bytes, Some(message.peer), message.id);
            if let Some(ask) = message.ask {
                let id = hex(&ask);
                span.set_attribute(KeyValue::new("messaging.message.conversation_id", id));
            }
        }
        Span::begun(parent.with_span(span))
    }
}

fn describe(span: &mut BoxedSpan, bytes: usize, peer: Option<Identity>, id: Option<MessageId>) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    span.set_attribute(KeyValue::new("messaging.message.body.size", bytes));
    if let Some(peer) = peer {
        span.set_attribute(KeyValue::new("messaging.aiomsg.peer", peer.to_string()));
    }
    if let Some(id) = id {
        span.set_attribute(KeyValue::new("messaging.message.id", id.to_string()));
    }
}

fn shared(text: &str) -> StringValue {
    Arc::<str>::from(text).into()
}
