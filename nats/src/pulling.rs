//! Requests for the messages of a consumer, made anew when they fail.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{MessagesError, MessagesErrorKind, Stream};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::BridgeError;
use crate::inbound::Delivering;
use crate::pause::LOOK;
use crate::session::is_connected;

/// How often JetStream says that a consumer without messages is there. A request fails when it has said so twice less than it should.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// For how long JetStream keeps a request.
const EXPIRY: Duration = Duration::from_secs(30);

/// The pause after one that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a request stands without a failure until that is over which made those before it fail.
const QUIET: Duration = HEARTBEAT.saturating_mul(3);

/// How long requests fail, one after the other, until the consumer is looked for anew: a cluster that elects a leader takes some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a consumer sends on request. A request is lost with the server that had it, and nobody answers while a cluster elects a leader. The client would
/// ask again when the time of that request is over, half a minute later; this asks again at once.
pub(crate) struct Pulling<'a> {
    delivering: &'a Delivering,
    client: &'a Client,
    window: usize,
    most_bytes: usize,
    /// None before the first request and after one that failed.
    requests: Option<Stream>,
    paused_until: Instant,
    failures: Failures,
}

impl<'a> Pulling<'a> {
    pub(crate) fn new(
        delivering: &'a Delivering,
        client: &'a Client,
        window: usize,
        most_bytes: usize,
    ) -> Self {
        Self {
            delivering,
            client,
            window,
            most_bytes,
            requests: None,
            paused_until: Instant::now(),
            failures: Failures::default(),
        }
    }

    /// The next message, or why the consumer is to be looked for anew. Loses nothing when it is dropped.
    pub(crate) async fn next(&mut self) -> Result<Message, BridgeError> {
        loop {
            tokio::time::sleep_until(self.paused_until).await;
            if self.requests.is_none() {
                self.request().await?;
            }
            let Some(requests) = &mut self.requests else {
                continue;
            };
            let message = tokio::select! {
                biased;
                message = requests.next() => message,
                () = quiet(self.failures.quiet_at()) => {
                    self.recovered();
                    continue;
                }
            };
            match message {
                Some(Ok(message)) => {
                    self.recovered();
                    return Ok(message);
                }
                Some(Err(error)) => self.failed(&error)?,
                None => return Err(self.lost(&"the client is closed")),
            }
        }
    }

    async fn request(&mut self) -> Result<(), BridgeError> {
        // Without a connection the client would keep the request, and send it when it is of no use any more.
        while !is_connected(self.client) {
            self.failures = Failures::default();
            tokio::time::sleep(LOOK).await;
        }
        let requests = self
            .delivering
            .consumer
            .stream()
            .max_messages_per_batch(self.window)
            .max_bytes_per_batch(self.most_bytes)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRY)
            .messages();
        self.requests = Some(requests.await.map_err(|error| self.lost(&error))?);
        Ok(())
    }

    fn failed(&mut self, error: &MessagesError) -> Result<(), BridgeError> {
        let now = Instant::now();
        let since = self.failures.add(now);
        if is_final(error.kind()) || now.saturating_duration_since(since) > PATIENCE {
            return Err(self.lost(error));
        }
        let consumer = self.delivering.name.as_str();
        if self.failures.count == 2 {
            tracing::warn!(consumer, %error, "JetStream sends nothing: the bridge asks again");
        } else {
            tracing::debug!(consumer, %error, "a request for messages failed");
        }
        self.requests = None;
        self.paused_until = now + PAUSE;
        Ok(())
    }

    fn recovered(&mut self) {
        let failures = std::mem::take(&mut self.failures);
        if let (Some(since), 2..) = (failures.since, failures.count) {
            let consumer = self.delivering.name.as_str();
            tracing::info!(consumer, after = ?since.elapsed(), "JetStream sends messages again");
        }
    }

    fn lost(&self, reason: &dyn std::fmt::Display) -> BridgeError {
        BridgeError::Lost {
            what: format!("the consumer {}", self.delivering.name),
            reason: reason.to_string(),
        }
    }
}

/// True when the consumer sends no more, whatever happens.
fn is_final(kind: MessagesErrorKind) -> bool {
    matches!(
        kind,
        MessagesErrorKind::ConsumerDeleted
            | MessagesErrorKind::PushBasedConsumer
            | MessagesErrorKind::RequestLimitExceeded
    )
}

/// Resolves then; never without a time.
async fn quiet(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Requests that failed, one after the other.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Failures {
    /// Yields when the first of them was.
    fn add(&mut self, now: Instant) -> Instant {
        self.count += 1;
        self.last = Some(now);
        *self.since.get_or_insert(now)
    }

    /// When they are over, if no other one comes.
    fn quiet_at(&self) -> Option<Instant> {
        self.last.map(|last| last + QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_from_the_first_and_over_after_a_time_without_one() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut failures = Failures::default();
        assert_eq!(failures.quiet_at(), None);
        assert_eq!(failures.add(start), start);
        assert_eq!(failures.add(start + 4 * second), start);
        assert_eq!(failures.count, 2);
        assert_eq!(failures.quiet_at(), Some(start + 4 * second + QUIET));
        // A heartbeat that is missed is told within this.
        assert!(QUIET > 2 * HEARTBEAT + PAUSE);
        assert!(EXPIRY >= 2 * HEARTBEAT, "the server wants it so");
    }
}
