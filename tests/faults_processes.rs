//! Processes that freeze, stall and are told to end under load. In full with
//! `just soak`.
#![cfg(unix)]

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use support::events::{PeerProbe, peer_events};
use support::process::Process;
use support::{agent, eventually, scale, within_patience};

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(1500);

fn attentive() -> SocketBuilder {
    Socket::builder()
        .heartbeat_interval(INTERVAL)
        .heartbeat_timeout(TIMEOUT)
}

/// A bound socket with a peer that is a process of its own.
async fn with_peer(socket: &Socket, options: &str) -> (Process, Identity) {
    let mut peers = peer_events(socket);
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    let process = agent::start(&format!("--role connect --port {port} {options}"));
    (process, peers.up().await)
}

#[actix::test]
async fn a_frozen_peer_is_found_dead_at_the_heartbeat_timeout_and_its_messages_go_elsewhere() {
    let socket = attentive()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .start()
        .unwrap();
    let options = "--count 1000000000 --heartbeat-interval-ms 100 --heartbeat-timeout-ms 60000";
    let (frozen, peer) = with_peer(&socket, options).await;
    // What it acknowledges now is heard of it later than `alive`.
    let mut alive = Instant::now();
    for number in 0..100 {
        alive = Instant::now();
        let receipt = socket.send_to(peer, format!("before {number}")).receipt();
        within_patience("a receipt", receipt.await.unwrap())
            .await
            .unwrap();
    }
    frozen.signal("STOP");
    let down = socket.watch(peer);
    for number in 0..500 {
        socket.send(format!("{number}")).await.unwrap();
    }
    assert_eq!(socket.stats().peers, 1, "it may yet say something");
    let end = within_patience("its end", down).await;
    let silence = alive.elapsed();
    assert_eq!(end.reason, DownReason::Silent);
    println!("found dead after {silence:?}, with a timeout of {TIMEOUT:?}");
    assert!(silence >= TIMEOUT, "{silence:?}");
    assert!(silence < 4 * TIMEOUT, "{silence:?}");

    let (mut other, _) = with_peer(&socket, options).await;
    let mut arrived = HashSet::new();
    while arrived.len() < 500 {
        arrived.insert(other.line().await.parse::<u32>().unwrap());
    }
    eventually("all to be acknowledged", || {
        socket.stats().acknowledged == 600
    })
    .await;
    assert_eq!(socket.stats().dead_letters, 0);
    frozen.signal("CONT");
}

#[actix::test]
async fn a_paused_handler_whose_process_has_a_heartbeat_is_never_declared_dead() {
    let socket = attentive().start().unwrap();
    let options = format!(
        "--count 10 --recv-delay-ms 3600000 --heartbeat-interval-ms 100 --heartbeat-timeout-ms {} --events true",
        TIMEOUT.as_millis()
    );
    let (mut paused, peer) = with_peer(&socket, &options).await;
    let mut down = Box::pin(socket.watch(peer));
    // As much as it takes until nothing moves: its inbox, both kernels' buffers and our link.
    let filler = vec![0; 64 * 1024];
    let mut sent = 0;
    while let Ok(accepted) = tokio::time::timeout(TIMEOUT / 3, socket.send(filler.clone())).await {
        accepted.unwrap();
        sent += 1;
    }
    let full = Instant::now();
    let verdict = tokio::time::timeout(TIMEOUT * 4, &mut down).await;
    assert!(verdict.is_err(), "declared dead: {verdict:?}");
    let stats = socket.stats();
    println!(
        "{sent} messages fill it; nothing moved for {:?}",
        full.elapsed()
    );
    assert_eq!((stats.peers, stats.joins, stats.dead_letters), (1, 1, 0));
    assert!(stats.queued_messages > 0, "it stalls");
    // Nor did the other end, which has not read our heartbeats behind all that, give us up.
    paused.kill();
    let events = paused.complaint().await;
    assert!(!events.contains("peer_down"), "{events}");
}

#[actix::test]
async fn a_process_that_stood_still_reads_before_it_judges() {
    let socket = Socket::builder()
        .heartbeat_interval(INTERVAL)
        .heartbeat_timeout(Duration::from_secs(60))
        .start()
        .unwrap();
    let options = "--count 1 --heartbeat-interval-ms 100 --heartbeat-timeout-ms 400 --events true";
    let (mut peer, identity) = with_peer(&socket, options).await;
    peer.signal("STOP");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    peer.signal("CONT");
    socket.send_to(identity, "still there?").await.unwrap();
    assert_eq!(peer.line().await, "still there?");
    agent::completes(&mut peer).await;
    assert_eq!(socket.stats().joins, 1, "it had not given us up");
}

/// The number in the last event that says how many messages were accepted.
fn accepted(events: &str) -> u64 {
    let last = events.lines().rfind(|line| line.contains("accepted"));
    let event: serde_json::Value = serde_json::from_str(last.expect("it said so")).unwrap();
    event["n"].as_u64().unwrap()
}

#[tokio::test]
async fn sigterm_under_load_loses_nothing_that_was_accepted() {
    let rounds = scale::of(100).div_ceil(4);
    let mut all = 0;
    for round in 0..rounds {
        for role in ["bind", "connect"] {
            for delivery in ["at-most-once", "at-least-once"] {
                let source = format!(
                    "--behavior source --count 1000000000 --size 100 --events true --delivery {delivery}"
                );
                let sink = "--behavior sink --count 1000000000";
                let (mut source, mut sink) = agent::pair(role, &source, sink).await;
                // A different moment each time.
                for _ in 0..10 + 500 * round {
                    sink.line().await;
                }
                let start = Instant::now();
                source.signal("TERM");
                let events = agent::completes(&mut source).await;
                let took = start.elapsed();
                assert!(took < Duration::from_secs(12), "{took:?}");
                let accepted = accepted(&events);
                let mut last = sink.line().await;
                while number(&last) + 1 < accepted {
                    let line = sink.line().await;
                    assert_eq!(number(&line), number(&last) + 1, "{role} {delivery}");
                    last = line;
                }
                sink.signal("TERM");
                let rest = sink.rest_of_stdout().await;
                assert!(rest.is_empty(), "{role} {delivery}: {rest:?}");
                all += accepted;
            }
        }
    }
    println!(
        "{} terminations, {all} messages accepted, 0 lost",
        4 * rounds
    );
}

fn number(line: &str) -> u64 {
    let digits = line.trim_start_matches('m').trim_end_matches('.');
    digits.parse().expect("a number")
}
