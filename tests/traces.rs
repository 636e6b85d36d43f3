//! Spans of what sockets send, receive, ask and answer, as an exporter gets them.

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix::dev::MessageResponse;
use actix::prelude::*;
use actix_aiomsg::outbox::{DeadLetterBounds, LetterFilter};
use actix_aiomsg::payload::TraceContext;
use actix_aiomsg::prelude::*;
use actix_aiomsg::relay::Relay;
use actix_aiomsg::trace::SpanRelation;
use opentelemetry::trace::{FutureExt, SpanId, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context as Trace, Value, global};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use serde::{Deserialize, Serialize};
use support::each::{Each, each};
use support::panics::print_panics_briefly;
use support::raw_peer::RawPeer;
use support::{aside, eventually, within_patience};

/// All spans of this process that have ended.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// The exporter of the provider that all tests of this program share.
fn spans() -> &'static Spans {
    static SPANS: OnceLock<Spans> = OnceLock::new();
    SPANS.get_or_init(|| {
        let spans = Spans::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        global::set_tracer_provider(provider);
        spans
    })
}

/// A socket with spans, by a name that no other has.
fn traced(relation: SpanRelation) -> SocketBuilder {
    spans();
    Socket::builder()
        .name(Identity::random().to_string())
        .traces(relation)
}

fn linked() -> SocketBuilder {
    traced(SpanRelation::Linked)
}

/// A value of a span, as text.
fn value(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|at| at.key.as_str() == key)?;
    Some(match &found.value {
        Value::I64(number) => number.to_string(),
        other => other.as_str().into_owned(),
    })
}

/// The spans of a socket that have ended, by the name of the operation.
fn of(socket: &Socket, operation: &str) -> Vec<SpanData> {
    let client = Some(socket.identity().to_string());
    let all = spans().0.lock().unwrap();
    all.iter()
        .filter(|span| value(span, "messaging.client.id") == client)
        .filter(|span| value(span, "messaging.operation.name").as_deref() == Some(operation))
        .cloned()
        .collect()
}

