//! The timers and limits that the conformance agent's options set, seen by a scripted peer.

mod support;

use std::time::{Duration, Instant};

use support::agent;
use support::aside;
use support::process::Process;
use support::raw_peer::{DATA, HEARTBEAT, RawPeer};

/// The next event of a kind that an agent with `--events true` reports.
async fn event(agent: &mut Process, kind: &str) -> serde_json::Value {
    let line = agent.stderr.find(|line| line.contains(kind)).await;
    serde_json::from_str(&line).expect("JSON")
}

#[tokio::test]
async fn a_peer_that_does_not_introduce_itself_is_closed_in_time() {
    let (mut sink, port) = agent::bind("--handshake-timeout-ms 300 --events true").await;
    let waited = aside(move || {
        let start = Instant::now();
        RawPeer::connect(([127, 0, 0, 1], port)).expect_end();
        start.elapsed()
    })
    .await;
    assert!((300..3_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(event(&mut sink, "peer_rejected").await["reason"], "timeout");
}

#[tokio::test]
async fn a_silent_peer_is_down_at_the_heartbeat_timeout_and_a_talkative_one_is_not() {
    let options = "--heartbeat-timeout-ms 500 --heartbeat-interval-ms 100 --events true";
    let (mut sink, port) = agent::bind(options).await;
    let waited = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1_000) {
            // Its heartbeats are the clock by which we send ours.
            assert_eq!(
                peer.read().expect("it lives").expect("it lives").kind,
                HEARTBEAT
            );
            peer.frame(HEARTBEAT, b"");
        }
        let silent_since = Instant::now();
        peer.expect_end();
        silent_since.elapsed()
    })
    .await;
    assert!((400..3_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(event(&mut sink, "peer_down").await["reason"], "silent");
}

#[tokio::test]
async fn the_frame_limit_counts_the_type_byte() {
    let (mut sink, port) = agent::bind("--max-frame 100 --count 2 --events true").await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        peer.data(&[b'x'; 99]);
        // The prefix alone condemns the connection.
        peer.say(&101_u32.to_be_bytes());
        peer.expect_end();
    })
    .await;
    assert_eq!(sink.line().await, "x".repeat(99));
    assert_eq!(event(&mut sink, "peer_down").await["reason"], "oversize");
}

#[tokio::test]
async fn a_connection_above_the_limit_is_closed_and_the_others_are_served() {
    let (mut sink, port) = agent::bind("--max-connections 1 --count 1 --events true").await;
    aside(move || {
        let mut first = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        RawPeer::connect(([127, 0, 0, 1], port)).expect_end();
        first.frame(DATA, b"served");
        first.expect_end();
    })
    .await;
    assert_eq!(event(&mut sink, "peer_rejected").await["reason"], "limit");
    assert_eq!(sink.line().await, "served");
}

#[tokio::test]
async fn by_default_a_frame_of_more_than_16_mib_is_taken() {
    let (mut sink, port) = agent::bind("--count 1 --events true").await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        // With its type, the frame is 16 MiB and 2 bytes.
        peer.data(&vec![b'x'; (16 << 20) + 1]);
        peer.expect_end();
    })
    .await;
    assert_eq!(sink.line().await.len(), (16 << 20) + 1);
    agent::completes(&mut sink).await;
}

#[tokio::test]
async fn a_large_payload_passes_whole() {
    let options = "--behavior source --count 3 --size 3000000 --linger 0";
    let (mut source, port) = agent::bind(options).await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        for number in 0..3 {
            let payload = peer.expect_data();
            assert_eq!(payload.len(), 3_000_000);
            assert!(payload.starts_with(format!("m{number}.").as_bytes()));
        }
        peer.expect_end();
    })
    .await;
    assert!(source.exit().await.success());
}
