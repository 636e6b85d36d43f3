//! How the conformance agent ends: complete, told to, or unable to go on.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::agent;
use support::aside;
use support::process::Process;
use support::raw_peer::{ACK, DATA, DATA_REQ, HEARTBEAT, RawPeer, frame};
use tokio::sync::oneshot;

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
    agent::fails_with(sink, "standard output cannot be written").await;
}

#[tokio::test]
async fn a_taken_port_is_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("a bound address").port();
    let agent = agent::start(&format!("--role bind --port {port}"));
    agent::fails_with(agent, "cannot listen").await;
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
        ("--role bind --port 1 --size", "--size"),
        ("--role bind --port 1 --count -1", "-1"),
        (
            "--role bind --port 1 --recv-delay-ms 1.5",
            "--recv-delay-ms",
        ),
        ("--role bind --port 1 --max-frame 5000000000", "--max-frame"),
        ("--role bind --port 1 --max-frame 17", "18 bytes"),
        (
            "--role bind --port 1 --max-connections 0",
            "--max-connections",
        ),
        ("--role bind --port 1 --events yes", "--events"),
        (
            "--role bind --port 1 --heartbeat-interval-ms 0",
            "heartbeat",
        ),
        ("--role bind --port 1 --heartbeat-timeout-ms 0", "heartbeat"),
        ("--role bind --port 1 --resend-timeout-ms 0", "resend"),
        ("--role bind --port 1 --handshake-timeout-ms 0", "handshake"),
    ] {
        agent::fails_with(agent::start(options), sentence).await;
    }
}

#[tokio::test]
async fn publish_at_least_once_is_refused_in_a_sentence() {
    let agent = agent::start(
        "--role bind --port 0 --behavior source --send-mode publish --delivery at-least-once",
    );
    agent::fails_with(agent, "publishes cannot deliver at least once").await;
}

#[tokio::test]
async fn what_is_not_there_yet_is_refused_in_a_sentence() {
    for (options, sentence) in [
        ("--tls true", "conformance_agent: "),
        (
            "--require-client-cert true",
            "--require-client-cert true needs",
        ),
        (
            "--outbox never-made --send-mode publish",
            "a socket that publishes cannot have an outbox",
        ),
    ] {
        let agent = agent::start(&format!("--role bind --port 0 {options}"));
        agent::fails_with(agent, sentence).await;
    }
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
    agent::completes(&mut sink).await;
    agent::completes(&mut source).await;
}

#[tokio::test]
async fn sigterm_ends_every_behaviour_at_once() {
    for behavior in ["sink", "echo", "relay"] {
        let (mut agent, _) = agent::bind(&format!("--behavior {behavior}")).await;
        let start = Instant::now();
        agent.signal("TERM");
        agent::completes(&mut agent).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{behavior}");
    }
}

#[tokio::test]
async fn sigterm_ends_a_connected_agent_at_once_and_leaves_its_peer_alone() {
    for options in [
        "--behavior sink",
        "--behavior echo",
        "--behavior relay",
        "--behavior source --count 1 --linger 60",
        "--behavior source --start-delay-ms 60000",
        "--behavior source --delivery at-least-once --rate 1 --count 1000",
    ] {
        let (mut agent, port) = agent::bind(options).await;
        let mut other = agent::start(&format!(
            "--role connect --port {port} --count 1000 --events true"
        ));
        other.stderr.find(|line| line.contains("peer_up")).await;
        let start = Instant::now();
        agent.signal("TERM");
        agent::completes(&mut agent).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{options}");
        other.stderr.find(|line| line.contains("peer_down")).await;
        assert!(other.is_running());
    }
}

#[tokio::test]
async fn sigterm_while_a_peer_never_reads_ends_within_12_seconds() {
    let (mut source, port) =
        agent::bind("--behavior source --count 100000000 --size 1000 --events true").await;
    let peer = aside(move || RawPeer::introduced(([127, 0, 0, 1], port), [7; 16])).await;
    // Held by backpressure: the reports stop coming.
    let mut accepted = source.stderr.find(|line| line.contains("accepted")).await;
    while let Some(line) = source.stderr.next_within(Duration::from_millis(500)).await {
        if line.contains("accepted") {
            accepted = line;
        }
    }
    let start = Instant::now();
    source.signal("TERM");
    assert!(source.exit().await.success());
    assert!(start.elapsed() < Duration::from_secs(12));
    let complaint = source.complaint().await;
    let last = complaint.lines().find(|line| line.contains("accepted"));
    let count = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["n"].as_u64().expect("a number")
    };
    let taken = count(last.expect("what send had taken"));
    assert!((count(&accepted)..count(&accepted) + 20).contains(&taken));
    drop(peer);
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
    agent::completes(&mut source).await;
}

/// Asks a relay or an echo to handle messages until it ends, and takes what comes of them. Says when the
/// first is acknowledged; yields how many were, and how many came.
fn asks_to_the_end(mut peer: RawPeer, begun: oneshot::Sender<()>) -> (u64, u64) {
    let mut begun = Some(begun);
    let (mut asked, mut acknowledged, mut came) = (0, 0, 0);
    loop {
        while asked < acknowledged + 50 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&u64::to_be_bytes(asked));
            // It may have gone.
            peer.try_say(&frame(DATA_REQ, &[&id[..], b"pass it on"].concat()));
            asked += 1;
        }
        let Ok(Some(next)) = peer.read() else {
            return (acknowledged, came);
        };
        match next.kind {
            ACK => {
                acknowledged += 1;
                if let Some(begun) = begun.take() {
                    begun.send(()).expect("it is waited for");
                }
            }
            DATA_REQ => {
                came += 1;
                peer.try_say(&frame(ACK, &next.body[..16]));
            }
            kind => assert_eq!(kind, HEARTBEAT),
        }
    }
}

#[tokio::test]
async fn what_a_terminated_relay_or_echo_has_acknowledged_it_has_sent() {
    for behavior in ["relay", "echo"] {
        let (mut agent, port) = agent::bind(&format!(
            "--behavior {behavior} --delivery at-least-once --count 1000000 --linger 0"
        ))
        .await;
        let (begun, has_begun) = oneshot::channel();
        let asking = aside(move || {
            let peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
            asks_to_the_end(peer, begun)
        });
        let ending = async {
            has_begun.await.expect("it begins");
            agent.signal("TERM");
            let start = Instant::now();
            agent::completes(&mut agent).await;
            assert!(start.elapsed() < Duration::from_secs(12), "{behavior}");
        };
        let ((acknowledged, came), ()) = tokio::join!(asking, ending);
        assert!(
            came >= acknowledged,
            "{behavior}: {acknowledged} acknowledged, {came} came"
        );
    }
}

#[tokio::test]
async fn a_source_that_is_terminated_without_a_peer_ends_within_12_seconds() {
    let (mut source, _) = agent::bind("--behavior source --count 5 --events true").await;
    source.stderr.find(|line| line.contains("accepted")).await;
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
