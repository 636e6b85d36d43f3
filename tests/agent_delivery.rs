//! What the conformance agent acknowledges, and what it resends.

mod support;

use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use support::agent;
use support::aside;
use support::each::each;
use support::process::Process;
use support::python::numbered;
use support::raw_peer::{ACK, RawPeer};

#[tokio::test]
async fn a_sink_acknowledges_what_it_has_printed() {
    let (mut sink, port) = agent::bind("--count 3").await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        for id in 1..=3 {
            peer.data_req([id; 16], b"printed");
        }
        for id in 1..=3 {
            let ack = peer.next();
            assert_eq!((ack.kind, ack.body), (ACK, vec![id; 16]));
        }
        peer.expect_end();
    })
    .await;
    assert_eq!(sink.rest_of_stdout().await, ["printed"; 3]);
    agent::completes(&mut sink).await;
}

#[tokio::test]
async fn a_sink_that_takes_its_time_acknowledges_late() {
    let (_sink, port) = agent::bind("--count 1 --recv-delay-ms 400").await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        let sent = Instant::now();
        peer.data_req([1; 16], b"slow");
        assert_eq!(peer.next().kind, ACK);
        assert!(sent.elapsed() >= Duration::from_millis(400));
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_cannot_print_stops_reading_but_not_its_heart() {
    let mut command = agent::command(
        "--role bind --port 0 --count 1000000 --heartbeat-interval-ms 100 --heartbeat-timeout-ms 60000",
    );
    let mut sink = Process::spawn_unread(&mut command);
    let port = agent::listening(&mut sink).await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        // More than the pipe of 64 KiB holds, in messages that want an acknowledgement.
        let line = [b'x'; 1024];
        for id in 0..100 {
            peer.data_req([id; 16], &line);
        }
        let mut acknowledged = 0;
        let mut heartbeats = 0;
        while heartbeats < 5 {
            match peer.read().expect("the sink lives") {
                Some(frame) if frame.kind == ACK => {
                    acknowledged += 1;
                    heartbeats = 0;
                }
                Some(_) => heartbeats += 1,
                None => panic!("the sink closed"),
            }
        }
        assert!((10..70).contains(&acknowledged), "{acknowledged}");
    })
    .await;
    assert!(sink.is_running());
    let start = Instant::now();
    sink.signal("TERM");
    assert!(sink.exit().await.success());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "nothing was left to flush"
    );
}

#[tokio::test]
async fn an_at_least_once_source_resends_until_it_is_acknowledged() {
    let (mut source, port) = agent::bind(
        "--behavior source --count 2 --delivery at-least-once --resend-timeout-ms 300 --linger 0",
    )
    .await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        let first = peer.expect_data_req();
        let second = peer.expect_data_req();
        assert_eq!((&first.1[..], &second.1[..]), (&b"m0"[..], &b"m1"[..]));
        assert_ne!(first.0, second.0);
        peer.frame(ACK, &second.0);
        assert_eq!(peer.expect_data_req(), first, "resent, under its id");
        peer.frame(ACK, &first.0);
        peer.expect_end();
    })
    .await;
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn an_at_least_once_source_resends_to_the_peer_that_comes_next() {
    let (mut source, port) =
        agent::bind("--behavior source --count 3 --delivery at-least-once --linger 0").await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        let sent: Vec<_> = (0..3).map(|_| peer.expect_data_req()).collect();
        peer.frame(ACK, &sent[1].0);
        peer.finish();
        peer.expect_end();
        let mut next = RawPeer::introduced(([127, 0, 0, 1], port), [8; 16]);
        for kept in [&sent[0], &sent[2]] {
            assert_eq!(next.expect_data_req(), *kept);
            next.frame(ACK, &kept.0);
        }
        next.expect_end();
    })
    .await;
    agent::completes(&mut source).await;
}

#[actix::test]
async fn a_source_that_never_receives_ends_against_a_peer_that_echoes() {
    let echo = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        // Room for all answers, however late they are read.
        .link_capacity(32 * 1024, 16 << 20)
        .unacknowledged_capacity(32 * 1024, 16 << 20)
        .start()
        .unwrap();
    each(&echo, |message: Received| {
        message.reply(message.payload().clone()).unwrap();
    });
    let endpoint = echo.bind("127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    let mut source = agent::start(&format!(
        "--role connect --port {port} --behavior source --count 20000 --delivery at-least-once --linger 0"
    ));
    agent::completes(&mut source).await;
    assert!(echo.stats().received >= 20_000);
}

#[tokio::test]
async fn at_least_once_reaches_python_and_is_acknowledged() {
    for role in ["bind", "connect"] {
        let options = "--behavior source --count 300 --delivery at-least-once --linger 0";
        let (mut source, mut python) = agent::beside_python(role, options, "roundrobin").await;
        assert_eq!(python.receive(300).await, numbered("m", 0..300));
        agent::completes(&mut source).await;
    }
}
