//! JetStream is away for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg_nats::{Bridge, BridgeEvent, Inbound, Outbound, Stream};
use futures_util::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    Logged, Server, acknowledged, assert_each_once, connected, eventually, listening, payload,
    publish, scale, send_all, sending, stored, take, within_patience,
};

fn orders() -> Stream {
    Stream::new("ORDERS").subject("orders")
}

#[actix::test]
async fn while_jetstream_is_down_senders_wait_and_nothing_is_lost() {
    let away = Duration::from_secs(scale::of(60));
    let mut server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders(), "orders"))
        .inbound(Inbound::stream(
            Stream::new("JOBS").subject("jobs"),
            "workers",
        ))
        .ack_timeout(Duration::from_millis(500))
        .ack_wait(Duration::from_millis(500))
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    acknowledged(&sender, 0).await;
    server.kill();
    let began = Instant::now();
    let sending = sending(&sender, 1..5000);
    eventually("the bridge to wait", || bridge.stats().stalls == 1).await;
    let mut sent = 0;
    while began.elapsed() < away {
        let stats = bridge.stats();
        assert!(stats.storing <= 256, "{stats:?}");
        assert_eq!((stats.stored, stats.given_up), (1, 0));
        assert_eq!(sender.stats().acknowledged, 1);
        sent = sender.stats().sent;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(sent < 4999, "the sender waits: {sent}");
    server.again().await;
    within_patience("all acknowledgements", sending)
        .await
        .unwrap();
    let jetstream = server.jetstream().await;
    assert_each_once(&stored(&jetstream, "ORDERS").await, 5000);
    // The way in goes on as well, by itself.
    publish(&jetstream, "jobs", 7).await;
    assert_eq!(take(&sender, 1).await.into_keys().next(), Some(7));
    eprintln!("{away:?} without JetStream: {:?}", bridge.stats());
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn an_hour_without_jetstream_is_waited_out_and_nothing_is_lost() {
    let seconds = scale::of(3600);
    let hour = Duration::from_secs(seconds);
    let mut server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let (events, mut told) = Probe::recipient();
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders(), "orders"))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    acknowledged(&sender, 0).await;
    server.kill();
    let sending = sending(&sender, 1..5000);
    eventually("the bridge to wait", || bridge.stats().stalls == 1).await;
    // Every timer of the bridge, its client and both sockets is of this runtime, whose clock now goes from one to the next.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    while began.elapsed() < hour {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let stats = bridge.stats();
        assert!(stats.storing <= 256, "{stats:?}");
        assert_eq!((stats.stored, stats.given_up, stats.stalls), (1, 0, 1));
        assert_eq!(sender.stats().acknowledged, 1);
    }
    let stats = sender.stats();
    assert!(stats.sent - stats.resent < 4999, "it waits: {stats:?}");
    // Each attempt waits five seconds for the connection, and then up to five more.
    let retried = bridge.stats().retried;
    let expected = seconds / 10..=seconds / 5 + 1;
    assert!(expected.contains(&retried), "{retried} attempts");
    tokio::time::resume();
    server.again().await;
    within_patience("all acknowledgements", sending)
        .await
        .unwrap();
    let jetstream = server.jetstream().await;
    assert_each_once(&stored(&jetstream, "ORDERS").await, 5000);
    let resumed = |event| match event {
        BridgeEvent::Resumed { after, .. } => Some(after),
        _ => None,
    };
    assert!(told.find(resumed).await.unwrap() >= hour);
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn while_jetstream_is_down_messages_at_most_once_are_dead_letters() {
    let mut server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders(), "orders"))
        .ack_timeout(Duration::from_millis(300))
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    acknowledged(&sender, 0).await;
    server.kill();
    for number in 1..100 {
        sender.send(payload(number)).await.unwrap();
    }
    eventually("them to be given up", || bridge.stats().given_up == 99).await;
    assert_eq!(socket.stats().dead_letters, 99);
    server.again().await;
    eventually("the next to be stored", || {
        let _ = sender.try_send(payload(100));
        bridge.stats().stored > 1
    })
    .await;
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_socket_that_is_closed_while_nats_is_away_ends_its_bridge_whatever_that_has() {
    let mut server = Server::start("").await;
    let jobs = Stream::new("JOBS").subject("jobs");
    let bridges = [
        Bridge::new(server.url()).outbound(Outbound::subject("said")),
        Bridge::new(server.url()).outbound(Outbound::stream(orders(), "orders")),
        Bridge::new(server.url()).inbound(Inbound::stream(jobs, "workers")),
    ];
    let mut running = Vec::new();
    for bridge in bridges {
        let (socket, endpoint) = listening("bridge").await;
        let bridge = bridge.ack_wait(Duration::from_millis(500));
        let bridge = bridge.start(&socket).await.unwrap();
        let peer = connected("peer", &endpoint).await;
        running.push((socket, bridge, peer));
    }
    let jetstream = server.jetstream().await;
    for number in 0..10 {
        publish(&jetstream, "jobs", number).await;
    }
    let (_, delivering, receiver) = &running[2];
    let in_hand = within_patience("a message", receiver.recv()).await.unwrap();
    server.kill();
    for (_, bridge, sender) in &running[..2] {
        // Nobody waits for their acknowledgements.
        drop(send_all(sender, 0..300).await);
        eventually("messages to be held", || bridge.stats().storing > 0).await;
    }
    assert!(delivering.stats().delivering > 0);
    for (socket, bridge, _) in &running {
        socket.close().await;
        within_patience("the bridge to end", bridge.ended()).await;
    }
    drop(in_hand);
}

