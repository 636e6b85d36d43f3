//! The conformance agent as a process.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::process::Process;

/// The agent's executable, built when it is missing or out of date.
///
/// `cargo test` builds all examples first, but `cargo test --test …` does not.
pub fn executable() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    // target/PROFILE/deps/this-test
    let test = std::env::current_exe().expect("this test has a path");
    let output = test
        .ancestors()
        .nth(2)
        .expect("a test lies two levels below its profile's directory");
    let directory = output
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a profile's directory has a name");
    let profile = if directory == "debug" {
        "dev"
    } else {
        directory
    };
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--quiet", "--example", "conformance_agent"])
        .args(["--profile", profile, "--no-default-features"])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .args(["--features", &enabled_features().join(",")])
        .arg("--target-dir")
        .arg(output.parent().expect("the target directory"));
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "{command:?} failed");
    output.join(format!(
        "examples/conformance_agent{}",
        std::env::consts::EXE_SUFFIX
    ))
}

/// The features that this test was built with, so that the same library serves the example.
fn enabled_features() -> Vec<&'static str> {
    [
        ("json", cfg!(feature = "json")),
        ("tls", cfg!(feature = "tls")),
    ]
    .into_iter()
    .filter_map(|(name, enabled)| enabled.then_some(name))
    .collect()
}

/// A command that runs the agent with options that a line of text lists.
pub fn command(options: &str) -> Command {
    let mut command = Command::new(executable());
    command.args(options.split_whitespace());
    command
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
    let line = agent
        .stderr
        .find(|line| line.contains("tcp://127.0.0.1:"))
        .await;
    let digits = line
        .rsplit(':')
        .next()
        .expect("a line has a last part")
        .trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().expect("an endpoint ends in its port")
}
