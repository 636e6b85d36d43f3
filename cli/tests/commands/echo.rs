//! `aiomsg echo`.

use super::support::python::{PythonOptions, PythonPeer};
use super::support::{OnTerminal, aiomsg, endpoint_in, listening, port_of};

#[tokio::test]
async fn a_python_peer_is_answered_by_identity_until_sigterm() {
    let mut echo = aiomsg("echo --bind tcp://127.0.0.1:0 --identity echo");
    let port = port_of(&listening(&mut echo).await);
    let mut one = PythonPeer::start(&PythonOptions::connect(port)).await;
    let mut other = PythonPeer::start(&PythonOptions::connect(port)).await;
    one.send("from one");
    other.send("from the other");
    let us = actix_aiomsg::Identity::from_name("echo");
    assert_eq!(one.received().await, (us, "from one".to_owned()));
    assert_eq!(other.received().await, (us, "from the other".to_owned()));
    echo.signal("TERM");
    assert_eq!(echo.exit().await.code(), Some(0));
}

#[tokio::test]
async fn on_a_terminal_it_tells_who_comes_and_ctrl_c_ends_it() {
    let mut echo = OnTerminal::spawn("echo --bind tcp://127.0.0.1:0");
    let port = port_of(&endpoint_in(&echo.shows("listening on ").await));
    let mut python = PythonPeer::start(&PythonOptions::connect(port)).await;
    python.send("there");
    assert_eq!(python.receive(1).await, ["there"]);
    echo.shows("is connected").await;
    echo.type_in("\x03");
    assert_eq!(echo.exit().await.code(), Some(0));
}
