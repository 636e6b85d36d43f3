//! The conformance agent in conversation: with another agent, with Python, with a scripted peer.

mod support;

use std::time::{Duration, Instant};

use actix_aiomsg::Identity;
use support::agent;
use support::python::numbered;
use support::raw_peer::{ACK, DATA, DATA_REQ, RawPeer};
use support::{aside, eventually};

#[tokio::test]
async fn a_source_fills_a_sink_in_both_roles_and_send_modes() {
    for role in ["bind", "connect"] {
        for mode in ["roundrobin", "publish"] {
            let (mut source, mut sink) = agent::pair(
                role,
                &format!(
                    "--behavior source --count 100 --prefix word --linger 0 --send-mode {mode}"
                ),
                "--behavior sink --count 100",
            )
            .await;
            let printed = sink.rest_of_stdout().await;
            assert_eq!(printed, numbered("word", 0..100), "{role} {mode}");
            agent::completes(&mut sink).await;
            agent::completes(&mut source).await;
        }
    }
}

#[tokio::test]
async fn an_echo_sends_back_what_python_sent() {
    for role in ["bind", "connect"] {
        let identity = Identity::random();
        let echo = format!("--behavior echo --count 50 --linger 0 --identity {identity}");
        let (mut echo, mut python) = agent::beside_python(role, &echo, "roundrobin").await;
        python.send_many("m", 50);
        for expected in numbered("m", 0..50) {
            assert_eq!(python.received().await, (identity, expected));
        }
        agent::completes(&mut echo).await;
    }
}

#[tokio::test]
async fn a_source_fills_python_and_python_fills_a_sink() {
    for role in ["bind", "connect"] {
        let (mut source, mut python) =
            agent::beside_python(role, "--behavior source --count 200 --linger 0", "publish").await;
        assert_eq!(python.receive(200).await, numbered("m", 0..200));
        agent::completes(&mut source).await;

        let (mut sink, mut python) =
            agent::beside_python(role, "--behavior sink --count 200", "publish").await;
        python.send_many("py", 200);
        assert_eq!(sink.rest_of_stdout().await, numbered("py", 0..200));
        agent::completes(&mut sink).await;
    }
}

#[tokio::test]
async fn two_sinks_share_what_a_source_deals_out() {
    let (mut source, port) =
        agent::bind("--behavior source --count 40 --linger 0 --start-delay-ms 1500").await;
    let connect = format!("--role connect --port {port} --behavior sink --count 20");
    let mut sinks = [agent::start(&connect), agent::start(&connect)];
    let mut all = Vec::new();
    for sink in &mut sinks {
        let printed = sink.rest_of_stdout().await;
        assert_eq!(printed.len(), 20);
        all.extend(printed);
        agent::completes(sink).await;
    }
    all.sort_by_key(|line| line[1..].parse::<u64>().ok());
    assert_eq!(all, numbered("m", 0..40));
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn a_relay_sends_on_what_it_receives() {
    let (mut relay, port) = agent::bind("--behavior relay --count 3 --linger 0").await;
    let peer = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        for word in ["one", "two", "three"] {
            peer.data(word.as_bytes());
        }
        let words: Vec<_> = (0..3).map(|_| peer.expect_data()).collect();
        assert_eq!(words, [&b"one"[..], b"two", b"three"]);
        peer
    })
    .await;
    agent::completes(&mut relay).await;
    drop(peer);
}

#[tokio::test]
async fn a_relay_that_publishes_sends_a_copy_to_every_peer() {
    let options = "--behavior relay --send-mode publish --count 2 --linger 0";
    let (mut relay, port) = agent::bind(options).await;
    let peers = aside(move || {
        let join = |name| RawPeer::introduced(([127, 0, 0, 1], port), [name; 16]);
        let mut peers = [join(1), join(2), join(3)];
        peers[0].data(b"one");
        peers[1].data_req([9; 16], b"two");
        for (name, peer) in peers.iter_mut().enumerate() {
            let mut heard = Vec::new();
            let mut acknowledged = 0;
            while heard.len() < 2 || (name == 1 && acknowledged == 0) {
                let frame = peer.next();
                match frame.kind {
                    ACK => acknowledged += 1,
                    _ => heard.push((frame.kind, frame.body)),
                }
            }
            heard.sort();
            assert_eq!(heard, [(DATA, b"one".to_vec()), (DATA, b"two".to_vec())]);
        }
        peers
    })
    .await;
    agent::completes(&mut relay).await;
    drop(peers);
}

