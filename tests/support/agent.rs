//! The conformance agent as a process.

use std::process::Command;

use super::example;
use super::process::Process;

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