/// Waits for the spans of a socket.
async fn ended(socket: &Socket, operation: &str, count: usize) -> Vec<SpanData> {
    let what = format!("{count} spans of {operation}");
    eventually(&what, || of(socket, operation).len() >= count).await;
    let found = of(socket, operation);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

async fn bind(socket: &Socket) -> Endpoint {
    socket.bind("127.0.0.1:0").await.unwrap()
}

async fn connected(from: &Socket, to: &Socket) {
    from.connect(bind(to).await).await.unwrap();
    within_patience("a peer", from.wait_for_peers(1))
        .await
        .unwrap();
}

/// A span of the program's own, around what is done inside of it.
async fn inside<T>(work: impl Future<Output = T>) -> (Trace, T) {
    let context = Trace::current_with_span(global::tracer("test").start("outside"));
    let done = work.with_context(context.clone()).await;
    (context, done)
}

fn is_child(span: &SpanData, parent: &SpanData) -> bool {
    span.parent_span_id == parent.span_context.span_id()
        && span.span_context.trace_id() == parent.span_context.trace_id()
}

fn links_to(span: &SpanData, other: &SpanData) -> bool {
    let id = other.span_context.span_id();
    span.links
        .iter()
        .any(|link| link.span_context.span_id() == id)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Price {
    of: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cost(u64);

payload!(Order = "order ", Price = "price " => Cost, Cost = "cost ");

#[actix::test]
async fn a_send_has_a_span_and_its_handling_has_one_with_a_link_to_it() {
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    each(&receiver, |_| ());
    connected(&sender, &receiver).await;
    let (outside, sent) = inside(async { sender.send("twelve bytes").await }).await;
    sent.unwrap();
    let send = ended(&sender, "send", 1).await.remove(0);
    assert_eq!(
        (&*send.name, &send.span_kind),
        ("send", &SpanKind::Producer)
    );
    assert_eq!(send.parent_span_id, outside.span().span_context().span_id());
    let process = ended(&receiver, "process", 1).await.remove(0);
    assert_eq!(
        (&*process.name, &process.span_kind),
        ("process", &SpanKind::Consumer)
    );
    assert!(links_to(&process, &send), "{process:#?}");
    assert_eq!(process.parent_span_id, SpanId::INVALID);
    assert_ne!(
        process.span_context.trace_id(),
        send.span_context.trace_id(),
        "it belongs to a trace of its own"
    );
    let both = [(&send, &sender, "send"), (&process, &receiver, "process")];
    for (span, socket, operation_type) in both {
        let told = |key: &str| value(span, key).unwrap_or_else(|| panic!("{key}: {span:#?}"));
        assert_eq!(told("messaging.system"), "aiomsg");
        assert_eq!(told("messaging.operation.type"), operation_type);
        assert_eq!(told("messaging.message.body.size"), "12");
        assert_eq!(told("messaging.client.id"), socket.identity().to_string());
        assert_eq!(span.status, Status::Unset);
        assert_eq!(value(span, "error.type"), None);
        assert_eq!(span.instrumentation_scope.name(), "actix-aiomsg");
        let schema = span.instrumentation_scope.schema_url();
        assert_eq!(schema, Some("https://opentelemetry.io/schemas/1.45.0"));
    }
    let peer = value(&process, "messaging.aiomsg.peer");
    assert_eq!(peer, Some(sender.identity().to_string()));
}

#[actix::test]
async fn a_reply_has_a_send_span_below_the_handling_and_its_own_handling_has_a_link_to_it() {
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    each(&receiver, |message: Received| {
        // More than one, so that none takes a way of its own.
        for _ in 0..3 {
            message.reply("twelve bytes").unwrap();
        }
        message.reply(&Order { id: 1 }).unwrap();
    });
    each(&sender, |_| ());
    connected(&sender, &receiver).await;
    sender.send("news").await.unwrap();
    let process = ended(&receiver, "process", 1).await.remove(0);
    let replies = ended(&receiver, "send", 4).await;
    let handled = ended(&sender, "process", 4).await;
    for (reply, handled) in replies.iter().zip(&handled) {
        assert_eq!(reply.span_kind, SpanKind::Producer);
        assert!(is_child(reply, &process));
        assert_eq!(
            value(reply, "messaging.aiomsg.peer"),
            Some(sender.identity().to_string())
        );
        assert!(links_to(handled, reply));
    }
    assert_eq!(
        value(&replies[0], "messaging.message.body.size").as_deref(),
        Some("12")
    );
    assert_eq!(&*replies[3].name, "send order");

    let small = linked().max_frame_bytes(100).start().unwrap();
    each(&small, |message: Received| {
        assert!(message.reply(vec![0; 200]).is_err());
    });
    let sender = linked().start().unwrap();
    connected(&sender, &small).await;
    sender.send("news").await.unwrap();
    let failed = ended(&small, "send", 1).await.remove(0);
    assert_eq!(value(&failed, "error.type").as_deref(), Some("too_large"));
}

#[actix::test]
async fn a_handling_is_the_child_of_its_send_by_option_and_has_the_link_as_well() {
    let sender = linked().start().unwrap();
    let receiver = traced(SpanRelation::Child).start().unwrap();
    each(&receiver, |_| ());
    connected(&sender, &receiver).await;
    sender.send("news").await.unwrap();
    let send = ended(&sender, "send", 1).await.remove(0);
    let process = ended(&receiver, "process", 1).await.remove(0);
    assert!(is_child(&process, &send) && links_to(&process, &send));
    assert!(process.parent_span_is_remote);
}

async fn send_on(next: Socket) {
    // Not at once, so that another poll of the future sends.
    tokio::task::yield_now().await;
    next.send("on").await.unwrap();
}

/// What a handler sends is the child of its span.
async fn sends_inside<F, R>(handler: impl FnOnce(Socket) -> F)
where
    F: FnMut(Received) -> R + Unpin + 'static,
    R: MessageResponse<Each<F>, Received> + 'static,
{
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    let next = linked().start().unwrap();
    each(&receiver, handler(next.clone()));
    connected(&sender, &receiver).await;
    sender.send("go").await.unwrap();
    let process = ended(&receiver, "process", 1).await.remove(0);
    let send = ended(&next, "send", 1).await.remove(0);
    assert!(is_child(&send, &process), "{send:#?}\n{process:#?}");
    assert!(
        !Trace::current().has_active_span(),
        "nothing is left behind"
    );
}

#[actix::test]
async fn what_a_handler_sends_is_a_child_of_its_span_whatever_kind_of_handler_it_is() {
    sends_inside(|next| move |_| next.try_send("on").unwrap()).await;
    sends_inside(|next| move |_| Handled::from(next.try_send("on"))).await;
    sends_inside(|next| move |_| -> ResponseFuture<()> { Box::pin(send_on(next.clone())) }).await;
    sends_inside(|next| {
        move |_| {
            let next = next.clone();
            Handled::future(async move {
                send_on(next).await;
                Ok::<_, std::fmt::Error>(())
            })
        }
    })
    .await;
}

/// Its futures are those of an actor.
struct Slow(WeakSocket, Socket);

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.subscribe::<Order>(ctx);
        self.0.subscribe::<Cost>(ctx);
    }
}

impl Handler<Received<Order>> for Slow {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Received<Order>, _: &mut Self::Context) -> Self::Result {
        Box::pin(send_on(self.1.clone()).into_actor(self))
    }
}

