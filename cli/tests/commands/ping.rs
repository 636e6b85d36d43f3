//! `aiomsg ping`.

use serde_json::Value;

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, ended, free_port, run};

#[tokio::test]
async fn a_python_peer_answers_each_time() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!("ping tcp://127.0.0.1:{} -n 3 -i 10ms", python.port);
    let (code, lines, complaint) = run(&options).await;
    assert_eq!((code, lines.len()), (0, 4), "{complaint}");
    assert!(
        lines[3].starts_with("3 of 3 answered; fastest "),
        "{}",
        lines[3]
    );
    let (_, lines, _) = run(&format!("{options} --json")).await;
    let line: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!(
        (&line["number"], &line["transport"]),
        (&3.into(), &"tcp".into())
    );
}

#[tokio::test]
async fn on_a_terminal_ctrl_c_sums_up_what_came_of_a_python_peer() {
    let python = PythonPeer::start(&PythonOptions::bind(0)).await;
    let options = format!("ping tcp://127.0.0.1:{} -n 0 -i 10m", python.port);
    let mut ping = OnTerminal::spawn(&options);
    ping.shows("1: ").await;
    ping.type_in("\x03");
    assert_eq!(ping.exit().await.code(), Some(0));
    ping.shows("1 of 1 answered").await;
}

#[tokio::test]
async fn nobody_who_answers_is_exit_code_1_with_the_doctor_advised() {
    let port = free_port();
    let (code, lines, complaint) = run(&format!("ping tcp://127.0.0.1:{port} -n 1")).await;
    assert_eq!(code, 1);
    assert!(lines[0].contains("refused"), "{lines:?}");
    assert!(complaint.contains("aiomsg doctor"), "{complaint}");
}

#[tokio::test]
async fn an_attempt_that_ctrl_c_cuts_short_has_not_failed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ping = aiomsg(&format!("ping tcp://127.0.0.1:{port} --timeout 10m"));
    // It says nothing.
    let (_silent, _) = listener.accept().await.unwrap();
    ping.signal("INT");
    let (code, lines, complaint) = ended(ping).await;
    assert_eq!(code, 0, "{complaint}");
    assert_eq!(lines, ["0 of 0 answered"]);
}
