//! The conformance agent over WebSocket, over Unix-domain sockets, and over both kinds of TLS.

mod support;

use support::agent;
use support::python::numbered;

const SOURCE: &str = "--role connect --behavior source --count 20 --linger 0";

#[tokio::test]
async fn one_port_of_an_agent_serves_both_kinds_of_connect_end() {
    let (mut sink, port) = agent::bind("--count 40 --transport ws").await;
    let mut raw = agent::start(&format!("{SOURCE} --port {port} --prefix raw"));
    let mut ws = agent::start(&format!(
        "{SOURCE} --port {port} --transport ws --prefix ws"
    ));
    let mut lines = sink.rest_of_stdout().await;
    agent::completes(&mut sink).await;
    agent::completes(&mut raw).await;
    agent::completes(&mut ws).await;
    // Each came in order, whatever the other did meanwhile.
    lines.sort_by_key(|line| line.starts_with("ws"));
    let expected = [numbered("raw", 0..20), numbered("ws", 0..20)].concat();
    assert_eq!(lines, expected);
}

#[cfg(unix)]
#[tokio::test]
async fn agents_speak_over_a_unix_domain_socket() {
    let path = std::env::temp_dir().join(format!("agent-unix-{}", std::process::id()));
    let at = format!("--transport unix --host {} --port 0", path.display());
    let mut sink = agent::start(&format!("--role bind --count 20 --events true {at}"));
    sink.stderr.find(|line| line.contains("unix://")).await;
    let mut source = agent::start(&format!("{SOURCE} {at} --delivery at-least-once"));
    assert_eq!(sink.rest_of_stdout().await, numbered("m", 0..20));
    agent::completes(&mut sink).await;
    agent::completes(&mut source).await;
    assert!(!path.exists(), "the file goes with its bind end");
}

#[cfg(feature = "tls-dev")]
#[tokio::test]
async fn mutual_tls_works_over_tcp_and_over_websocket() {
    use support::certificates::Authority;

    let authority = Authority::new();
    let ca = authority.ca().display().to_string();
    let (certificate, key) = authority.issue("server");
    let (mut sink, port) = agent::bind(&format!(
        "--count 40 --tls true --tls-cert {} --tls-key {} --require-client-cert true --tls-ca {ca} \
         --events true",
        certificate.display(),
        key.display()
    ))
    .await;
    let (certificate, key) = authority.issue_named("client");
    let mutual = format!(
        "--tls true --tls-ca {ca} --tls-client-cert {} --tls-client-key {} --port {port}",
        certificate.display(),
        key.display()
    );
    // Without a certificate of its own nobody is served, over either.
    for transport in ["tcp", "ws"] {
        let options = format!("{SOURCE} --tls true --tls-ca {ca} --port {port} --prefix stranger");
        let stranger = agent::start(&format!("{options} --transport {transport}"));
        let rejected = sink
            .stderr
            .find(|line| line.contains("peer_rejected"))
            .await;
        assert!(rejected.contains("a certificate is required"), "{rejected}");
        drop(stranger);
    }
    let mut raw = agent::start(&format!("{SOURCE} {mutual} --prefix raw"));
    let mut ws = agent::start(&format!("{SOURCE} {mutual} --transport ws --prefix ws"));
    let mut lines = sink.rest_of_stdout().await;
    agent::completes(&mut raw).await;
    agent::completes(&mut ws).await;
    lines.sort_by_key(|line| line.starts_with("ws"));
    let expected = [numbered("raw", 0..20), numbered("ws", 0..20)].concat();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_transport_that_does_not_exist_is_a_sentence() {
    let agent = agent::start("--role connect --port 1 --transport pigeon");
    agent::fails_with(agent, "pigeon").await;
    let agent = agent::start("--role connect --port 1 --transport unix --host relative/path");
    agent::fails_with(agent, "relative/path").await;
}
