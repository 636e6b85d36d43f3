//! The conformance agent as its test runners see it: processes, options, exit codes.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use actix_aiomsg::Identity;
use support::agent;
use support::process::Process;
use support::python::{PythonOptions, PythonPeer, numbered};
use support::raw_peer::{ACK, DATA, RawPeer};
use support::{aside, eventually};

/// Starts two agents at one port, the bind end first: `(first, second)`, in this order whichever binds.
async fn pair(role: &str, first: &str, second: &str) -> (Process, Process) {
    let (binds, connects) = if role == "bind" {
        (first, second)
    } else {
        (second, first)
    };
    let (bound, port) = agent::bind(binds).await;
    let connected = agent::start(&format!("--role connect --port {port} {connects}"));
    if role == "bind" {
        (bound, connected)
    } else {
        (connected, bound)
    }
}

/// Waits until an agent has completed; yields what it said on standard error.
async fn completes(agent: &mut Process) -> String {
    let status = agent.exit().await;
    let complaint = agent.complaint().await;
    assert!(status.success(), "{status}: {complaint}");
    complaint
}

/// Checks that an agent says why it cannot go on, and how it ends.
async fn fails_with(mut agent: Process, sentence: &str) {
    let start = Instant::now();
    let status = agent.exit().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    let complaint = agent.complaint().await;
    assert!(!status.success(), "it exited 0: {complaint}");
    assert!(complaint.contains(sentence), "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
}

#[tokio::test]
async fn a_source_fills_a_sink_in_both_roles_and_send_modes() {
    for role in ["bind", "connect"] {
        for mode in ["roundrobin", "publish"] {
            let (mut source, mut sink) = pair(
                role,
                &format!(
                    "--behavior source --count 100 --prefix word --linger 0 --send-mode {mode}"
                ),
                "--behavior sink --count 100",
            )
            .await;
            let printed = sink.rest_of_stdout().await;
            assert_eq!(printed, numbered("word", 0..100), "{role} {mode}");
            completes(&mut sink).await;
            completes(&mut source).await;
        }
    }
}

#[tokio::test]
async fn an_echo_sends_back_what_python_sent() {
    for role in ["bind", "connect"] {
        let identity = Identity::random();
        let echo = format!("--behavior echo --count 50 --linger 0 --identity {identity}");
        let (mut echo, mut python) = beside_python(role, &echo, "roundrobin").await;
        python.send_many("m", 50);
        for expected in numbered("m", 0..50) {
            assert_eq!(python.received().await, (identity, expected));
        }
        completes(&mut echo).await;
    }
}

#[tokio::test]
async fn a_source_fills_python_and_python_fills_a_sink() {
    for role in ["bind", "connect"] {
        let (mut source, mut python) =
            beside_python(role, "--behavior source --count 200 --linger 0", "publish").await;
        assert_eq!(python.receive(200).await, numbered("m", 0..200));
        completes(&mut source).await;

        let (mut sink, mut python) =
            beside_python(role, "--behavior sink --count 200", "publish").await;
        python.send_many("py", 200);
        assert_eq!(sink.rest_of_stdout().await, numbered("py", 0..200));
        completes(&mut sink).await;
    }
}

/// An agent in `role` and a Python peer at its other end.
async fn beside_python(role: &str, options: &str, mode: &str) -> (Process, PythonPeer) {
    let with_mode = |options: PythonOptions| options.with("--send-mode", mode);
    if role == "bind" {
        let (agent, port) = agent::bind(options).await;
        let python = PythonPeer::start(&with_mode(PythonOptions::connect(port))).await;
        return (agent, python);
    }
    let python = PythonPeer::start(&with_mode(PythonOptions::bind(0))).await;
    let port = python.port;
    let agent = agent::start(&format!("--role connect --port {port} {options}"));
    (agent, python)
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
        completes(sink).await;
    }
    all.sort_by_key(|line| line[1..].parse::<u64>().ok());
    assert_eq!(all, numbered("m", 0..40));
    completes(&mut source).await;
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
    completes(&mut relay).await;
    drop(peer);
}

#[tokio::test]
async fn a_source_pads_its_payloads_and_keeps_its_rate() {
    let start = Instant::now();
    let (mut source, mut sink) = pair(
        "connect",
        "--behavior source --count 6 --size 5 --rate 10 --linger 0",
        "--behavior sink --count 6",
    )
    .await;
    let expected = ["m0...", "m1...", "m2...", "m3...", "m4...", "m5..."];
    assert_eq!(sink.rest_of_stdout().await, expected);
    completes(&mut source).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
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
    completes(&mut sink).await;
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
async fn a_broken_pipe_is_a_sentence_and_no_panic() {
    let mut command = agent::command("--role bind --port 0 --count 10");
    let mut sink = Process::spawn_unread(&mut command);
    let port = agent::listening(&mut sink).await;
    sink.close_stdout();
    aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        peer.data_req([1; 16], b"for nobody");
        while let Some(frame) = peer.read().expect("a clean end") {
            assert_ne!(frame.kind, ACK, "it acknowledged what it could not print");
        }
    })
    .await;
    fails_with(sink, "standard output cannot be written").await;
}