impl Handler<Received<Cost>> for Slow {
    type Result = ActorHandled<Self>;

    fn handle(&mut self, _: Received<Cost>, _: &mut Self::Context) -> Self::Result {
        let sending = send_on(self.1.clone()).into_actor(self);
        ActorHandled::new(sending.map(|(), _, _| Ok::<_, std::fmt::Error>(())))
    }
}

#[actix::test]
async fn what_a_future_of_an_actor_sends_is_a_child_of_its_span() {
    let (sender, next) = (linked().start().unwrap(), linked().start().unwrap());
    let receiver = linked().start().unwrap();
    Slow(receiver.downgrade(), next.clone()).start();
    connected(&sender, &receiver).await;
    sender.send_typed(&Order { id: 1 }).await.unwrap();
    let process = ended(&receiver, "process", 1).await.remove(0);
    let sent = ended(&next, "send", 1).await.remove(0);
    assert!(is_child(&sent, &process));
    assert_eq!(process.name, "process order");
    let destination = value(&process, "messaging.destination.name");
    assert_eq!(destination.as_deref(), Some("order"));
    sender.send_typed(&Cost(1)).await.unwrap();
    let process = ended(&receiver, "process", 2).await.remove(1);
    assert!(is_child(&ended(&next, "send", 2).await[1], &process));
}

/// Answers for prices: at once, later, with an error, or not at all.
struct Prices {
    socket: WeakSocket,
    next: Socket,
}

impl Actor for Prices {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.serve::<Price>(ctx);
    }
}

impl Supervised for Prices {}

impl Handler<Ask<Price>> for Prices {
    type Result = ResponseFuture<Answer<Price>>;

    fn handle(&mut self, ask: Ask<Price>, _: &mut Self::Context) -> Self::Result {
        let next = self.next.clone();
        assert!(ask.of != 13, "unlucky");
        Box::pin(async move {
            send_on(next).await;
            match ask.of {
                0 => Err(AskFailure::new("nothing has no price")),
                of => Ok(Cost(of)),
            }
        })
    }
}

#[actix::test]
async fn an_ask_is_a_client_span_and_its_answer_the_server_span_below_it() {
    let (client, server) = (linked().start().unwrap(), linked().start().unwrap());
    let next = linked().start().unwrap();
    let prices = Prices {
        socket: server.downgrade(),
        next: next.clone(),
    };
    prices.start();
    connected(&client, &server).await;
    let asked = inside(async { client.ask(Whom::Any, &Price { of: 7 }).await });
    let (outside, cost) = asked.await;
    assert_eq!(cost, Ok(Cost(7)));
    let ask = ended(&client, "ask", 1).await.remove(0);
    assert_eq!(
        (&*ask.name, &ask.span_kind),
        ("ask price", &SpanKind::Client)
    );
    assert_eq!(ask.parent_span_id, outside.span().span_context().span_id());
    let answer = ended(&server, "answer", 1).await.remove(0);
    assert_eq!(
        (&*answer.name, &answer.span_kind),
        ("answer price", &SpanKind::Server)
    );
    assert!(is_child(&answer, &ask));
    let conversation = value(&ask, "messaging.message.conversation_id");
    assert!(conversation.is_some());
    assert_eq!(
        value(&answer, "messaging.message.conversation_id"),
        conversation
    );
    let peer = value(&ask, "messaging.aiomsg.peer");
    assert_eq!(peer, Some(server.identity().to_string()));
    assert!(is_child(&ended(&next, "send", 1).await[0], &answer));
    assert!(of(&client, "send").is_empty(), "an ask is no send");

    let refused = client.ask(Whom::Any, &Price { of: 0 }).await;
    assert!(matches!(refused, Err(AskError::Remote(_))));
    let failed = ended(&client, "ask", 2).await.remove(1);
    assert_eq!(value(&failed, "error.type").as_deref(), Some("remote"));
    assert!(matches!(failed.status, Status::Error { .. }));
    let failed = ended(&server, "answer", 2).await.remove(1);
    let error = value(&failed, "error.type");
    assert_eq!(error.as_deref(), Some("handler_failed"));
    assert_eq!(failed.status, Status::error("nothing has no price"));
}

