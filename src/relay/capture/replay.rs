//! Sends the messages of a recording again.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::error::CaptureError;
use super::reader::CaptureReader;
use super::record::CapturedMessage;
use crate::clock;
use crate::error::SendError;
use crate::socket::Socket;

/// Sends the messages of a recording again, as fast as they came or otherwise: `Replay::open("monday.capture")?.speed(2.0).send(&socket).await?`.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Replay {
    messages: CaptureReader,
    /// How many times as fast; absent for no pauses at all.
    speed: Option<f64>,
    /// When the first message was due, and how long it came after the beginning of the recording.
    first: Option<(Instant, Duration)>,
    /// It was read, and is not due yet.
    waiting: Option<CapturedMessage>,
}

/// A recording was not sent to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording cannot be read any further. What stands before was sent.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The socket did not take a message.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// As those of [`CaptureReader::open`].
    pub fn open(file: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let messages = CaptureReader::open(file)?;
        Ok(Self {
            messages,
            speed: Some(1.0),
            first: None,
            waiting: None,
        })
    }

    /// Sends so many times as fast as the messages came. Default: 1.
    ///
    /// # Panics
    ///
    /// When it is not above zero, or not finite.
    pub fn speed(mut self, times: f64) -> Self {
        assert!(times.is_finite() && times > 0.0, "a speed is above zero");
        self.speed = Some(times);
        self
    }

    /// Sends without pauses, as fast as the peers take the messages.
    pub const fn at_once(mut self) -> Self {
        self.speed = None;
        self
    }

    /// Sends everything by the send mode of this socket, and yields the number of messages. The first one goes at once.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Capture`] at the place where the recording is cut or damaged, and [`ReplayError::Send`] as those of
    /// [`Socket::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, what was sent so far stays sent.
    pub async fn send(mut self, socket: &Socket) -> Result<u64, ReplayError> {
        let mut sent = 0;
        while let Some(message) = self.next_message().await {
            socket.send(message?.payload).await?;
            sent += 1;
        }
        Ok(sent)
    }

    /// The next message, when it is due, for programs that send it themselves; the first one at once. `None` at the end.
    ///
    /// # Errors
    ///
    /// At the place where the recording is cut or damaged.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the message is the next one still.
    pub async fn next_message(&mut self) -> Option<Result<CapturedMessage, CaptureError>> {
        if self.waiting.is_none() {
            match self.messages.next()? {
                Ok(message) => self.waiting = Some(message),
                Err(error) => return Some(Err(error)),
            }
        }
        let after = self.waiting.as_ref()?.after;
        let begins = || (Instant::from_std(clock::now()), after);
        let (began, first) = *self.first.get_or_insert_with(begins);
        let due = |speed| began.checked_add(due(after.saturating_sub(first), speed));
        if let Some(due) = self.speed.and_then(due) {
            tokio::time::sleep_until(due).await;
        }
        self.waiting.take().map(Ok)
    }
}

/// When a message is due that came so long after the first.
fn due(after: Duration, speed: f64) -> Duration {
    Duration::try_from_secs_f64(after.as_secs_f64() / speed).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_as_fast_as_it_is_told() {
        let second = Duration::from_secs(1);
        assert_eq!(due(second, 2.0), second / 2);
        assert_eq!(due(second, 0.5), second * 2);
        assert_eq!(due(second, 1e-300), Duration::MAX);
    }
}
