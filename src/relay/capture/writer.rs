//! Writes a recording, by a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::error::{CaptureEnd, CaptureError};
use super::record::{CapturedMessage, HEADER_BYTES, header};
use crate::clock;
use crate::id::Identity;
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Messages, and bytes, that may wait for the thread.
const MOST_MESSAGES: usize = 1024;
const MOST_BYTES: u32 = 8 * 1024 * 1024;

/// How long the end of a relay waits for its recording, whose disk may hang.
const FINISHING: Duration = Duration::from_secs(30);

/// The way of messages into a recording.
#[derive(Debug)]
pub(in crate::relay) struct CaptureWriter {
    /// Absent once nothing more is recorded.
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    room: Arc<Semaphore>,
    began: Instant,
    counts: Arc<CaptureCounts>,
    /// True when everything is written.
    finished: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct CaptureCounts {
    captured: AtomicUsize,
    missed: AtomicUsize,
}

/// A message that waits for the thread, and the room that it takes until then.
type Waiting = (CapturedMessage, OwnedSemaphorePermit);

/// The file, as the thread has it.
struct Recording {
    sink: BufWriter<File>,
    size: u64,
    limit: u64,
    counts: Arc<CaptureCounts>,
}

impl CaptureWriter {
    /// Begins a recording, and the thread that writes it. `on_end` is told of an end before that of the relay.
    pub(in crate::relay) fn create(
        file: &Path,
        limit: u64,
        on_end: impl FnOnce(CaptureEnd) + Send + 'static,
    ) -> Result<Arc<Self>, CaptureError> {
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => CaptureError::Exists(file.to_owned()),
            _ => CaptureError::Io {
                file: file.to_owned(),
                error,
            },
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut sink = BufWriter::new(options.open(file).map_err(io)?);
        let began = clock::wall();
        sink.write_all(&header(began)).map_err(io)?;
        sink.flush().map_err(io)?;
        let counts = Arc::new(CaptureCounts::default());
        let recording = Recording {
            sink,
            size: HEADER_BYTES as u64,
            limit,
            counts: Arc::clone(&counts),
        };
        let (queue, waiting) = mpsc::channel(MOST_MESSAGES);
        let (finish, finished) = watch::channel(false);
        std::thread::Builder::new()
            .name("relay capture".to_owned())
            .spawn(move || {
                if let Err(end) = recording.write(waiting) {
                    tracing::warn!(reason = %end, "the recording of a relay has ended; the relay goes on");
                    on_end(end);
                }
                // Nobody may be left to hear of it.
                let _ = finish.send(true);
            })
            .map_err(io)?;
        Ok(Arc::new(Self {
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(MOST_BYTES as usize)),
            began: clock::now(),
            counts,
            finished,
        }))
    }

    /// Messages that were recorded, and those that came too late.
    pub(in crate::relay) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        (read(&self.counts.captured), read(&self.counts.missed))
    }

    /// Records a message, when those before it have found room.
    pub(in crate::relay) async fn record(&self, peer: Identity, payload: &Bytes) {
        let message = CapturedMessage {
            after: clock::now().saturating_duration_since(self.began),
            peer,
            payload: payload.clone(),
        };
        let queue = self.queue.lock().clone();
        let bytes = u32::try_from(payload.len()).unwrap_or(MOST_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes.min(MOST_BYTES));
        let sent = match (queue, room.await) {
            (Some(queue), Ok(room)) => queue.send((message, room)).await.is_ok(),
            _ => false,
        };
        if !sent {
            self.counts.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, or for as long as that may take. Nothing more is recorded.
    pub(in crate::relay) async fn finish(&self) {
        drop(self.queue.lock().take());
        let mut finished = self.finished.clone();
        // An error means that the thread is gone.
        let written = timeout(FINISHING, finished.wait_for(|finished| *finished)).await;
        if written.is_err() {
            tracing::warn!("the disk of a recording hangs: the relay ends without it");
        }
    }
}

impl Recording {
    /// Writes what comes until there is no more.
    fn write(mut self, mut waiting: mpsc::Receiver<Waiting>) -> Result<(), CaptureEnd> {
        let failed = |error: io::Error| CaptureEnd::Failed(error.to_string());
        let mut record = Vec::new();
        while let Some((message, room)) = waiting.blocking_recv() {
            record.clear();
            message.write(&mut record);
            if self.size + record.len() as u64 > self.limit {
                self.counts.missed.fetch_add(1, Ordering::Relaxed);
                self.end(&mut waiting);
                self.sink.flush().map_err(failed)?;
                return Err(CaptureEnd::Limit(self.limit));
            }
            let mut written = self.sink.write_all(&record);
            drop(room);
            if waiting.is_empty() && written.is_ok() {
                written = self.sink.flush();
            }
            if let Err(error) = written {
                self.counts.missed.fetch_add(1, Ordering::Relaxed);
                self.end(&mut waiting);
                return Err(failed(error));
            }
            self.size += record.len() as u64;
            self.counts.captured.fetch_add(1, Ordering::Relaxed);
        }
        self.sink.flush().map_err(failed)
    }

    /// Takes no more; what waits is not recorded.
    fn end(&self, waiting: &mut mpsc::Receiver<Waiting>) {
        waiting.close();
        while waiting.try_recv().is_ok() {
            self.counts.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