/// The question for a price, of somebody who takes the answer for something else.
#[derive(Debug, Serialize, Deserialize)]
struct Misread {
    of: u64,
}

payload!(Misread = "price " => Order);

#[actix::test]
async fn an_ask_whose_answer_cannot_be_read_has_failed_and_its_answer_has_not() {
    let (client, server) = (linked().start().unwrap(), linked().start().unwrap());
    Shop(server.downgrade()).start();
    let prices = Prices {
        socket: server.downgrade(),
        next: server.clone(),
    };
    prices.start();
    connected(&client, &server).await;
    let misread = client.ask(Whom::Any, &Misread { of: 7 }).await;
    assert!(matches!(misread, Err(AskError::Decode(_))), "{misread:?}");
    let misread = client.service("shop").ask(&Misread { of: 7 }).await;
    assert!(matches!(misread, Err(AskError::Decode(_))), "{misread:?}");
    for ask in ended(&client, "ask", 2).await {
        assert_eq!(value(&ask, "error.type").as_deref(), Some("decode"));
        assert!(matches!(ask.status, Status::Error { .. }));
    }
    for answer in ended(&server, "answer", 2).await {
        assert_eq!(value(&answer, "error.type"), None);
    }
}

/// Answers by a text that is larger than a frame may be.
struct Talkative(WeakSocket);

impl Actor for Talkative {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.serve::<String>(ctx);
    }
}

impl Handler<Ask<String>> for Talkative {
    type Result = Answer<String>;

    fn handle(&mut self, ask: Ask<String>, _: &mut Self::Context) -> Self::Result {
        Ok(ask.repeat(100))
    }
}

#[actix::test]
async fn an_answer_that_is_too_large_is_a_failure_of_its_handler() {
    let (client, server) = (linked().start().unwrap(), linked().max_frame_bytes(500));
    let server = server.start().unwrap();
    Talkative(server.downgrade()).start();
    connected(&client, &server).await;
    let large = client.ask(Whom::Any, &"too long".to_owned()).await;
    assert_eq!(
        large,
        Err(AskError::Remote("the answer is too large".to_owned()))
    );
    let answer = ended(&server, "answer", 1).await.remove(0);
    let error = value(&answer, "error.type");
    assert_eq!(error.as_deref(), Some("handler_failed"));
    assert_eq!(answer.status, Status::error("the answer is too large"));
}

#[actix::test]
async fn asks_of_all_peers_are_one_span_with_an_answer_for_each() {
    let client = linked().start().unwrap();
    let endpoint = bind(&client).await;
    let servers = [linked().start().unwrap(), linked().start().unwrap()];
    for server in &servers {
        let (socket, next) = (server.downgrade(), server.clone());
        Prices { socket, next }.start();
        server.connect(endpoint.clone()).await.unwrap();
    }
    within_patience("both", client.wait_for_peers(2))
        .await
        .unwrap();
    let mut replies = client
        .ask_all(&Price { of: 3 }, Duration::from_secs(30))
        .unwrap();
    while let Some((_, cost)) = replies.next().await {
        assert_eq!(cost, Ok(Cost(3)));
    }
    let ask = ended(&client, "ask", 1).await.remove(0);
    for server in &servers {
        assert!(is_child(&ended(server, "answer", 1).await[0], &ask));
    }
}

/// Offers a service of both kinds.
struct Shop(WeakSocket);

