//! Asks between the inventory of `examples/services` and the Python peer of `examples/ask_peer.py`.

mod support;

use std::path::Path;
use std::process::Command;

use support::agent::port_in;
use support::process::Process;
use support::{example, python};

#[tokio::test]
async fn a_python_peer_asks_and_answers() {
    let mut service = Process::spawn(&mut example::command("services", "inventory --ask"));
    let port = port_in(&service.line().await);
    let interpreter = support::aside(python::interpreter).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ask_peer.py");
    let mut command = Command::new(interpreter);
    command.arg(script).arg(port.to_string());
    let mut peer = Process::spawn(&mut command);
    // It asked, and was answered with a reply.
    assert_eq!(peer.line().await, r#"2 {"count":5}"#);
    // It was asked `in-stock {"item":"tea"}`, and answered how long that is.
    assert_eq!(service.line().await, "Left { count: 23 }");
    assert!(service.exit().await.success());
    peer.signal("INT");
    assert!(peer.exit().await.success());
    // The package logs what its connections do.
    let complaint = peer.complaint().await;
    assert!(complaint.ends_with("stopped"), "{complaint}");
    assert!(!complaint.contains("Traceback"), "{complaint}");
}
