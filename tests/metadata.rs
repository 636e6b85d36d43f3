//! Metadata of messages: who gets it, and what everybody else gets.

mod support;

use std::net::SocketAddr;

use actix::prelude::*;
use actix_aiomsg::error::{MetadataError, SendError};
use actix_aiomsg::payload::{Metadata, TraceContext};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::web;
use actix_aiomsg::{AckPolicy, Sending};
use actix_web::{App, HttpResponse, HttpServer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::actors::collect;
use support::each::each;
use support::python::{PythonOptions, PythonPeer};
use support::raw_peer::{ACK, DATA_REQ, RawPeer};
use support::webdriver::Browser;
use support::{aside, eventually, within_patience};
use tokio::sync::mpsc;

const READS: u8 = 0xC4;
const REFUSED: u8 = 0xC2;

const TRACE: TraceContext = TraceContext {
    trace_id: [7; 16],
    span_id: [8; 8],
    flags: 1,
};

fn reading() -> SocketBuilder {
    Socket::builder().read_metadata(true)
}

async fn bind(socket: &Socket) -> Endpoint {
    socket.bind("127.0.0.1:0").await.unwrap()
}

async fn receive(socket: &Socket) -> Received {
    within_patience("a message", socket.recv()).await.unwrap()
}

/// The headers of a message, as `name=value`.
fn headers<T>(message: &Received<T>) -> Vec<String> {
    let text = |(name, value): (&str, &str)| format!("{name}={value}");
    message.headers().map(text).collect()
}

#[actix::test]
async fn headers_type_and_trace_go_along_from_the_first_message_on_whoever_dials() {
    for dialled_by in [Role::BindEnd, Role::ConnectEnd] {
        let (sender, receiver) = (Socket::start().unwrap(), reading().start().unwrap());
        let (listens, dials) = match dialled_by {
            Role::BindEnd => (&sender, &receiver),
            Role::ConnectEnd => (&receiver, &sender),
        };
        let sending = sender
            .send("first")
            .header("tenant", "a")
            .header("tenant", "b")
            .content_type("text/plain")
            .trace(TRACE);
        // While nobody is connected.
        sending.await.unwrap();
        dials.connect(bind(listens).await).await.unwrap();
        let first = receive(&receiver).await;
        assert_eq!(first.payload(), "first");
        assert_eq!(headers(&first), ["tenant=b"]);
        assert_eq!(first.header("tenant"), Some("b"));
        assert_eq!(first.content_type(), Some("text/plain"));
        assert_eq!(first.trace(), Some(TRACE));

        let large = vec![7; 100_000];
        let sending = sender.send(large.clone()).header("size", "large");
        let receipt = sending.receipt().await.unwrap();
        let message = receive(&receiver).await;
        assert_eq!(message.payload(), &large);
        assert_eq!(headers(&message), ["size=large"]);
        message.ack();
        within_patience("the receipt", receipt).await.unwrap();

        sender.send("bare").await.unwrap();
        let bare = receive(&receiver).await;
        assert_eq!(bare.payload(), "bare");
        assert!(bare.metadata().is_empty());
        assert_eq!(sender.stats().metadata_left_out, 0);
        assert_eq!(receiver.stats().bad_envelopes, 0);
    }
}

async fn refused(sending: Sending<'_>) -> SendError {
    sending.await.unwrap_err()
}

#[actix::test]
async fn what_is_published_goes_with_metadata_to_those_who_read_it_and_bare_to_all_others() {
    let publisher = Socket::builder()
        .send_mode(SendMode::Publish)
        .start()
        .unwrap();
    let endpoint = bind(&publisher).await;
    let (reader, other) = (reading().start().unwrap(), Socket::start().unwrap());
    for socket in [&reader, &other] {
        socket.connect(endpoint.clone()).await.unwrap();
    }
    within_patience("both", publisher.wait_for_peers(2))
        .await
        .unwrap();
    let large = "x".repeat(20_000);
    for number in 0..300 {
        let text = match number % 50 {
            0 => format!("{number} {large}"),
            _ => number.to_string(),
        };
        match number % 3 {
            0 => publisher.send(text).header("n", number.to_string()).await,
            _ => publisher.send(text).await,
        }
        .unwrap();
    }
    for (socket, reads) in [(&reader, true), (&other, false)] {
        for number in 0..300 {
            let message = receive(socket).await;
            let text = message.text().unwrap();
            assert_eq!(text.split(' ').next(), Some(&*number.to_string()));
            let expected = (reads && number % 3 == 0).then(|| format!("n={number}"));
            assert_eq!(headers(&message), Vec::from_iter(expected), "{number}");
        }
    }
    assert_eq!(publisher.stats().metadata_left_out, 100);
}

#[actix::test]
async fn what_waits_goes_with_metadata_or_without_by_the_peer_that_takes_it() {
    let sender = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], bind(&sender).await.port().unwrap()));
    let sending = sender.send("order").header("tenant", "a");
    let receipt = sending.receipt().await.unwrap();

    // Whoever reads none gets the bare payload, and dies over it.
    let bare = aside(move || {
        let mut peer = RawPeer::introduced(address, [1; 16]);
        peer.expect_data_req().1
    });
    assert_eq!(bare.await, b"order");
    assert_eq!(sender.stats().metadata_left_out, 1);

    // Whoever reads it gets the same message with it, and dies, too.
    let wrapped = aside(move || {
        let mut peer = RawPeer::connect(address);
        let hello = support::raw_peer::hello([2; 16]);
        peer.say(&[hello, support::raw_peer::frame(READS, &[1, 1])].concat());
        peer.expect_hello();
        peer.expect_data_req().1
    });
    assert_eq!(
        wrapped.await,
        b"\xa1ENV\x01\x00\x00\x0b\x01\x06tenant\x00\x01aorder"
    );

    let receiver = reading().start().unwrap();
    receiver.connect(format!("tcp://{address}")).await.unwrap();
    let message = receive(&receiver).await;
    assert_eq!(
        (message.text(), headers(&message)),
        (Ok("order"), vec!["tenant=a".to_owned()])
    );
    message.ack();
    within_patience("the receipt", receipt).await.unwrap();
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    of: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cost(u64);