impl Actor for Shop {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let offer = self.0.offer("shop").unwrap();
        drop(offer.serve::<Price>(ctx).handle::<Order>(ctx));
    }
}

impl Handler<Ask<Price>> for Shop {
    type Result = Answer<Price>;

    fn handle(&mut self, ask: Ask<Price>, _: &mut Self::Context) -> Self::Result {
        Ok(Cost(ask.of))
    }
}

impl Handler<Received<Order>> for Shop {
    type Result = ();

    fn handle(&mut self, _: Received<Order>, _: &mut Self::Context) {}
}

#[actix::test]
async fn asks_of_a_service_and_tells_to_one_are_named_by_it() {
    let (client, provider) = (linked().start().unwrap(), linked().start().unwrap());
    Shop(provider.downgrade()).start();
    connected(&client, &provider).await;
    let shop = client.service("shop");
    assert_eq!(shop.ask(&Price { of: 9 }).await, Ok(Cost(9)));
    shop.tell(&Order { id: 1 }).acknowledged().await.unwrap();
    let (ask, answer) = (
        ended(&client, "ask", 1).await.remove(0),
        ended(&provider, "answer", 1).await.remove(0),
    );
    assert_eq!((&*ask.name, &*answer.name), ("ask shop", "answer shop"));
    assert!(is_child(&answer, &ask));
    let (send, process) = (
        ended(&client, "send", 1).await.remove(0),
        ended(&provider, "process", 1).await.remove(0),
    );
    assert_eq!((&*send.name, &*process.name), ("send shop", "process shop"));
    assert!(links_to(&process, &send));
    assert!(value(&process, "messaging.message.id").is_some());
}

#[actix::test]
async fn what_is_published_is_one_span_to_which_each_handling_has_a_link() {
    let publisher = linked().send_mode(SendMode::Publish).start().unwrap();
    let endpoint = bind(&publisher).await;
    let subscribers = [linked().start().unwrap(), linked().start().unwrap()];
    for subscriber in &subscribers {
        each(subscriber, |_| ());
        subscriber.connect(endpoint.clone()).await.unwrap();
    }
    within_patience("both", publisher.wait_for_peers(2))
        .await
        .unwrap();
    publisher.send("news").await.unwrap();
    let publish = ended(&publisher, "publish", 1).await.remove(0);
    assert_eq!(publish.span_kind, SpanKind::Producer);
    let operation = value(&publish, "messaging.operation.type");
    assert_eq!(operation.as_deref(), Some("send"));
    for subscriber in &subscribers {
        assert!(links_to(
            &ended(subscriber, "process", 1).await[0],
            &publish
        ));
    }
}

#[actix::test]
async fn what_a_relay_passes_on_keeps_its_context_and_is_sent_once() {
    let [sender, front, back, receiver] = [(); 4].map(|()| linked().start().unwrap());
    let _relay = Relay::new(&front, &back).start().unwrap();
    each(&receiver, |_| ());
    let prices = Prices {
        socket: receiver.downgrade(),
        next: linked().start().unwrap(),
    };
    prices.start();
    connected(&sender, &front).await;
    connected(&receiver, &back).await;
    sender.send("news").await.unwrap();
    let send = ended(&sender, "send", 1).await.remove(0);
    let passed = ended(&front, "process", 1).await.remove(0);
    let process = ended(&receiver, "process", 1).await.remove(0);
    assert!(links_to(&passed, &send) && links_to(&process, &send));
    let cost = sender.ask(Whom::Any, &Price { of: 7 }).await;
    assert_eq!(cost, Ok(Cost(7)));
    let ask = ended(&sender, "ask", 1).await.remove(0);
    let answer = ended(&receiver, "answer", 1).await.remove(0);
    assert!(is_child(&answer, &ask));
    for relay in [&front, &back] {
        for operation in ["send", "ask", "answer"] {
            assert!(of(relay, operation).is_empty(), "{operation}");
        }
    }
}

