//! One process: it is handed a payload, and what it prints may be an answer.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use actix_aiomsg::Identity;
use bytes::Bytes;
use shared_child::SharedChild;
use tokio::sync::oneshot;

use crate::input::MAX_MESSAGE;

/// What a process is to do.
pub(super) struct Work<'a> {
    pub(super) command: &'a [OsString],
    pub(super) kind: &'static str,
    pub(super) peer: Identity,
    pub(super) payload: Bytes,
    /// Whether what it prints is an answer, and not for our own standard output.
    pub(super) captures: bool,
}

/// A process at work. It is ended when this is dropped; what it has started itself is its own matter.
pub(super) struct Job {
    child: Arc<SharedChild>,
    outcome: oneshot::Receiver<Result<Bytes, String>>,
    running: Running,
}

/// The processes that run, by which they can be ended.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<Vec<Arc<SharedChild>>>>);

impl Running {
    /// Ends all of them.
    pub(super) fn end_all(&self) {
        for child in self.lock().iter() {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<SharedChild>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Starts it.
    pub(super) fn start(work: Work<'_>, running: &Running) -> Result<Self, String> {
        let Work {
            command,
            kind,
            peer,
            payload,
            captures,
        } = work;
        let [program, arguments @ ..] = command else {
            return Err("there is no program".to_owned());
        };
        let name = program.to_string_lossy().into_owned();
        let mut process = Command::new(program);
        process
            .args(arguments)
            .env("AIOMSG_PEER", peer.to_string())
            .env("AIOMSG_KIND", kind)
            .stdin(Stdio::piped());
        if captures {
            process.stdout(Stdio::piped());
        }
        // Ctrl-C on a terminal is for us alone: what runs is finished.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let child = SharedChild::spawn(&mut process);
        let child = Arc::new(child.map_err(|error| format!("cannot start {name}: {error}"))?);
        let (sender, outcome) = oneshot::channel();
        let worker = Arc::clone(&child);
        let work = move || {
            // Nobody may wait for it any more.
            let _ = sender.send(finish(&worker, &name, payload));
        };
        let spawned = thread::Builder::new().name("job".to_owned()).spawn(work);
        let job = Self {
            child,
            outcome,
            running: running.clone(),
        };
        job.running.lock().push(Arc::clone(&job.child));
        // Without the thread, the job is dropped and its process ended.
        spawned.map_err(|error| format!("no thread for a process: {error}"))?;
        Ok(job)
    }

    /// What it printed, or why that does not count.
    pub(super) async fn outcome(&mut self) -> Result<Bytes, String> {
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or_else(|_| Err("the thread of a process has ended".to_owned()))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let child = Arc::clone(&self.child);
        let mut running = self.running.lock();
        running.retain(|other| !Arc::ptr_eq(other, &child));
    }
}

/// Hands the payload over, reads what is printed, and waits for the end.
fn finish(child: &Arc<SharedChild>, name: &str, payload: Bytes) -> Result<Bytes, String> {
    let writer = child.take_stdin().map(|mut stdin| {
        // A program need not read its input: then there is nobody to write to.
        thread::spawn(move || _ = stdin.write_all(&payload))
    });
    let mut printed = Vec::new();
    let mut read = Ok(0);
    if let Some(stdout) = child.take_stdout() {
        let most = MAX_MESSAGE as u64 + 1;
        read = stdout.take(most).read_to_end(&mut printed);
    }
    if printed.len() > MAX_MESSAGE {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!(
            "{name} printed more than {MAX_MESSAGE} bytes, the most that a message has"
        ));
    }
    let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
    drop(writer);
    match (status.success(), read) {
        (true, Ok(_)) => Ok(printed.into()),
        (true, Err(error)) => Err(format!("the output of {name} cannot be read: {error}")),
        (false, _) => Err(format!("{name} failed: {status}")),
    }
}
