//! Lines that are written on a thread of their own.
//!
//! A pipe that nobody reads blocks whoever writes to it. Here that is one thread per stream, so that
//! heartbeats and timers go on; the queue before it is bounded, and a line says when it is out.

use std::io::{self, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// How many lines may wait for the thread.
const QUEUE_LINES: usize = 256;

/// The way to a thread that writes lines to one stream.
#[derive(Clone)]
pub(crate) struct Printer {
    lines: mpsc::Sender<Line>,
}

struct Line {
    text: Vec<u8>,
    printed: Option<oneshot::Sender<io::Result<()>>>,
}

impl Printer {
    /// Starts a thread that writes to `stream` and ends when the last printer is dropped.
    pub(crate) fn start(stream: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = mpsc::channel(QUEUE_LINES);
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || write_lines(stream, queue))?;
        Ok(Self { lines })
    }

    /// Writes `text` and a line feed, and returns when both are flushed.
    pub(crate) async fn print(&self, text: &[u8]) -> io::Result<()> {
        let (printed, outcome) = oneshot::channel();
        let line = Line {
            text: [text, b"\n"].concat(),
            printed: Some(printed),
        };
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.lines.send(line).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// Hands `text` over without waiting; it is dropped when the queue is full.
    fn post(&self, text: &[u8]) {
        let _ = self.lines.try_send(Line {
            text: text.to_vec(),
            printed: None,
        });
    }
}

/// Logging: whole lines, handed over without waiting.
impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.post(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(mut stream: impl Write, mut queue: mpsc::Receiver<Line>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(line) = queue.try_recv() {
            batch.push(line);
        }
        let written = batch
            .iter()
            .try_for_each(|line| stream.write_all(&line.text))
            .and_then(|()| stream.flush());
        for printed in batch.into_iter().filter_map(|line| line.printed) {
            // Whoever asked may have been told to stop meanwhile.
            let _ = printed.send(match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(error.kind().into()),
            });
        }
    }
}