#[actix::test]
async fn what_is_redriven_is_not_sent_anew_and_its_handling_is_of_the_trace_of_its_send_if_that_is_known()
 {
    let [sender, receiver] = [(); 2].map(|()| {
        let letters = linked().dead_letter_queue(DeadLetterBounds::new());
        letters.start().unwrap()
    });
    let healthy = Rc::new(Cell::new(false));
    let heals = Rc::clone(&healthy);
    each(&receiver, move |message: Received| {
        if !heals.get() {
            message.reject();
        }
    });
    let late = sender.send("late").time_to_live(Duration::ZERO);
    late.await.unwrap();
    connected(&sender, &receiver).await;
    sender.send("poison").await.unwrap();
    let sends = ended(&sender, "send", 2).await;
    let rejected = ended(&receiver, "process", 1).await.remove(0);
    assert!(links_to(&rejected, &sends[1]));
    healthy.set(true);
    // A letter of what was to be sent has its metadata still, and so the context of its send; one of what was received has none.
    for (socket, processed, sent) in [(&sender, 2, Some(&sends[0])), (&receiver, 3, None)] {
        let queue = socket.dead_letter_queue();
        let redriven = queue.redrive(LetterFilter::all()).await.unwrap();
        assert_eq!(redriven.sent + redriven.delivered, 1, "{redriven:?}");
        let process = ended(&receiver, "process", processed)
            .await
            .remove(processed - 1);
        match sent {
            Some(send) => assert!(links_to(&process, send), "{process:?}"),
            None => assert!(process.links.is_empty(), "{process:?}"),
        }
        assert_eq!(process.parent_span_id, SpanId::INVALID);
    }
    assert_eq!(of(&sender, "send").len(), 2);
}

#[actix::test]
async fn what_is_delivered_again_was_sent_once_and_each_handling_has_a_link_to_that() {
    let sender = linked().resend_timeout(Duration::from_millis(1));
    let (sender, receiver) = (sender.start().unwrap(), linked().start().unwrap());
    let resent = sender.clone();
    each(&receiver, move |message: Received| {
        let resent = resent.clone();
        Handled::future(async move {
            if message.is_redelivered() {
                return Ok::<_, Infallible>(());
            }
            eventually("a resend", || resent.stats().resent > 0).await;
            message.nack(Duration::ZERO);
            Ok(())
        })
    });
    connected(&sender, &receiver).await;
    sender.send("news").acknowledged().await.unwrap();
    let process = ended(&receiver, "process", 2).await;
    let send = ended(&sender, "send", 1).await.remove(0);
    assert!(process.iter().all(|process| links_to(process, &send)));
    let error = value(&process[0], "error.type");
    assert_eq!(error.as_deref(), Some("put_off"));
}

#[actix::test]
async fn recv_has_a_span_of_its_own_with_the_link() {
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    connected(&sender, &receiver).await;
    sender.send("news").await.unwrap();
    let message = within_patience("a message", receiver.recv()).await.unwrap();
    let send = ended(&sender, "send", 1).await.remove(0);
    let receive = ended(&receiver, "receive", 1).await.remove(0);
    assert_eq!(receive.span_kind, SpanKind::Client);
    assert!(links_to(&receive, &send));
    let trace = message.trace().unwrap();
    assert_eq!(trace.span_id, send.span_context.span_id().to_bytes());
}

#[actix::test]
async fn a_trace_that_the_program_gives_a_message_stays_and_is_linked() {
    const GIVEN: TraceContext = TraceContext {
        trace_id: [7; 16],
        span_id: [8; 8],
        flags: 1,
    };
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    connected(&sender, &receiver).await;
    sender.send("news").trace(GIVEN).await.unwrap();
    let message = within_patience("a message", receiver.recv()).await.unwrap();
    assert_eq!(message.trace(), Some(GIVEN));
    let send = ended(&sender, "send", 1).await.remove(0);
    let link = &send.links[0].span_context;
    assert_eq!(link.span_id().to_bytes(), GIVEN.span_id);
}

