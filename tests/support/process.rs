//! Child processes that never outlive their test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use tokio::sync::mpsc;

use super::{eventually, within_patience};

/// A child process, killed by its id when this is dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it printed, if somebody reads that.
    pub stdout: Option<Lines>,
    unread_stdout: Option<ChildStdout>,
    /// What it said on standard error.
    pub stderr: Lines,
}

/// Lines of a stream, read by a thread of their own so that the child never blocks on its pipe.
pub struct Lines {
    name: String,
    queue: mpsc::UnboundedReceiver<String>,
}

impl Process {
    /// Starts `command` with all three streams piped and both outputs read.
    pub fn spawn(command: &mut Command) -> Self {
        let mut process = Self::spawn_unread(command);
        let stdout = process.unread_stdout.take().expect("it was just piped");
        let name = format!("standard output of {:?}", command.get_program());
        process.stdout = Some(Lines::of(name, stdout));
        process
    }

    /// The same, but nobody reads its standard output, so that its pipe can fill.
    pub fn spawn_unread(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = child.stderr.take().expect("it was just piped");
        let name = format!("standard error of {:?}", command.get_program());
        Self {
            stdin: child.stdin.take(),
            stdout: None,
            unread_stdout: child.stdout.take(),
            stderr: Lines::of(name, stderr),
            child,
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes our end of its standard output.
    pub fn close_stdout(&mut self) {
        self.unread_stdout = None;
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").expect("the process reads its standard input");
        stdin.flush().expect("the process reads its standard input");
    }

    /// The next line of its standard output.
    pub async fn line(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("standard output is read");
        if let Some(line) = stdout.next().await {
            return line;
        }
        let name = stdout.name.clone();
        panic!("{name} ended; standard error: {}", self.complaint().await);
    }

    /// Everything that is still to come on its standard output, up to its end.
    pub async fn rest_of_stdout(&mut self) -> Vec<String> {
        self.stdout
            .as_mut()
            .expect("standard output is read")
            .rest()
            .await
    }

    /// Everything that is still to come on its standard error, up to its end.
    pub async fn complaint(&mut self) -> String {
        self.stderr.rest().await.join("\n")
    }

    /// Sends it a signal by name, `TERM` for instance.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("`kill` runs");
        assert!(status.success(), "kill -{name} {}", self.child.id());
    }

    /// Ends it on the spot and waits until it is gone.
    pub fn kill(&mut self) {
        // A child that has ended already cannot be killed; it is gone all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended.
    pub async fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        eventually("a child process to end", || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Lines {
    fn of(name: String, stream: impl Read + Send + 'static) -> Self {
        let (lines, queue) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { return };
                if lines
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        Self { name, queue }
    }

    /// The next line; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<String> {
        within_patience(&self.name, self.queue.recv()).await
    }

    /// The next line, if it comes soon.
    pub async fn next_within(&mut self, pause: std::time::Duration) -> Option<String> {
        let next = tokio::time::timeout(pause, self.queue.recv()).await;
        next.ok().flatten()
    }

    /// Skips to the first line for which `found`.
    pub async fn find(&mut self, found: impl Fn(&str) -> bool) -> String {
        let mut skipped = Vec::new();
        while let Some(line) = self.next().await {
            if found(&line) {
                return line;
            }
            skipped.push(line);
        }
        panic!("{} ended without it: {skipped:#?}", self.name);
    }

    /// Passes every line to `each`, for as long as the stream lasts.
    pub async fn for_each(mut self, mut each: impl FnMut(&str)) {
        while let Some(line) = self.queue.recv().await {
            each(&line);
        }
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.next().await {
            rest.push(line);
        }
        rest
    }
}