/// Between the bridge and the server, and able to keep what the server says.
async fn proxy(to: u16, swallows: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    actix::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            actix::spawn(async move {
                // Either end may go.
                let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            });
            let swallows = Arc::clone(&swallows);
            actix::spawn(async move {
                let mut buffer = vec![0; 16_384];
                let mut swallowed = false;
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    swallowed |= swallows.load(Ordering::SeqCst);
                    match (swallowed, swallows.load(Ordering::SeqCst)) {
                        // The stream has a hole: it ends.
                        (true, false) => return,
                        (true, true) => {}
                        (false, _) if to_client.write_all(&buffer[..read]).await.is_err() => return,
                        (false, _) => {}
                    }
                }
            });
        }
    });
    port
}

/// Between the bridge and the server, and loses so many requests for messages, as a server does that dies with them.
async fn losing_requests(to: u16, lost: Arc<AtomicU32>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    actix::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // Either end may go.
        actix::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut from_client = BufReader::new(from_client);
        loop {
            let mut said = Vec::new();
            let Ok(1..) = from_client.read_until(b'\n', &mut said).await else {
                return;
            };
            let line = String::from_utf8_lossy(&said).into_owned();
            if line.starts_with("PUB ") || line.starts_with("HPUB ") {
                let length = line.split_whitespace().last().unwrap().parse::<usize>();
                let mut payload = vec![0; length.unwrap() + 2];
                from_client.read_exact(&mut payload).await.unwrap();
                said.extend(payload);
            }
            let loses = |left: u32| left.checked_sub(1);
            if line.contains("CONSUMER.MSG.NEXT")
                && lost
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, loses)
                    .is_ok()
            {
                continue;
            }
            if to_server.write_all(&said).await.is_err() {
                return;
            }
        }
    });
    port
}

/// The client would ask again after 35 seconds, which is longer than this waits.
#[actix::test]
async fn a_request_for_messages_that_was_lost_is_made_anew_and_told() {
    let (logged, _logging) = Logged::begin();
    let server = Server::start("").await;
    let lost = Arc::new(AtomicU32::new(2));
    let port = losing_requests(server.port, Arc::clone(&lost)).await;
    let (socket, endpoint) = listening("bridge").await;
    let jobs = Stream::new("JOBS").subject("jobs");
    let bridge = Bridge::new(format!("nats://127.0.0.1:{port}"))
        .inbound(Inbound::stream(jobs, "workers"))
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    publish(&server.jetstream().await, "jobs", 7).await;
    assert_eq!(take(&receiver, 1).await.into_keys().next(), Some(7));
    assert_eq!(lost.load(Ordering::SeqCst), 0);
    let stats = bridge.stats();
    assert_eq!((stats.sessions, stats.came_again), (1, 0), "{stats:?}");
    bridge.stop(Duration::from_secs(5)).await;

    let logged = logged.text();
    let at = |what: &str| {
        logged
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {logged}"))
    };
    let asks = at("JetStream sends nothing: the bridge asks again consumer=\"workers\"");
    assert!(asks < at("JetStream sends messages again consumer=\"workers\""));
}

#[actix::test]
async fn a_message_that_is_larger_than_a_request_has_room_for_comes_alone_and_the_next_follow() {
    let mut server = Server::start("max_payload: 4MB").await;
    let jobs = || Stream::new("JOBS").subject("jobs");
    let (socket, endpoint) = listening("bridge").await;
    let first = Bridge::new(server.url()).inbound(Inbound::stream(jobs(), "workers"));
    let first = first.start(&socket).await.unwrap();
    first.stop(Duration::from_secs(5)).await;
    let jetstream = server.jetstream().await;
    let sizes = [10, 3_000_000, 20];
    for size in sizes {
        let published = jetstream.publish("jobs", vec![b'x'; size].into()).await;
        published.unwrap().await.unwrap();
    }
    server.kill();
    server.configure(true, "max_payload: 100KB");
    server.again().await;
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(jobs(), "workers"))
        .window_bytes(1)
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    for size in sizes {
        let message = within_patience("a message", receiver.recv()).await.unwrap();
        assert_eq!(message.payload().len(), size);
    }
    eventually("them to be acknowledged", || bridge.stats().delivered == 3).await;
    assert_eq!((bridge.stats().sessions, bridge.stats().came_again), (1, 0));
    bridge.stop(Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_consumer_that_is_deleted_is_made_anew_and_messages_come() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let jobs = Stream::new("JOBS").subject("jobs");
    let bridge = Bridge::new(server.url())
        .inbound(Inbound::stream(jobs, "workers"))
        .start(&socket)
        .await
        .unwrap();
    let receiver = connected("receiver", &endpoint).await;
    let jetstream = server.jetstream().await;
    publish(&jetstream, "jobs", 0).await;
    assert_eq!(take(&receiver, 1).await.into_keys().next(), Some(0));
    let stream = jetstream.get_stream("JOBS").await.unwrap();
    stream.delete_consumer("workers").await.unwrap();
    eventually("a new session", || bridge.stats().sessions == 2).await;
    publish(&jetstream, "jobs", 1).await;
    // The first one comes again as well, and is known by its id.
    assert_eq!(take(&receiver, 1).await.into_keys().next(), Some(1));
    bridge.stop(Duration::from_secs(5)).await;
}

