//! `aiomsg bench`.

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, ended, run};

async fn bench(options: &str) -> Value {
    let (code, lines, complaint) = run(&format!("bench {options} --json")).await;
    assert_eq!(code, 0, "{complaint}");
    serde_json::from_str(&lines[0]).unwrap()
}

#[tokio::test]
async fn without_a_peer_each_measurement_is_between_two_processes() {
    let one_way = bench("one-way -n 2k").await;
    assert_eq!(
        (&one_way["messages"], &one_way["lost"]),
        (&2000.into(), &0.into())
    );
    let acknowledged = bench("one-way -n 1k --ack").await;
    assert_eq!(acknowledged["messages"], 1000);
    let round_trip = bench("round-trip -n 500 --outstanding 8").await;
    // One of the eight is timed at a time.
    let timed = round_trip["timed"].as_u64().unwrap();
    assert!((62..500).contains(&timed), "{timed}");
    assert!(round_trip["microseconds"]["99"].as_f64() >= round_trip["microseconds"]["50"].as_f64());
    let fan_out = bench("fan-out -n 200 --subscribers 3").await;
    assert_eq!(
        (&fan_out["messages"], &fan_out["lost"]),
        (&600.into(), &0.into())
    );
}

#[tokio::test]
async fn a_python_peer_is_measured() {
    let python = PythonPeer::start(&PythonOptions::bind(0).echo()).await;
    let ends = format!("--connect tcp://127.0.0.1:{} -n 200", python.port);
    assert_eq!(bench(&format!("round-trip {ends}")).await["messages"], 200);
    assert_eq!(
        bench(&format!("one-way {ends} --ack")).await["messages"],
        200
    );
    assert_eq!(
        bench(&format!("fan-out {ends} --subscribers 1")).await["messages"],
        200
    );
}

#[tokio::test]
async fn on_a_terminal_each_measurement_of_a_python_peer_is_shown() {
    let python = PythonPeer::start(&PythonOptions::bind(0).echo()).await;
    let ends = format!("--connect tcp://127.0.0.1:{} -n 200", python.port);
    for (what, shown) in [
        ("round-trip", "99.9 % "),
        (
            "one-way",
            "one way, handed to the operating system: 200 messages",
        ),
        (
            "one-way --ack",
            "one way at least once, acknowledged: 200 messages",
        ),
        (
            "fan-out --subscribers 1",
            "fan-out to 1, handed to the operating system: 200 messages",
        ),
    ] {
        let mut terminal = OnTerminal::spawn(&format!("bench {what} {ends}"));
        terminal.shows(shown).await;
        assert!(terminal.exit().await.success(), "{what}");
    }
}

#[tokio::test]
async fn a_peer_that_sends_nothing_back_is_exit_code_3_with_the_reason() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let ends = format!("--connect tcp://127.0.0.1:{}", python.port);
    let (code, _, complaint) = run(&format!("bench round-trip {ends} --timeout 300ms")).await;
    assert_eq!(code, 3);
    assert!(complaint.contains("send everything back"), "{complaint}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_ends_it_with_exit_code_3() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bench = aiomsg(&format!(
        "bench one-way --connect tcp://127.0.0.1:{port} --size 16k --timeout 2s"
    ));
    let (mut peer, _) = listener.accept().await.unwrap();
    let hello = [&[0, 0, 0, 18, 1, 1][..], &[7; 16]].concat();
    peer.write_all(&hello).await.unwrap();
    let (code, _, complaint) = ended(bench).await;
    assert_eq!(code, 3, "{complaint}");
    assert!(
        complaint.contains("of 1000000 messages came"),
        "{complaint}"
    );
}
