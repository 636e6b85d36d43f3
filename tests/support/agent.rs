//! The conformance agent as a process.

use std::process::Command;
use std::time::{Duration, Instant};

use super::example;
use super::process::Process;
use super::python::{PythonOptions, PythonPeer};

/// How every endpoint begins here.
const ADDRESS: &str = "://127.0.0.1:";

/// A command that runs the agent with options that a line of text lists.
pub fn command(options: &str) -> Command {
    example::command("conformance_agent", options)
}

/// An agent that runs.
pub fn start(options: &str) -> Process {
    Process::spawn(&mut command(options))
}

/// An agent that binds a free port, and the port.
pub async fn bind(options: &str) -> (Process, u16) {
    let mut agent = start(&format!("--role bind --port 0 {options}"));
    let port = listening(&mut agent).await;
    (agent, port)
}

/// The port that an agent which was told to bind port 0 has taken.
pub async fn listening(agent: &mut Process) -> u16 {
    port_in(&agent.stderr.find(|line| line.contains(ADDRESS)).await)
}

/// The port in a line that names an endpoint on this machine.
pub fn port_in(line: &str) -> u16 {
    let (_, rest) = line
        .split_once(ADDRESS)
        .expect("the line names an endpoint");
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("an endpoint ends in its port")
}

/// Starts two agents at one port, the bind end first: `(first, second)`, in this order whichever binds.
pub async fn pair(role: &str, first: &str, second: &str) -> (Process, Process) {
    let (binds, connects) = if role == "bind" {
        (first, second)
    } else {
        (second, first)
    };
    let (bound, port) = bind(binds).await;
    let connected = start(&format!("--role connect --port {port} {connects}"));
    if role == "bind" {
        (bound, connected)
    } else {
        (connected, bound)
    }
}

/// Waits until an agent has completed; yields what it said on standard error.
pub async fn completes(agent: &mut Process) -> String {
    let status = agent.exit().await;
    let complaint = agent.complaint().await;
    assert!(status.success(), "{status}: {complaint}");
    complaint
}

/// Checks that an agent says why it cannot go on, and how it ends.
pub async fn fails_with(mut agent: Process, sentence: &str) {
    let start = Instant::now();
    let status = agent.exit().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    let complaint = agent.complaint().await;
    assert!(!status.success(), "it exited 0: {complaint}");
    assert!(complaint.contains(sentence), "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
}

/// An agent in `role` and a Python peer at its other end.
pub async fn beside_python(role: &str, options: &str, mode: &str) -> (Process, PythonPeer) {
    let with_mode = |options: PythonOptions| options.with("--send-mode", mode);
    if role == "bind" {
        let (agent, port) = bind(options).await;
        let python = PythonPeer::start(&with_mode(PythonOptions::connect(port))).await;
        return (agent, python);
    }
    let python = PythonPeer::start(&with_mode(PythonOptions::bind(0))).await;
    let port = python.port;
    let agent = start(&format!("--role connect --port {port} {options}"));
    (agent, python)
}