payload!(Order = "order ", Price = "price " => Cost, Cost);

/// Tells of orders, and answers for prices.
struct Shop {
    socket: WeakSocket,
    told: mpsc::UnboundedSender<(u64, Vec<String>)>,
}

impl Actor for Shop {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.socket.subscribe::<Order>(ctx);
        self.socket.serve::<Price>(ctx);
    }
}

impl Handler<Received<Order>> for Shop {
    type Result = ();

    fn handle(&mut self, order: Received<Order>, _: &mut Context<Self>) {
        self.told.send((order.id, headers(&order))).unwrap();
    }
}

impl Handler<Ask<Price>> for Shop {
    type Result = Answer<Price>;

    fn handle(&mut self, ask: Ask<Price>, _: &mut Context<Self>) -> Self::Result {
        assert_eq!(ask.trace(), Some(TRACE));
        let factor = ask.header("factor").unwrap_or("1");
        Ok(Cost(ask.of * factor.parse::<u64>()?))
    }
}

#[actix::test]
async fn topics_and_typed_handlers_see_the_payload_alone() {
    let (sender, receiver) = (Socket::start().unwrap(), reading().start().unwrap());
    let (told, mut heard) = mpsc::unbounded_channel();
    let socket = receiver.downgrade();
    Shop { socket, told }.start();
    sender.connect(bind(&receiver).await).await.unwrap();
    for id in 0..10 {
        let order = Order { id };
        let sending = sender.send_typed(&order).header("id", id.to_string());
        sending.acknowledged().await.unwrap();
        let (got, headers) = within_patience("an order", heard.recv()).await.unwrap();
        assert_eq!((got, headers), (id, vec![format!("id={id}")]));
    }
    let ask = |of| sender.ask(Whom::Any, &Price { of }).trace(TRACE);
    assert_eq!(ask(7).header("factor", "6").await, Ok(Cost(42)));
    assert_eq!(ask(7).await, Ok(Cost(7)));
}

