//! Standard input, read by a thread of its own, line by line.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::Outcome;
use crate::failure::Failure;

/// The most bytes of a message: a frame has 64 MiB by default, its type and the id of the message included.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024 * 1024 - 17;

/// Lines that may be read ahead.
const QUEUE_LINES: usize = 256;

/// Bytes that may be read ahead, and one line more.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The lines of standard input, without their ends.
pub(crate) struct Lines {
    lines: mpsc::Receiver<io::Result<Vec<u8>>>,
    ahead: Arc<Ahead>,
}

/// The bytes that are read ahead.
#[derive(Default)]
struct Ahead {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

impl Ahead {
    /// Waits until there are fewer than `most`, and adds these.
    fn add(&self, bytes: usize, most: usize) {
        let ahead = self.lock();
        let is_full = |ahead: &mut usize| *ahead >= most;
        let ahead = self.fewer.wait_while(ahead, is_full);
        *ahead.unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    fn remove(&self, bytes: usize) {
        let mut ahead = self.lock();
        *ahead = ahead.saturating_sub(bytes);
        self.fewer.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Begins to read. A line that is longer than `limit` bytes is an error.
    pub(crate) fn of_stdin(limit: usize) -> Outcome<Self> {
        let (sender, lines) = mpsc::channel(QUEUE_LINES);
        let ahead = Arc::new(Ahead::default());
        let noted = Arc::clone(&ahead);
        let read = move || {
            let mut stdin = io::stdin().lock();
            loop {
                let line = read_line(&mut stdin, limit);
                let is_last = !matches!(line, Ok(Some(_)));
                if let Ok(Some(line)) = &line {
                    // With the lines gone, it ends with the process.
                    noted.add(line.len(), QUEUE_BYTES);
                }
                if let Some(line) = line.transpose()
                    && sender.blocking_send(line).is_err()
                {
                    return;
                }
                if is_last {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(read)
            .map_err(|error| Failure::failed(format_args!("no thread for the input: {error}")))?;
        Ok(Self { lines, ahead })
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Bytes>> {
        match self.lines.recv().await {
            None => Ok(None),
            Some(Ok(line)) => {
                self.ahead.remove(line.len());
                Ok(Some(line.into()))
            }
            Some(Err(error)) => Err(Failure::failed(format_args!(
                "standard input cannot be read: {error}"
            ))),
        }
    }
}

/// Everything that comes on standard input, as one message.
pub(crate) async fn all_of_stdin() -> Outcome<Bytes> {
    let failed = |error| Failure::failed(format_args!("standard input cannot be read: {error}"));
    let read = || {
        let mut all = Vec::new();
        let most = MAX_MESSAGE as u64 + 1;
        io::stdin().lock().take(most).read_to_end(&mut all)?;
        Ok(all)
    };
    // Not a thread of the runtime, which would wait for it after Ctrl-C.
    let (sender, done) = oneshot::channel::<io::Result<Vec<u8>>>();
    let work = move || {
        // Nobody may wait for it any more.
        let _ = sender.send(read());
    };
    let spawned = thread::Builder::new().name("input".to_owned()).spawn(work);
    spawned.map_err(|error| Failure::failed(format_args!("no thread for the input: {error}")))?;
    let read = done
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    let all = read.map_err(failed)?;
    if all.len() > MAX_MESSAGE {
        return Err(Failure::failed(format_args!(
            "standard input is longer than {MAX_MESSAGE} bytes, the most that a message has"
        )));
    }
    Ok(all.into())
}

fn read_line(input: &mut impl BufRead, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(2);
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    if line.len() > limit {
        let text = format!("a line is longer than {limit} bytes, the most that a message has");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_waits_for_room_and_a_long_line_has_room_alone() {
        let ahead = Arc::new(Ahead::default());
        ahead.add(10, 8);
        let waiting = Arc::clone(&ahead);
        let waiting = thread::spawn(move || waiting.add(1, 8));
        ahead.remove(10);
        waiting.join().unwrap();
        assert_eq!(*ahead.lock(), 1);
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let mut input: &[u8] = b"one\r\n\n two \nlast";
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input, 100).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["one", "", " two ", "last"]);
    }

    #[test]
    fn a_line_above_the_limit_is_an_error_and_is_not_read_to_its_end() {
        let mut input = io::repeat(b'x').take(1 << 20);
        let mut input = io::BufReader::new(&mut input);
        assert!(read_line(&mut input, 100).is_err());
    }
}