#[tokio::test]
async fn a_relay_at_least_once_sends_on_until_that_is_acknowledged() {
    let options = "--behavior relay --delivery at-least-once --count 1 --linger 0";
    let (mut relay, port) = agent::bind(options).await;
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        peer.data_req([9; 16], b"on");
        let (mut acknowledged, mut sent_on) = (false, None);
        while !acknowledged || sent_on.is_none() {
            let mut frame = peer.next();
            match frame.kind {
                ACK => {
                    assert_eq!(frame.body, [9; 16]);
                    acknowledged = true;
                }
                kind => {
                    assert_eq!(kind, DATA_REQ);
                    assert_eq!(frame.body.split_off(16), b"on");
                    sent_on = Some(frame.body);
                }
            }
        }
        assert!(peer.is_silent_for(Duration::from_millis(200)), "it is done");
        peer.frame(ACK, &sent_on.expect("it was"));
        peer.expect_end();
    })
    .await;
    agent::completes(&mut relay).await;
}

#[tokio::test]
async fn a_source_pads_its_payloads_and_keeps_its_rate() {
    let start = Instant::now();
    let (mut source, mut sink) = agent::pair(
        "connect",
        "--behavior source --count 6 --size 5 --rate 10 --linger 0",
        "--behavior sink --count 6",
    )
    .await;
    let expected = ["m0...", "m1...", "m2...", "m3...", "m4...", "m5..."];
    assert_eq!(sink.rest_of_stdout().await, expected);
    agent::completes(&mut source).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_source_waits_before_its_first_message() {
    let start = Instant::now();
    let (mut source, mut sink) = agent::pair(
        "connect",
        "--behavior source --count 1 --start-delay-ms 400 --linger 0",
        "--count 1",
    )
    .await;
    assert_eq!(sink.line().await, "m0");
    assert!(start.elapsed() >= Duration::from_millis(400));
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn the_identity_is_the_one_that_was_asked_for() {
    let identity = "00112233445566778899aabbccddeeff";
    let (_sink, port) = agent::bind(&format!("--identity {identity}")).await;
    let seen = aside(move || {
        let mut peer = RawPeer::connect(([127, 0, 0, 1], port));
        peer.hello([1; 16]);
        peer.expect_hello()
    })
    .await;
    assert_eq!(Identity::from_bytes(seen).to_string(), identity);
}

#[tokio::test]
async fn a_duplicate_identity_is_reported_as_rejected() {
    let (mut sink, port) = agent::bind("--events true").await;
    let rejected = aside(move || {
        let first = RawPeer::introduced(([127, 0, 0, 1], port), [0xab; 16]);
        let mut second = RawPeer::connect(([127, 0, 0, 1], port));
        second.hello([0xab; 16]);
        second.expect_end();
        first
    })
    .await;
    let line = sink
        .stderr
        .find(|line| line.contains("peer_rejected"))
        .await;
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["reason"], "duplicate");
    assert_eq!(event["peer"], "ab".repeat(16));
    drop(rejected);
    let line = sink.stderr.find(|line| line.contains("peer_down")).await;
    assert!(line.contains(&"ab".repeat(16)), "{line}");
}

#[tokio::test]
async fn a_source_lingers_after_its_last_message() {
    let (mut source, port) = agent::bind("--behavior source --count 1 --linger 0.5").await;
    let lingered = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        assert_eq!(peer.expect_data(), b"m0");
        let last = Instant::now();
        peer.expect_end();
        last.elapsed()
    })
    .await;
    assert!(lingered >= Duration::from_millis(450), "{lingered:?}");
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn a_source_waits_for_its_first_peer() {
    let (mut source, port) = agent::bind("--behavior source --count 5 --linger 0").await;
    // It has sent and flushes now, or is about to.
    eventually("a little time to pass", {
        let start = Instant::now();
        move || start.elapsed() > Duration::from_millis(300)
    })
    .await;
    assert!(source.is_running());
    let mut sink = agent::start(&format!("--role connect --port {port} --count 5"));
    assert_eq!(sink.rest_of_stdout().await, numbered("m", 0..5));
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn events_are_lines_of_json() {
    let (mut source, port) =
        agent::bind("--behavior source --count 45 --linger 0 --events true").await;
    let peer = "0123456789abcdef0123456789abcdef";
    let mut sink = agent::start(&format!(
        "--role connect --port {port} --count 45 --identity {peer}"
    ));
    agent::completes(&mut sink).await;
    let events: Vec<serde_json::Value> = agent::completes(&mut source)
        .await
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let accepted: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "accepted")
        .map(|event| event["n"].as_u64())
        .collect();
    assert_eq!(accepted, [Some(20), Some(40), Some(45)]);
    let up = serde_json::json!({ "event": "peer_up", "peer": peer });
    assert!(events.contains(&up), "{events:?}");
}