#[tokio::test]
async fn a_taken_port_is_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("a bound address").port();
    let agent = agent::start(&format!("--role bind --port {port}"));
    fails_with(agent, "cannot listen").await;
}

#[tokio::test]
async fn wrong_options_are_errors() {
    for (options, sentence) in [
        ("--role bind", "--port"),
        ("--port 1", "--role"),
        ("--role bind --port 1 --colour red", "--colour"),
        ("--role bind --port 1 --behavior dance", "dance"),
        ("--role bind --port 1 --identity xyz", "identity"),
        ("--role bind --port 1 --linger soon", "--linger"),
        ("--role bind --port 1 --tls perhaps", "perhaps"),
        ("--role bind --port 1 --tls", "--tls"),
        ("--role bind --port 1 --rate 0", "--rate"),
    ] {
        fails_with(agent::start(options), sentence).await;
    }
}

#[tokio::test]
async fn publish_at_least_once_is_refused_in_a_sentence() {
    let agent = agent::start(
        "--role bind --port 0 --behavior source --send-mode publish --delivery at-least-once",
    );
    fails_with(agent, "publishes cannot deliver at least once").await;
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_in_a_sentence() {
    for options in [
        "--tls true",
        "--require-client-cert true",
        "--outbox never-made",
    ] {
        let agent = agent::start(&format!("--role bind --port 0 {options}"));
        fails_with(agent, "conformance_agent: ").await;
    }
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
    completes(&mut source).await;
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
    completes(&mut source).await;
}

#[tokio::test]
async fn at_least_once_reaches_python_and_is_acknowledged() {
    for role in ["bind", "connect"] {
        let options = "--behavior source --count 300 --delivery at-least-once --linger 0";
        let (mut source, mut python) = beside_python(role, options, "roundrobin").await;
        assert_eq!(python.receive(300).await, numbered("m", 0..300));
        completes(&mut source).await;
    }
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
async fn standard_input_may_be_closed() {
    let (mut sink, port) = agent::bind("--count 1").await;
    sink.close_stdin();
    let mut source = agent::start(&format!(
        "--role connect --port {port} --behavior source --count 1 --linger 0"
    ));
    source.close_stdin();
    assert_eq!(sink.rest_of_stdout().await, ["m0"]);
    completes(&mut sink).await;
    completes(&mut source).await;
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
    completes(&mut source).await;
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
    completes(&mut source).await;
}

#[tokio::test]
async fn sigterm_ends_every_behaviour_at_once() {
    for behavior in ["sink", "echo", "relay"] {
        let (mut agent, _) = agent::bind(&format!("--behavior {behavior}")).await;
        let start = Instant::now();
        agent.signal("TERM");
        completes(&mut agent).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{behavior}");
    }
}

#[tokio::test]
async fn a_source_that_is_terminated_says_what_was_accepted_and_sends_it() {
    let (mut source, port) =
        agent::bind("--behavior source --count 100000000 --size 1000 --linger 0").await;
    let (peer, first) = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        let first = peer.expect_data();
        (peer, first)
    })
    .await;
    assert!(first.starts_with(b"m0."));
    source.signal("TERM");
    let last = aside(move || {
        let mut peer = peer;
        let mut last = first;
        while let Some(frame) = peer.read().expect("a clean end") {
            if frame.kind == DATA {
                last = frame.body;
            }
        }
        String::from_utf8(last).expect("a text")
    })
    .await;
    let accepted = source.stderr.find(|line| line.contains("accepted")).await;
    let accepted: serde_json::Value = serde_json::from_str(&accepted).expect("JSON");
    let last: u64 = last
        .trim_start_matches('m')
        .trim_end_matches('.')
        .parse()
        .expect("a number");
    assert_eq!(accepted["n"], last + 1);
    completes(&mut source).await;
}

#[tokio::test]
async fn a_source_that_is_terminated_without_a_peer_ends_within_12_seconds() {
    let (mut source, _) = agent::bind("--behavior source --count 5").await;
    let start = Instant::now();
    source.signal("TERM");
    assert!(source.exit().await.success());
    assert!(start.elapsed() < Duration::from_secs(12));
    let complaint = source.complaint().await;
    assert!(
        complaint.contains(r#"{"event":"accepted","n":5}"#),
        "{complaint}"
    );
}

#[tokio::test]
async fn events_are_lines_of_json() {
    let (mut source, port) =
        agent::bind("--behavior source --count 45 --linger 0 --events true").await;
    let peer = "0123456789abcdef0123456789abcdef";
    let mut sink = agent::start(&format!(
        "--role connect --port {port} --count 45 --identity {peer}"
    ));
    completes(&mut sink).await;
    let events: Vec<serde_json::Value> = completes(&mut source)
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