#[actix::test]
async fn a_send_that_fails_has_the_kind_of_its_error() {
    let socket = linked().max_frame_bytes(100).start().unwrap();
    assert!(socket.send(vec![0; 200]).await.is_err());
    assert!(
        socket
            .try_send_to(Identity::random(), vec![0; 200])
            .is_err()
    );
    let sends = ended(&socket, "send", 2).await;
    for send in &sends {
        let error = value(send, "error.type");
        assert_eq!(error.as_deref(), Some("too_large"), "{send:#?}");
        assert!(matches!(send.status, Status::Error { .. }));
    }
    // One that is dropped before it began has none; one that waits has one that was cancelled.
    drop(socket.send("never"));
    assert_eq!(of(&socket, "send").len(), 2);
    let full = linked()
        .outbox_capacity(1, 1_000_000)
        .outbox_overflow(Overflow::Wait)
        .start()
        .unwrap();
    full.send("first").await.unwrap();
    let mut waits = Box::pin(full.send("second"));
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(waits.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    drop(waits);
    let waited = ended(&full, "send", 2).await.remove(1);
    assert_eq!(value(&waited, "error.type").as_deref(), Some("cancelled"));
}

#[actix::test]
async fn handlers_that_fail_have_the_kind_of_their_failure() {
    print_panics_briefly();
    let (sender, receiver) = (linked().start().unwrap(), linked().start().unwrap());
    each(&receiver, |message: Received| -> Handled {
        match message.text() {
            Ok("reject") => {
                message.reject();
                Ok::<_, &str>(()).into()
            }
            Ok("later") => Handled::future(async { Err("too late") }),
            _ => Err("cannot be").into(),
        }
    });
    connected(&sender, &receiver).await;
    let mut expected = Vec::new();
    for (text, kind) in [
        ("fails", "handler_failed"),
        ("reject", "rejected"),
        ("later", "handler_failed"),
    ] {
        // In order: nobody waits for an acknowledgement.
        sender.send(text).await.unwrap();
        expected.push(kind);
        let process = ended(&receiver, "process", expected.len()).await;
        let kinds: Vec<_> = process
            .iter()
            .map(|span| value(span, "error.type"))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|kind| Some((*kind).to_owned()))
            .collect();
        assert_eq!(kinds, expected);
    }

    let typed = linked().start().unwrap();
    Slow(typed.downgrade(), typed.clone()).start();
    let sender = linked().start().unwrap();
    connected(&sender, &typed).await;
    sender.send("order not JSON").await.unwrap();
    let process = ended(&typed, "process", 1).await.remove(0);
    let error = value(&process, "error.type");
    assert_eq!(error.as_deref(), Some("undecodable"));
}

#[actix::test]
async fn a_handler_that_panics_leaves_a_span_that_says_so() {
    print_panics_briefly();
    let (client, server) = (linked().start().unwrap(), linked().start().unwrap());
    let (socket, next) = (server.downgrade(), server.clone());
    let prices = supervise(move || Prices {
        socket: socket.clone(),
        next: next.clone(),
    });
    let _prices = prices.start();
    connected(&client, &server).await;
    let failed = client.ask(Whom::Any, &Price { of: 13 }).await;
    assert!(matches!(failed, Err(AskError::Remote(_))), "{failed:?}");
    let answer = ended(&server, "answer", 1).await.remove(0);
    assert_eq!(value(&answer, "error.type").as_deref(), Some("panic"));
    // The next one is handled outside of that span.
    assert_eq!(client.ask(Whom::Any, &Price { of: 1 }).await, Ok(Cost(1)));
    let asks = ended(&client, "ask", 2).await;
    assert!(is_child(&ended(&server, "answer", 2).await[1], &asks[1]));
}

#[actix::test]
async fn peers_that_do_not_read_metadata_get_the_bare_payload() {
    let sender = linked().start().unwrap();
    let port = bind(&sender).await.port().unwrap();
    let bare = aside(move || {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        RawPeer::introduced(address, [1; 16]).expect_data()
    });
    sender.send("bare").await.unwrap();
    assert_eq!(bare.await, b"bare");
    assert_eq!(ended(&sender, "send", 1).await.len(), 1);
    assert_eq!(sender.stats().metadata_left_out, 1);
}

#[actix::test]
async fn a_socket_without_the_option_has_no_spans_and_sends_no_context() {
    let (sender, receiver) = (
        Socket::start().unwrap(),
        Socket::builder().read_metadata(true).start().unwrap(),
    );
    spans();
    connected(&sender, &receiver).await;
    let (_, sent) = inside(async { sender.send("news").await }).await;
    sent.unwrap();
    let message = within_patience("a message", receiver.recv()).await.unwrap();
    assert_eq!(message.trace(), None);
    assert!(of(&sender, "send").is_empty() && of(&receiver, "receive").is_empty());
}
