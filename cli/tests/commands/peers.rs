//! `aiomsg peers`.

use serde_json::Value;

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, ended, endpoint_in, listening, port_of};

#[tokio::test]
async fn a_python_peer_comes_and_goes() {
    let mut peers = aiomsg("peers --bind tcp://127.0.0.1:0 -n 2 --json");
    let port = port_of(&listening(&mut peers).await);
    let name = "00112233445566778899aabbccddeeff";
    let options = PythonOptions::connect(port).with("--identity", name);
    let mut python = PythonPeer::start(&options).await;
    let line: Value = serde_json::from_str(&peers.line().await).unwrap();
    assert_eq!(
        (&line["event"], &line["peer"]),
        (&"up".into(), &name.into())
    );
    python.close().await;
    let (code, lines, _) = ended(peers).await;
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (code, &line["event"], &line["peer"]),
        (0, &"down".into(), &name.into())
    );
    assert!(line["reason"].is_string());
}

#[tokio::test]
async fn on_a_terminal_a_python_peer_is_a_line_until_ctrl_c() {
    let mut peers = OnTerminal::spawn("peers --bind tcp://127.0.0.1:0");
    let port = port_of(&endpoint_in(&peers.shows("listening on ").await));
    let _python = PythonPeer::start(&PythonOptions::connect(port)).await;
    peers.shows(" up ").await;
    peers.type_in("\x03");
    assert_eq!(peers.exit().await.code(), Some(0));
}
