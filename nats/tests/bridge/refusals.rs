//! What the bridge says when something is wrong, and what it does then.

use std::time::Duration;

use actix_aiomsg::error::{DeliveryError, ReceiptError};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg_nats::async_nats::ConnectOptions;
use actix_aiomsg_nats::{Bridge, BridgeError, BridgeEvent, Inbound, Outbound, Stream};
use tokio::net::TcpListener;

use crate::support::{
    Logged, Server, acknowledged, connected, eventually, listening, payload, ports, send_all,
    stored, within_patience,
};

fn orders() -> Stream {
    Stream::new("ORDERS").subject("orders.>")
}

async fn error_of(bridge: Bridge) -> BridgeError {
    let socket = Socket::start().unwrap();
    let started = within_patience("an answer", bridge.start(&socket)).await;
    started.expect_err("it cannot start")
}

fn storing(url: &str) -> Bridge {
    Bridge::new(url).outbound(Outbound::stream(orders(), "orders.new"))
}

#[actix::test]
async fn what_keeps_a_bridge_from_starting_is_an_error_that_says_what_to_do() {
    let [port] = ports();
    let error = error_of(storing(&format!("nats://127.0.0.1:{port}"))).await;
    assert!(matches!(error, BridgeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");

    let server = Server::without_jetstream().await;
    let error = error_of(storing(&server.url())).await;
    assert!(matches!(error, BridgeError::NoJetStream { .. }), "{error}");
    assert!(error.to_string().contains("-js"), "{error}");

    let server = Server::start("authorization { user: a, password: secret }").await;
    for options in [
        ConnectOptions::new(),
        ConnectOptions::with_user_and_password("a".into(), "wrong".into()),
    ] {
        let error = error_of(storing(&server.url()).options(options)).await;
        assert!(matches!(error, BridgeError::Refused { .. }), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    let socket = Socket::start().unwrap();
    let options = ConnectOptions::with_user_and_password("a".into(), "secret".into());
    let bridge = storing(&server.url()).options(options).start(&socket).await;
    bridge.unwrap().stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_stream_that_is_there_with_other_settings_is_named_with_each_of_them() {
    let server = Server::start("").await;
    let socket = Socket::start().unwrap();
    let bridge = storing(&server.url()).start(&socket).await.unwrap();
    bridge.stop(Duration::from_secs(5)).await;
    let differing = orders()
        .duplicate_window(Duration::from_secs(60))
        .max_bytes(1000);
    let outbound = Outbound::stream(differing, "orders.new");
    let error = error_of(Bridge::new(server.url()).outbound(outbound)).await;
    let BridgeError::StreamDiffers {
        stream,
        differences,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(stream, "ORDERS");
    assert_eq!(
        differences[..],
        [
            "duplicate_window is 600s and should be 60s",
            "max_bytes is unlimited and should be 1000"
        ]
    );
    // As it is, it may be used.
    let existing = Outbound::stream(Stream::existing("ORDERS"), "orders.new");
    let bridge = Bridge::new(server.url())
        .outbound(existing)
        .start(&socket)
        .await;
    bridge.unwrap().stop(Duration::from_secs(5)).await;
    let absent = Outbound::stream(Stream::existing("OTHERS"), "others");
    let error = error_of(Bridge::new(server.url()).outbound(absent)).await;
    assert_eq!(
        error,
        BridgeError::NoStream {
            stream: "OTHERS".to_owned()
        }
    );
    let outside = Outbound::stream(orders(), "invoices.new");
    let error = error_of(Bridge::new(server.url()).outbound(outside)).await;
    assert!(
        matches!(error, BridgeError::SubjectOutside { .. }),
        "{error}"
    );
    // More copies than there are servers.
    let copies = Outbound::stream(
        Stream::new("COPIES").subject("copies").replicas(3),
        "copies",
    );
    let error = error_of(Bridge::new(server.url()).outbound(copies)).await;
    assert!(matches!(error, BridgeError::NotMade { .. }), "{error}");
}

#[actix::test]
async fn settings_that_cannot_be_used_are_refused_before_anything_is_connected() {
    let route = || Outbound::subject("a");
    let url = "nats://127.0.0.1:1";
    for (bridge, problem) in [
        (Bridge::new(url), "a way out or a way in"),
        (
            Bridge::new("nats://a:secret@127.0.0.1:1").outbound(route()),
            "with_user_and_password",
        ),
        (
            Bridge::new(url).outbound(Outbound::subject("a.*")),
            "\"a.*\"",
        ),
        (Bridge::new(url).outbound(route()).window(0), "1 to 8192"),
        (Bridge::new(url).outbound(route()).window_bytes(0), "1 GiB"),
        (
            Bridge::new(url).outbound(route()).subscription_capacity(0),
            "65536",
        ),
        (
            Bridge::new(url)
                .outbound(route())
                .ack_timeout(Duration::ZERO),
            "100ms",
        ),
        (
            Bridge::new(url)
                .outbound(route())
                .ack_timeout(Duration::MAX),
            "to 1h",
        ),
        (
            Bridge::new(url).outbound(route()).ack_wait(Duration::ZERO),
            "500ms",
        ),
        (
            Bridge::new(url).outbound(route()).ack_wait(Duration::MAX),
            "to 1h",
        ),
        (
            Bridge::new(url).inbound(Inbound::subject("a").group("b c")),
            "\"b c\"",
        ),
        (
            Bridge::new("nats://a b").outbound(route()),
            "nats://HOST:PORT",
        ),
    ] {
        let error = error_of(bridge).await;
        assert!(matches!(error, BridgeError::Configuration(_)), "{error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let socket = Socket::start().unwrap();
    socket.close().await;
    let started = Bridge::new(url).outbound(route()).start(&socket).await;
    assert_eq!(started.unwrap_err(), BridgeError::Closed);
}

#[actix::test]
async fn credentials_in_an_address_are_refused_and_shown_nowhere() {
    let bridge =
        Bridge::new("nats://a,nats://user:secret,of@mine@b:4222").outbound(Outbound::subject("a"));
    let shown = format!("{bridge:?}");
    assert!(shown.contains("@b:4222"), "{shown}");
    let error = error_of(bridge).await;
    for told in [shown, error.to_string(), format!("{error:?}")] {
        assert!(!told.contains("secret") && !told.contains("mine"), "{told}");
    }
}

#[actix::test]
async fn a_message_above_the_limit_of_the_server_or_the_stream_is_refused_and_the_next_is_stored() {
    let server = Server::start("max_payload: 4096").await;
    let jetstream = server.jetstream().await;
    let config = async_nats::jetstream::stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders".to_owned()],
        max_message_size: 2048,
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let (events, mut told) = Probe::recipient();
    let (socket, endpoint) = listening("bridge").await;
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(Stream::existing("ORDERS"), "orders"))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    for size in [10_000, 4096, 3000] {
        let sending = sender.send(vec![b'x'; size]).acknowledged();
        let error = within_patience("a verdict", sending).await.unwrap_err();
        let refused = DeliveryError::Receipt(ReceiptError::Rejected);
        assert_eq!(error.to_string(), refused.to_string(), "{size}");
    }
    acknowledged(&sender, 1).await;
    assert_eq!(stored(&jetstream, "ORDERS").await, [1]);
    let stats = bridge.stats();
    assert_eq!((stats.refused, stats.stored, stats.storing), (3, 1, 0));
    let refused = |event| match event {
        BridgeEvent::Refused { peer, .. } => Some(peer),
        _ => None,
    };
    for _ in 0..3 {
        let peer = told.find(refused).await.unwrap();
        assert_eq!(peer, Some(sender.identity()));
    }
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_stream_that_is_full_lets_senders_wait_and_goes_on_when_there_is_room() {
    let server = Server::start("").await;
    let jetstream = server.jetstream().await;
    let (socket, endpoint) = listening("bridge").await;
    let orders = Stream::new("ORDERS").subject("orders").max_bytes(1500);
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders, "orders"))
        .retry(Backoff::fixed(Duration::from_millis(50)))
        .window(1)
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    let receipts = send_all(&sender, 0..30).await;
    eventually("the stream to be full", || bridge.stats().stalls == 1).await;
    let full = stored(&jetstream, "ORDERS").await;
    assert!(full.len() < 30, "{full:?}");
    eventually("some attempts", || bridge.stats().retried > 3).await;
    assert_eq!(bridge.stats().stored, full.len() as u64);
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = -1;
    jetstream.update_stream(config).await.unwrap();
    for receipt in receipts {
        within_patience("an acknowledgement", receipt)
            .await
            .unwrap();
    }
    // One at a time: in order.
    assert_eq!(stored(&jetstream, "ORDERS").await, Vec::from_iter(0..30));
    assert_eq!(bridge.stats().stored, 30);
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_socket_that_publishes_cannot_send_messages_of_a_stream_and_the_bridge_says_so() {
    let server = Server::start("").await;
    let socket = Socket::builder()
        .send_mode(SendMode::Publish)
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let _peer = connected("peer", &endpoint).await;
    let (events, mut told) = Probe::recipient();
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(orders(), "shop"))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let jetstream = server.jetstream().await;
    jetstream
        .publish("orders.new", "one".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let refused = |event| match event {
        BridgeEvent::Failed(error) => error.to_string().contains("RoundRobin").then_some(()),
        _ => None,
    };
    told.find(refused).await.expect("it to be told");
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_subject_that_the_user_may_not_write_or_read_is_told() {
    let users = "authorization { users: [ { user: a, password: secret, permissions: { publish: { deny: [said] }, subscribe: { deny: [news] } } } ] }";
    let server = Server::start(users).await;
    let (socket, endpoint) = listening("bridge").await;
    let (events, mut told) = Probe::recipient();
    let user = ConnectOptions::with_user_and_password("a".into(), "secret".into());
    let bridge = Bridge::new(server.url())
        .options(user)
        .outbound(Outbound::subject("said"))
        .inbound(Inbound::subject("news"))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let refused = |event| match event {
        BridgeEvent::ServerError { reason, .. } => Some(reason),
        _ => None,
    };
    let reason = within_patience("it to be told", told.find(refused)).await;
    let reason = reason.unwrap();
    assert!(reason.contains("news"), "{reason}");
    let sender = connected("sender", &endpoint).await;
    sender.send(payload(0)).await.unwrap();
    let reason = within_patience("it to be told", told.find(refused)).await;
    let reason = reason.unwrap();
    assert!(reason.contains("said"), "{reason}");
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn messages_of_a_subject_that_are_dropped_are_told_with_the_reason() {
    let (logged, _logging) = Logged::begin();
    let server = Server::without_jetstream().await;
    let overrun = "NATS sends faster than the socket takes";
    let full = "every queue that could take the message is full";
    // Sixty-five wait in the client.
    for (overflow, count, reason) in [(Overflow::Wait, 200, overrun), (Overflow::Fail, 10, full)] {
        // Nobody is there, and one message may wait for somebody.
        let socket = Socket::builder()
            .outbox_capacity(1, 1_000)
            .outbox_overflow(overflow)
            .start()
            .unwrap();
        let bridge = Bridge::new(server.url())
            .inbound(Inbound::subject("news"))
            .window(1)
            .subscription_capacity(1)
            .start(&socket)
            .await
            .unwrap();
        let client = server.client().await;
        for number in 0..count {
            client
                .publish("news", payload(number).into())
                .await
                .unwrap();
        }
        eventually("more than one to be dropped", || {
            bridge.stats().overruns + bridge.stats().dropped > 1
        })
        .await;
        let line = format!("messages of a subject are dropped reason=\"{reason}\" unlogged=0");
        assert_eq!(logged.text().matches(&line).count(), 1, "{}", logged.text());
        bridge.stop(Duration::ZERO).await;
    }
    let lines = logged.text();
    assert_eq!(lines.matches("are dropped").count(), 2, "{lines}");
}

#[actix::test]
async fn a_bridge_waits_for_its_server_if_it_is_to() {
    let [port] = ports();
    let mut server = Server::prepared(port, true, "");
    let (socket, endpoint) = listening("bridge").await;
    let (events, mut told) = Probe::recipient();
    let bridge = storing(&server.url())
        .wait_for_server()
        .retry(Backoff::fixed(Duration::from_millis(50)))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    assert!(!bridge.is_up());
    let sender = connected("sender", &endpoint).await;
    let receipt = sender.send(payload(0)).receipt().await.unwrap();
    let failed = |event| match event {
        BridgeEvent::Failed(error) => Some(error),
        _ => None,
    };
    let error = told.find(failed).await.unwrap();
    assert!(matches!(error, BridgeError::Unreachable { .. }), "{error}");
    server.again().await;
    assert!(within_patience("it to be up", bridge.wait_until_up()).await);
    within_patience("an acknowledgement", receipt)
        .await
        .unwrap();
    // Told once, however often it was tried.
    let next = told.next().await.unwrap();
    assert!(matches!(next, BridgeEvent::Up), "{next:?}");
    socket.close().await;
    within_patience("it to end with its socket", bridge.ended()).await;
    assert!(!bridge.is_up());
}

#[actix::test]
async fn a_server_that_takes_the_connection_and_says_nothing_keeps_no_bridge_from_its_end() {
    let [port] = ports();
    let (socket, _) = listening("bridge").await;
    let hour = Duration::from_secs(3600);
    let bridge = storing(&format!("nats://127.0.0.1:{port}"))
        .options(ConnectOptions::new().connection_timeout(hour))
        .wait_for_server()
        .retry(Backoff::fixed(Duration::from_millis(50)))
        .start(&socket)
        .await
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let accepted = within_patience("a connection", listener.accept()).await;
    let _connection = accepted.unwrap();
    within_patience("the bridge to end", bridge.stop(hour)).await;
}
