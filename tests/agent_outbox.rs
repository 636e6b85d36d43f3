//! The conformance agent with an outbox, killed and started again.
#![cfg(unix)]

mod support;

use std::time::Duration;

use actix_aiomsg::Identity;
use support::agent;
use support::process::Process;

/// How many messages the source has said to be accepted, by the last of its lines.
async fn accepted(source: &mut Process) -> u64 {
    let count = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_accepted = event["event"] == "accepted";
        is_accepted.then(|| event["n"].as_u64())?
    };
    let lines = source.stderr.rest().await;
    lines
        .iter()
        .filter_map(|line| count(line))
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn what_a_killed_agent_has_accepted_goes_before_new_messages_of_the_next() {
    let path = std::env::temp_dir().join(format!("aiomsg-agent-outbox-{}", Identity::random()));
    let options = |count: u32, prefix: &str| {
        format!(
            "--behavior source --delivery at-least-once --count {count} --prefix {prefix} --events true --linger 0 --outbox {}",
            path.display()
        )
    };
    // Nobody listens at its port: whatever it accepts waits.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let mut killed = agent::start(&format!(
        "--role connect --port {port} {}",
        options(1_000_000, "old")
    ));
    let enough = |line: &str| line.contains("accepted") && line.contains("\"n\":100");
    killed.stderr.find(enough).await;
    tokio::time::sleep(Duration::from_millis(7)).await;
    killed.kill();
    let promised = accepted(&mut killed).await.max(100);

    let (mut sink, port) = agent::bind("--count 1000000").await;
    let mut next = agent::start(&format!(
        "--role connect --port {port} {}",
        options(3, "new")
    ));
    agent::completes(&mut next).await;
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "new2") {
        lines.push(sink.line().await);
    }
    let old = lines.len() - 3;
    assert_eq!(lines[old..], ["new0", "new1", "new2"]);
    // One may have been committed that nobody had been told of.
    assert!(old as u64 >= promised, "{old} of {promised}");
    let expected: Vec<String> = (0..old).map(|number| format!("old{number}")).collect();
    assert_eq!(lines[..old], expected);
    std::fs::remove_file(&path).unwrap();
}