#[actix::test]
async fn a_relay_sends_metadata_on() {
    let (first, relay, last) = (
        Socket::start().unwrap(),
        reading().start().unwrap(),
        reading().start().unwrap(),
    );
    let next = Socket::start().unwrap();
    next.connect(bind(&last).await).await.unwrap();
    each(&relay, move |message| next.forward(message));
    first.connect(bind(&relay).await).await.unwrap();
    let sending = first.send("on its way").header("hop", "1").trace(TRACE);
    sending.acknowledged().await.unwrap();
    let message = receive(&last).await;
    assert_eq!(message.payload(), "on its way");
    assert_eq!(
        (headers(&message), message.trace()),
        (vec!["hop=1".to_owned()], Some(TRACE))
    );
}

#[actix::test]
async fn what_is_above_a_limit_is_refused_and_handed_back() {
    let socket = Socket::builder().max_frame_bytes(2_000).start().unwrap();
    let send = || socket.send("kept");
    let error = refused(send().header("", "nameless")).await;
    assert!(matches!(
        &error,
        SendError::Metadata { error: MetadataError::Name(_), payload } if payload == "kept"
    ));
    let many = (0..65).fold(send(), |all, n| all.header(n.to_string(), ""));
    assert_eq!(
        refused(many).await.to_string(),
        "a message has at most 64 headers, and this one has 65"
    );
    let error = refused(send().header("large", "x".repeat(9_000))).await;
    assert_eq!(error.clone().into_payload(), "kept");
    assert!(matches!(
        error,
        SendError::Metadata {
            error: MetadataError::TooLarge(_),
            ..
        }
    ));
    // The frame limit holds for payload and metadata together.
    let error = refused(send().header("large", "x".repeat(1_990))).await;
    assert!(matches!(error, SendError::TooLarge { .. }), "{error:?}");
    assert_eq!(socket.stats().outbox_messages, 0);
    let metadata = Metadata::new().with_header("a", "1");
    send().metadata(metadata).await.unwrap();
    assert_eq!(socket.stats().outbox_messages, 1);
}

#[actix::test]
async fn the_envelope_before_a_payload_that_looks_like_one_counts_for_the_frame_limit() {
    const MOST: usize = 2_000;
    let limited = || reading().max_frame_bytes(MOST as u32).start().unwrap();
    let (sender, receiver) = (limited(), limited());
    sender.connect(bind(&receiver).await).await.unwrap();
    let looks_so = |length: usize| {
        let mut payload = b"\xa1ENV".to_vec();
        payload.resize(length, 7);
        payload
    };
    let (most, above) = (looks_so(MOST - 10), looks_so(MOST - 9));
    let error = refused(sender.send(above.clone())).await;
    assert!(matches!(error, SendError::TooLarge { .. }), "{error:?}");
    sender.send(most.clone()).await.unwrap();
    let message = receive(&receiver).await;
    assert_eq!(message.payload(), &most);
    let error = message.reply(above.clone()).unwrap_err();
    assert!(matches!(error, SendError::TooLarge { .. }), "{error:?}");
    message.reply(most.clone()).unwrap();
    assert_eq!(receive(&sender).await.payload(), &most);
    // Others of that length do without an envelope.
    sender.send(vec![7; MOST - 9]).await.unwrap();
    assert_eq!(receive(&receiver).await.payload().len(), MOST - 9);
}

