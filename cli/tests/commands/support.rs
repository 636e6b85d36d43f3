//! The program as a child process, in a pipe or on a terminal.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../tests/support/again.rs"]
pub mod again;
#[path = "../../../tests/support/folder.rs"]
mod folder;
#[path = "../../../tests/support/process.rs"]
pub mod process;
#[path = "../../../tests/support/python.rs"]
pub mod python;
#[path = "../../../tests/support/waiting.rs"]
mod waiting;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

pub use folder::Folder;
use process::Process;
pub use waiting::{aside, eventually, within_patience};

/// The program with these options, split at spaces.
pub fn command(options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aiomsg"));
    command.args(options.split_whitespace());
    command.env_remove("NO_COLOR");
    command
}

/// The program in a pipe.
pub fn aiomsg(options: &str) -> Process {
    Process::spawn(&mut command(options))
}

/// The endpoint that it says it listens on.
pub async fn listening(process: &mut Process) -> String {
    let found = |line: &str| line.contains("listening on ");
    endpoint_in(&process.stderr.find(found).await)
}

/// The endpoint at the end of such a line.
pub fn endpoint_in(line: &str) -> String {
    let (_, endpoint) = line.split_once("listening on ").expect("it says where");
    let is_end = |c: char| c.is_whitespace() || c.is_control();
    endpoint
        .split(is_end)
        .next()
        .expect("an endpoint")
        .to_owned()
}

/// The port of an endpoint.
pub fn port_of(endpoint: &str) -> u16 {
    let port = endpoint.rsplit(':').next();
    port.expect("a port").parse().expect("a number")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Runs it to its end: its exit code, the lines that it printed, and its complaint.
pub async fn run(options: &str) -> (i32, Vec<String>, String) {
    run_command(&mut command(options)).await
}

/// The same with a command.
pub async fn run_command(command: &mut Command) -> (i32, Vec<String>, String) {
    let mut process = Process::spawn(command);
    process.close_stdin();
    ended(process).await
}

/// Waits for the end of a process: its exit code, the lines that it printed, and its complaint.
pub async fn ended(mut process: Process) -> (i32, Vec<String>, String) {
    let lines = process.rest_of_stdout().await;
    let complaint = process.complaint().await;
    let status = process.exit().await;
    (status.code().expect("it exits by itself"), lines, complaint)
}

/// The program on a terminal of its own.
pub struct OnTerminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl OnTerminal {
    /// Starts it; what it writes to either output is shown.
    pub fn spawn(options: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.py");
        let mut command = Command::new(python::interpreter());
        command.args([script, env!("CARGO_BIN_EXE_aiomsg")]);
        command
            .args(options.split_whitespace())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let keys = child.stdin.take().expect("it is piped");
        let mut screen = child.stdout.take().expect("it is piped");
        let shown = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]);
                told.lock().unwrap().push_str(&text);
            }
        });
        Self { child, keys, shown }
    }

    /// Everything that was written so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until this text is shown.
    pub async fn shows(&self, text: &str) -> String {
        let what = format!("{text:?} on the terminal");
        eventually(&what, || self.shown().contains(text)).await;
        self.shown()
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        let typed = self.keys.write_all(text.as_bytes());
        typed.expect("the terminal is there");
    }

    /// Waits until it has ended.
    pub async fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        eventually("the program on the terminal to end", || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
