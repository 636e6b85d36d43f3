//! `aiomsg doctor`.

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::cert::{certificates, options};
use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, free_port, listening, run};

/// The status of each check, and all of its lines.
async fn doctor(options: &str) -> (i32, Vec<(String, String)>, String) {
    let (code, lines, complaint) = run(&format!("doctor --json {options}")).await;
    let mut checks = Vec::new();
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        // What the machine of the test has is not its matter.
        if text("check") != "descriptors" {
            checks.push((text("check"), text("status")));
        }
        assert!(
            line["status"] == "ok" || line["advice"].is_string(),
            "{line}"
        );
    }
    (code, checks, format!("{}\n{complaint}", lines.join("\n")))
}

fn expected(checks: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = checks
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn a_python_peer_is_well() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let (code, checks, told) = doctor(&format!("tcp://127.0.0.1:{}", python.port)).await;
    let steps = ["endpoint", "name", "tcp", "hello", "clock"].map(|check| (check, "ok"));
    assert_eq!((code, checks), (0, expected(&steps)), "{told}");
    let mut terminal = OnTerminal::spawn(&format!("doctor 127.0.0.1:{}", python.port));
    assert!(terminal.exit().await.success());
    let shown = terminal.shows("descriptors").await;
    assert!(
        shown.contains("\u{1b}[1m\u{1b}[32mok"),
        "it is green: {shown:?}"
    );
}

#[tokio::test]
async fn nobody_who_listens_is_told_at_the_address() {
    let (code, checks, told) = doctor(&format!("tcp://127.0.0.1:{}", free_port())).await;
    let steps = [
        ("endpoint", "ok"),
        ("name", "ok"),
        ("tcp", "fail"),
        ("clock", "ok"),
    ];
    assert_eq!((code, checks), (1, expected(&steps)), "{told}");
    assert!(told.contains("Nobody listens there"), "{told}");
}

#[tokio::test]
async fn a_chain_is_shown_with_names_and_dates_and_what_is_wrong_with_it_is_told() {
    let folder = certificates("doctor").await;
    let (server, client) = options(&folder);
    let mut echo = aiomsg(&format!("echo --bind tls://localhost:0 {server}"));
    let endpoint = listening(&mut echo).await;
    let seen = [
        ("endpoint", "ok"),
        ("name", "ok"),
        ("tcp", "ok"),
        ("tls", "ok"),
        ("certificate", "ok"),
    ];

    let (code, checks, told) = doctor(&format!("{endpoint} {client}")).await;
    let well = [
        &seen[..],
        &[("trust", "ok"), ("hello", "ok"), ("clock", "ok")],
    ]
    .concat();
    assert_eq!((code, checks), (0, expected(&well)), "{told}");
    assert!(
        told.contains(
            "CN=localhost (localhost, 127.0.0.1), signed by CN=aiomsg development authority"
        ),
        "{told}"
    );

    let untrusted = [&seen[..], &[("trust", "fail"), ("clock", "ok")]].concat();
    let (code, checks, told) = doctor(&endpoint).await;
    assert_eq!((code, checks), (1, expected(&untrusted)), "{told}");
    assert!(told.contains("--ca FILE"), "{told}");

    let ca = folder.place("ca.pem");
    let (code, checks, told) = doctor(&format!("{endpoint} --ca {ca}")).await;
    assert_eq!((code, checks), (1, expected(&untrusted)), "{told}");
    assert!(told.contains("aiomsg cert client"), "{told}");

    let plain = endpoint.replace("tls://", "tcp://");
    let (code, _, told) = doctor(&plain).await;
    assert_eq!(code, 1);
    assert!(told.contains("is it tls:// or tcp://?"), "{told}");
}

#[tokio::test]
async fn another_program_than_a_socket_is_told_and_so_is_a_websocket_that_is_well() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Whoever only looks at the address is gone by then.
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
        }
    });
    let (code, checks, told) = doctor(&format!("tcp://127.0.0.1:{port}")).await;
    serving.abort();
    let steps = [
        ("endpoint", "ok"),
        ("name", "ok"),
        ("tcp", "ok"),
        ("hello", "fail"),
        ("clock", "ok"),
    ];
    assert_eq!((code, checks), (1, expected(&steps)), "{told}");

    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0");
    let endpoint = listening(&mut echo).await.replace("tcp://", "ws://");
    let (code, checks, told) = doctor(&endpoint).await;
    let steps =
        ["endpoint", "name", "tcp", "websocket", "hello", "clock"].map(|check| (check, "ok"));
    assert_eq!((code, checks), (0, expected(&steps)), "{told}");
}

#[tokio::test]
async fn without_hello_the_look_is_no_peer_and_is_dealt_no_message() {
    let mut sender = aiomsg("send --bind tcp://127.0.0.1:0 -m job --timeout 60s");
    let endpoint = listening(&mut sender).await;
    let (code, checks, told) = doctor(&format!("{endpoint} --no-hello")).await;
    let steps = ["endpoint", "name", "tcp", "clock"].map(|check| (check, "ok"));
    assert_eq!((code, checks), (0, expected(&steps)), "{told}");
    let (code, lines, _) = run(&format!("sub --connect {endpoint} -n 1")).await;
    assert_eq!((code, lines), (0, vec!["job".to_owned()]));
}

#[tokio::test]
async fn messages_that_the_look_was_dealt_are_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // HELLO and a message behind it, in one segment.
    let hello = [&[0, 0, 0, 18, 1, 1][..], &[7; 16], &[0, 0, 0, 4, 3], b"job"].concat();
    let serving = tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Whoever only looks at the address is gone by then.
            let _ = stream.write_all(&hello).await;
            streams.push(stream);
        }
    });
    let (code, checks, told) = doctor(&format!("tcp://127.0.0.1:{port}")).await;
    serving.abort();
    assert_eq!(code, 0, "{told}");
    assert!(
        checks.contains(&("messages".into(), "warn".into())),
        "{told}"
    );
    assert!(told.contains("dealt to this look: 1"), "{told}");
}