#[actix::test]
async fn a_payload_that_looks_like_an_envelope_arrives_as_it_was_sent() {
    const LOOKS_SO: &[&[u8]] = &[
        b"\xa1ENV",
        b"\xa1ENV\x01\x00\x00\x01\x00body",
        b"\xa1ENV\x01\x00\xff\xffbody",
        b"\xa1ENV and more",
    ];
    for (receiver, publishes) in [
        (reading(), false),
        (Socket::builder(), false),
        (reading(), true),
    ] {
        let receiver = receiver.start().unwrap();
        let mode = match publishes {
            true => SendMode::Publish,
            false => SendMode::RoundRobin,
        };
        let sender = Socket::builder().send_mode(mode).start().unwrap();
        sender.connect(bind(&receiver).await).await.unwrap();
        within_patience("the peer", sender.wait_for_peers(1))
            .await
            .unwrap();
        let mut expected = Vec::new();
        for round in 0..50_usize {
            let payload = LOOKS_SO[round % LOOKS_SO.len()];
            sender.send(payload).await.unwrap();
            sender.send("plain").await.unwrap();
            expected.extend([payload, b"plain"]);
        }
        for payload in expected {
            let message = receive(&receiver).await;
            assert_eq!(message.payload(), payload);
            assert!(message.metadata().is_empty());
        }
        assert_eq!(receiver.stats().bad_envelopes, 0);
    }
}

#[actix::test]
async fn a_bad_envelope_is_refused_counted_and_costs_nothing_else() {
    for policy in [AckPolicy::OnHandled, AckPolicy::OnReceipt] {
        bad_envelope(policy).await;
    }
}

async fn bad_envelope(policy: AckPolicy) {
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let builder = reading().ack_policy(policy).on_dead_letter(recipient);
    let socket = builder.start().unwrap();
    let mut collected = collect(&socket);
    let address = SocketAddr::from(([127, 0, 0, 1], bind(&socket).await.port().unwrap()));
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(address, [9; 16]);
        peer.data(b"\xa1ENV\x01\x00\xff\xff");
        peer.data_req([3; 16], b"\xa1ENV\x01\x00\x00\x02\x01\x00body");
        peer.data_req([4; 16], b"\xa1ENV\x01\x00\x00\x06\x01\x01a\x00\x01bbody");
        let mut told = Vec::new();
        while told.len() < 3 {
            let frame = peer.read().unwrap().expect("the connection goes on");
            match frame.kind {
                REFUSED => told.push((REFUSED, frame.body[1..17].to_vec(), Some(frame.body[17]))),
                ACK => told.push((ACK, frame.body, None)),
                DATA_REQ => panic!("nobody sends"),
                _ => {}
            }
        }
        (peer, told)
    });
    let (_peer, mut told) = peer.await;
    told.sort();
    assert_eq!(
        told,
        [
            (ACK, vec![3; 16], None),
            (ACK, vec![4; 16], None),
            (REFUSED, vec![3; 16], Some(3)),
        ]
    );
    assert_eq!(collected.next().await.1, "body");
    for _ in 0..2 {
        let letter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Undecodable);
        assert!(letter.detail.unwrap().contains("metadata"));
    }
    assert_eq!(socket.stats().bad_envelopes, 2);
    assert_eq!(socket.stats().losses.undecodable, 2);
    assert_eq!(socket.stats().peers, 1);
}

#[actix::test]
async fn a_python_peer_gets_the_bare_payload_in_the_conversation_of_those_who_read_metadata() {
    let publisher = reading().send_mode(SendMode::Publish).start().unwrap();
    let port = bind(&publisher).await.port().unwrap();
    let mut connected = PythonPeer::start(&PythonOptions::connect(port)).await;
    let mut bound = PythonPeer::start(&PythonOptions::bind(0)).await;
    publisher.connect(("127.0.0.1", bound.port)).await.unwrap();
    let reader = reading().start().unwrap();
    reader.connect(("127.0.0.1", port)).await.unwrap();
    within_patience("all three", publisher.wait_for_peers(3))
        .await
        .unwrap();
    for number in 0..20 {
        let sending = publisher
            .send(format!("n{number}"))
            .header("n", number.to_string());
        sending.await.unwrap();
    }
    let bare: Vec<_> = (0..20).map(|number| format!("n{number}")).collect();
    assert_eq!(connected.receive(20).await, bare);
    assert_eq!(bound.receive(20).await, bare);
    for (number, payload) in bare.iter().enumerate() {
        let message = receive(&reader).await;
        assert_eq!(message.payload(), payload);
        assert_eq!(headers(&message), [format!("n={number}")]);
    }
    assert_eq!(publisher.stats().metadata_left_out, 40);
    // And they are heard as ever.
    connected.send("from python");
    let message = receive(&publisher).await;
    assert_eq!(message.payload(), "from python");
    assert!(message.metadata().is_empty());
}

