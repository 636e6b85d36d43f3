//! Standard output, written by a thread of its own.
//!
//! A pipe that nobody reads blocks whoever writes to it. Here that is one thread, so that heartbeats go on; the queue before it
//! is bounded, so that peers slow down instead.

use std::io::{self, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::Outcome;
use crate::failure::Failure;

/// Lines that may wait for the thread.
const QUEUE_LINES: usize = 1024;

/// Lines that are written before they are flushed.
const BATCH_LINES: usize = 256;

/// A line, and what is dropped when it is written: a message is acknowledged by that.
type Line<T> = (Vec<u8>, Option<T>);

/// The way to standard output. `T` is what is dropped when its line is written.
pub(crate) struct Output<T = ()> {
    lines: mpsc::Sender<Line<T>>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl<T: Send + 'static> Output<T> {
    /// Starts a thread that writes to standard output, and ends with this value.
    pub(crate) fn start() -> Outcome<Self> {
        let (lines, queue) = mpsc::channel(QUEUE_LINES);
        let (finished, done) = oneshot::channel();
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                // Nobody may be left to hear of it.
                let _ = finished.send(write_lines(io::stdout(), queue));
            })
            .map_err(|error| Failure::failed(format_args!("no thread for the output: {error}")))?;
        Ok(Self { lines, done })
    }

    /// Writes a line when those before it are written. `kept` is dropped then.
    ///
    /// It fails when nothing can be written any more; [`finish`](Self::finish) says why.
    pub(crate) async fn line(&self, text: impl Into<Vec<u8>>, kept: Option<T>) -> Outcome {
        let sent = self.lines.send((text.into(), kept)).await;
        sent.map_err(|_| Failure::output_closed())
    }

    /// Resolves when nothing can be written any more; [`finish`](Self::finish) says why.
    pub(crate) async fn closed(&self) {
        self.lines.closed().await;
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> Outcome {
        let Self { lines, done } = self;
        drop(lines);
        match done.await {
            Ok(Err(error)) => Err(failure(&error)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::output_closed();
    }
    Failure::failed(format_args!("standard output cannot be written: {error}"))
        .advise("Is the disk full?")
}

fn write_lines<T>(mut sink: impl Write, mut queue: mpsc::Receiver<Line<T>>) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(line) = queue.blocking_recv() {
        batch.push(line);
        while batch.len() < BATCH_LINES
            && let Ok(line) = queue.try_recv()
        {
            batch.push(line);
        }
        let mut text = Vec::new();
        for (line, _) in &batch {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        sink.write_all(&text)?;
        sink.flush()?;
        batch.clear();
    }
    Ok(())
}

/// Prints lines at once, for commands that have few and need no thread. Colours are left out where they are not wanted.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Outcome {
    write(anstream::stdout().lock(), text.as_ref())
}

/// Prints a line as it is.
pub(crate) fn print_raw(text: impl AsRef<[u8]>) -> Outcome {
    write(io::stdout().lock(), text.as_ref())
}

fn write(mut stdout: impl Write, text: &[u8]) -> Outcome {
    let mut written = || {
        stdout.write_all(text)?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    };
    written().map_err(|error| failure(&error))
}
