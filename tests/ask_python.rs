//! Asks between the inventory of `examples/services` and the Python peer of `examples/ask_peer.py`.

mod support;

use std::path::Path;
use std::process::Command;

use support::agent::port_in;
use support::process::Process;
use support::{example, python};

#[tokio::test]
async fn the_script_explains_itself_and_takes_one_port() {
    let interpreter = support::aside(python::interpreter).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ask_peer.py");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(interpreter);
        let output = command
            .arg(&script)
            .args(arguments)
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told, complaint)
    };
    for help in ["--help", "-h"] {
        let (code, told, complaint) = run(&[help]);
        assert_eq!((code, &*complaint), (Some(0), ""));
        assert!(told.contains("ask_peer.py PORT"), "{told}");
    }
    for wrong in [
        &[][..],
        &["0"],
        &["65536"],
        &["99999"],
        &["1", "2"],
        &["\u{b2}"],
        &["--bogus"],
    ] {
        let (code, told, complaint) = run(wrong);
        assert_eq!((code, &*told), (Some(1), ""), "{wrong:?}: {complaint}");
        assert!(
            complaint.contains("ask_peer.py PORT"),
            "{wrong:?}: {complaint}"
        );
        assert!(!complaint.contains("Traceback"), "{wrong:?}: {complaint}");
    }
}

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