const MODULE: &str = include_str!("../examples/browser/aiomsg.js");

/// Serves a page with nothing on it, the module, and the socket.
fn serve(socket: &Socket) -> SocketAddr {
    let socket = socket.clone();
    let server = HttpServer::new(move || {
        let file = |kind: &'static str, text: &'static str| {
            let answer = move || async move { HttpResponse::Ok().content_type(kind).body(text) };
            actix_web::web::get().to(answer)
        };
        App::new()
            .route("/", file("text/html", "<title>t</title>"))
            .route("/aiomsg.js", file("text/javascript", MODULE))
            .service(web::endpoint("/aiomsg", &socket))
    });
    let server = server.workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0];
    actix::spawn(server.run());
    address
}

#[actix::test]
async fn the_browser_module_gets_the_bare_payload_in_the_same_conversation() {
    let publisher = reading().send_mode(SendMode::Publish).start().unwrap();
    let endpoint = bind(&publisher).await;
    let address = serve(&publisher);
    let browser = Browser::start().await;
    browser.open(&format!("http://{address}/")).await;
    let mut python = PythonPeer::start(&PythonOptions::connect(endpoint.port().unwrap())).await;
    let reader = reading().start().unwrap();
    reader.connect(endpoint).await.unwrap();
    let talking = browser.run(
        "const socket = aiomsg.connect('/aiomsg');
         await socket.send('hello');
         const told = [];
         for await (const message of socket) {
           told.push(message.text());
           if (told.length === 5) return { told, stats: socket.stats };
         }",
        json!({}),
    );
    let answering = async {
        assert_eq!(receive(&publisher).await.payload(), "hello");
        within_patience("all three", publisher.wait_for_peers(3))
            .await
            .unwrap();
        for number in 0..5 {
            let sending = publisher.send(format!("n{number}")).header("n", "1");
            sending.await.unwrap();
        }
    };
    let (told, ()) = tokio::join!(talking, answering);
    assert_eq!(
        told["told"],
        json!(["n0", "n1", "n2", "n3", "n4"]),
        "{told}"
    );
    assert_eq!(python.receive(5).await, ["n0", "n1", "n2", "n3", "n4"]);
    for number in 0..5 {
        let message = receive(&reader).await;
        assert_eq!(message.payload(), &format!("n{number}"));
        assert_eq!(headers(&message), ["n=1"]);
    }
    assert_eq!(publisher.stats().metadata_left_out, 10);
}

#[actix::test]
async fn the_next_start_sends_the_metadata_of_what_it_found() {
    let path = std::env::temp_dir().join(format!("aiomsg-metadata-{}", Identity::random()));
    let start = || {
        Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox(&path)
            .start()
            .unwrap()
    };
    let first = start();
    first
        .send("kept")
        .header("tenant", "a")
        .trace(TRACE)
        .await
        .unwrap();
    first.send("plain").await.unwrap();
    first.close_within(std::time::Duration::ZERO).await;
    let second = start();
    let receiver = reading().start().unwrap();
    second.connect(bind(&receiver).await).await.unwrap();
    let kept = receive(&receiver).await;
    assert_eq!(kept.payload(), "kept");
    assert_eq!(
        (headers(&kept), kept.trace()),
        (vec!["tenant=a".to_owned()], Some(TRACE))
    );
    kept.ack();
    let plain = receive(&receiver).await;
    assert_eq!(
        (plain.text(), plain.metadata().is_empty()),
        (Ok("plain"), true)
    );
    plain.ack();
    eventually("an empty store", || second.stats().stored_messages == 0).await;
    second.close().await;
    // It may never have been made.
    let _ = std::fs::remove_file(&path);
}