/// Waits until the bridge tells that its connection is gone.
async fn given_up(told: &mut Probe<BridgeEvent>) {
    let disconnected = |event| match event {
        BridgeEvent::Disconnected => Some(()),
        _ => None,
    };
    within_patience("the connection to be given up", told.find(disconnected))
        .await
        .unwrap();
}

/// The client would notice it after three minutes by itself.
#[actix::test]
async fn a_server_that_falls_silent_is_given_up_and_what_waits_is_stored_when_it_goes_on() {
    let server = Server::start("").await;
    let (socket, endpoint) = listening("bridge").await;
    let (events, mut told) = Probe::recipient();
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::stream(orders(), "orders"))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    acknowledged(&sender, 0).await;
    server.stand_still(true);
    let receipt = sender.send(payload(1)).receipt().await.unwrap();
    given_up(&mut told).await;
    server.stand_still(false);
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    assert_each_once(&stored(&server.jetstream().await, "ORDERS").await, 2);
    bridge.stop(Duration::from_secs(5)).await;
}

/// The client throws away what it has not written when it connects again.
#[actix::test]
async fn what_was_not_written_when_the_connection_was_lost_is_published_again_and_then_acknowledged()
 {
    // More than the buffers of a connection have room for.
    const SIZE: usize = 48 << 20;
    let server = Server::start("max_payload: 64MB\nmax_pending: 256MB").await;
    let (socket, endpoint) = listening("bridge").await;
    let (events, mut told) = Probe::recipient();
    let bridge = Bridge::new(server.url())
        .outbound(Outbound::subject("said"))
        .ack_timeout(Duration::from_secs(60))
        .events(events)
        .start(&socket)
        .await
        .unwrap();
    let client = server.client().await;
    let mut said = client.subscribe("said").await.unwrap();
    client.flush().await.unwrap();
    let sender = connected("sender", &endpoint).await;
    server.stand_still(true);
    let receipt = sender.send(vec![b'x'; SIZE]).receipt().await.unwrap();
    eventually("it to be held", || bridge.stats().storing == 1).await;
    // The client gives the connection up by itself, and has another one when the server goes on.
    given_up(&mut told).await;
    assert_eq!(bridge.stats().published, 0);
    server.stand_still(false);
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    let message = within_patience("what was said", said.next()).await.unwrap();
    assert_eq!(message.payload.len(), SIZE);
    bridge.stop(Duration::from_secs(5)).await;
}

/// The message is stored, and its acknowledgement does not come, for several times a second.
async fn stored_over_a_deaf_line(window: Duration, wait: impl Fn(usize, u64) -> bool) -> Vec<u64> {
    let server = Server::start("").await;
    let swallows = Arc::new(AtomicBool::new(false));
    let port = proxy(server.port, Arc::clone(&swallows)).await;
    let (socket, endpoint) = listening("bridge").await;
    let bridge = Bridge::new(format!("nats://127.0.0.1:{port}"))
        .outbound(Outbound::stream(
            orders().duplicate_window(window),
            "orders",
        ))
        .ack_timeout(Duration::from_millis(200))
        .retry(Backoff::fixed(Duration::from_millis(50)))
        .start(&socket)
        .await
        .unwrap();
    let sender = connected("sender", &endpoint).await;
    swallows.store(true, Ordering::SeqCst);
    let receipt = sender.send(payload(0)).receipt().await.unwrap();
    let jetstream = server.jetstream().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let there = stored(&jetstream, "ORDERS").await.len();
        if wait(there, bridge.stats().retried) {
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", bridge.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sender.stats().acknowledged, 0);
    swallows.store(false, Ordering::SeqCst);
    within_patience("the acknowledgement", receipt)
        .await
        .unwrap();
    bridge.stop(Duration::from_secs(5)).await;
    stored(&jetstream, "ORDERS").await
}

#[actix::test]
async fn an_outage_within_the_duplicate_window_stores_nothing_twice() {
    let window = Duration::from_secs(600);
    let there = stored_over_a_deaf_line(window, |_, retried| retried >= 5).await;
    assert_eq!(there, [0]);
}

#[actix::test]
async fn an_outage_that_outlasts_the_duplicate_window_stores_again_what_was_not_acknowledged() {
    let window = Duration::from_millis(1000);
    let there = stored_over_a_deaf_line(window, |there, _| there >= 2).await;
    assert!(there.len() >= 2, "{there:?}");
}
