//! Requests for the messages of a consumer, made anew when they fail.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::{ConsumerInfoError, ConsumerInfoErrorKind};
use async_nats::jetstream::{AckKind, Context, ErrorCode, Message};
use async_nats::{Client, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::BridgeError;
use crate::inbound::Delivering;
use crate::pause::LOOK;
use crate::session::{connects, is_connected};

/// How often JetStream says that a request without messages is there.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A request of which nothing is heard for so long is lost.
const SILENCE: Duration = HEARTBEAT.saturating_mul(2);

/// For how long JetStream keeps a request.
const EXPIRY: Duration = Duration::from_secs(30);

/// The pause after one that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a request stands without a failure until that is over which made those before it fail.
const QUIET: Duration = HEARTBEAT.saturating_mul(3);

/// How long requests fail, one after the other, until JetStream is asked whether the consumer is there, and how long until it is asked again: a cluster
/// that elects a leader takes some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the bridge has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Nothing is in hand.
    pub(crate) idle: bool,
}

/// What a consumer sends on request. One request is open at a time, and wants no more than there is room for, so that all that comes is in hand at once.
/// A request is lost with the server that had it, and nobody answers while a cluster elects a leader: then this asks again.
pub(crate) struct Pulling<'a> {
    delivering: &'a Delivering,
    client: &'a Client,
    context: &'a Context,
    window: usize,
    window_bytes: usize,
    /// None before the first request, after one that failed, and after a pause.
    subscription: Option<Subscription>,
    /// What had come by subscriptions that were given up.
    kept: VecDeque<Message>,
    open: Option<Request>,
    /// Requests that were made.
    number: u64,
    /// The next message is larger than a request had room for: it comes alone.
    alone: bool,
    paused_until: Instant,
    failures: Failures,
    asking: Option<Asking<'a>>,
}

/// JetStream is asked whether the consumer is there.
type Asking<'a> = Pin<Box<dyn Future<Output = Result<Info, ConsumerInfoError>> + 'a>>;

/// Where the answers to requests come.
struct Subscription {
    inbox: String,
    messages: Subscriber,
}

/// A request that JetStream has.
#[derive(Debug)]
struct Request {
    reply: String,
    /// Messages that are still to come.
    left: usize,
    /// None has come.
    is_barren: bool,
    asked: Instant,
    heard: Instant,
    /// The connections of the client when it was made.
    connects: u64,
}

/// What is to be done when nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// See what has changed.
    Look,
    Ask,
    /// Nothing was heard of the request.
    Silent,
    /// The request was made by a connection that is gone.
    Moved,
    /// Nothing has failed for a while.
    Quiet,
}

impl<'a> Pulling<'a> {
    pub(crate) fn new(
        delivering: &'a Delivering,
        client: &'a Client,
        context: &'a Context,
        window: usize,
        window_bytes: usize,
    ) -> Self {
        Self {
            delivering,
            client,
            context,
            window,
            window_bytes,
            subscription: None,
            kept: VecDeque::new(),
            open: None,
            number: 0,
            alone: false,
            paused_until: Instant::now(),
            failures: Failures::default(),
            asking: None,
        }
    }

    /// The next message, or why the consumer is to be looked for anew. Loses nothing when it is dropped.
    pub(crate) async fn next(&mut self, room: Room) -> Result<Message, BridgeError> {
        loop {
            if let Some(message) = self.kept.pop_front() {
                return Ok(message);
            }
            let (at, due) = self.due(room);
            tokio::select! {
                biased;
                came = came(&mut self.subscription) => match came {
                    Some(message) => {
                        if let Some(message) = self.hear(message)? {
                            return Ok(message);
                        }
                    }
                    None => return Err(self.lost(&"the client is closed")),
                },
                answer = answer(&mut self.asking) => {
                    self.asking = None;
                    // Whoever does not answer, or has no leader, may have it.
                    if let Err(error) = answer && is_gone(&error.kind()) {
                        return Err(self.lost(&error));
                    }
                }
                () = tokio::time::sleep_until(at) => match due {
                    Due::Look => {}
                    Due::Ask => self.ask(room).await?,
                    Due::Silent => self.failed("JetStream does not say that it has the request"),
                    Due::Moved => self.give_up_subscription(),
                    Due::Quiet => self.recovered(),
                },
            }
        }
    }

    /// Takes nothing until [`next`](Self::next) is called again; what has come goes back.
    pub(crate) fn pause(&mut self) {
        self.give_up_subscription();
        for message in self.kept.drain(..) {
            // Best effort: otherwise it comes again after the time that JetStream waits.
            let _ = message.ack_with(AckKind::Nak(None)).now_or_never();
        }
    }

    fn due(&self, room: Room) -> (Instant, Due) {
        let now = Instant::now();
        let look = (now + LOOK, Due::Look);
        // Without a connection the client would keep the request, and send it when it is of no use any more.
        if !is_connected(self.client) {
            return look;
        }
        let Some(open) = &self.open else {
            return match has_room(room, self.window, self.window_bytes) {
                true => (self.paused_until, Due::Ask),
                false => look,
            };
        };
        if open.connects != connects(self.client) {
            return (now, Due::Moved);
        }
        let silent = (open.heard + SILENCE, Due::Silent);
        let first = if silent.0 < look.0 { silent } else { look };
        match self.failures.quiet_at(open.asked) {
            Some(at) if at < first.0 => (at, Due::Quiet),
            _ => first,
        }
    }

    async fn ask(&mut self, room: Room) -> Result<(), BridgeError> {
        let inbox = match &self.subscription {
            Some(subscription) => subscription.inbox.clone(),
            None => {
                let inbox = self.client.new_inbox();
                let subscribed = self.client.subscribe(format!("{inbox}.*")).await;
                let messages = subscribed.map_err(|error| self.lost(&error))?;
                self.subscription = Some(Subscription {
                    inbox: inbox.clone(),
                    messages,
                });
                inbox
            }
        };
        let info = self.delivering.consumer.cached_info();
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            info.stream_name, info.name
        );
        self.number += 1;
        let reply = format!("{inbox}.{}", self.number);
        let (batch, most_bytes) = match self.alone {
            true => (1, None),
            false => {
                let most = batch_bytes(room.bytes, self.client.server_info().max_payload);
                (room.messages.max(1), Some(most))
            }
        };
        let connects = connects(self.client);
        let payload = request(batch, most_bytes).into();
        let asked = self
            .client
            .publish_with_reply(subject, reply.clone(), payload);
        asked.await.map_err(|error| self.lost(&error))?;
        let now = Instant::now();
        self.open = Some(Request {
            reply,
            left: batch,
            is_barren: true,
            asked: now,
            heard: now,
            connects,
        });
        Ok(())
    }

    /// Something has come: yields it if it is a message of the stream.
    fn hear(&mut self, message: async_nats::Message) -> Result<Option<Message>, BridgeError> {
        let status = message.status.unwrap_or(StatusCode::OK);
        if status == StatusCode::OK {
            return Ok(Some(self.take(message)));
        }
        let is_of = |open: &&mut Request| open.reply == message.subject.as_str();
        let Some(open) = self.open.as_mut().filter(is_of) else {
            // Of a request that is over.
            return Ok(None);
        };
        let description = message.description.as_deref().unwrap_or_default();
        match Said::of(status.as_u16(), description) {
            Said::Waits => open.heard = Instant::now(),
            said @ (Said::Over | Said::TooLarge) => {
                if open.is_barren {
                    self.alone = said == Said::TooLarge;
                    // Whatever the reason, this does not become a hot loop.
                    self.paused_until = open.asked + PAUSE;
                }
                self.open = None;
            }
            Said::Ended => return Err(self.lost(&description)),
            Said::Fails => self.failed(&format!("{} {description}", status.as_u16())),
        }
        Ok(None)
    }

    fn take(&mut self, message: async_nats::Message) -> Message {
        if let Some(open) = &mut self.open {
            open.heard = Instant::now();
            open.is_barren = false;
            open.left = open.left.saturating_sub(1);
            if open.left == 0 {
                self.open = None;
            }
        }
        self.alone = false;
        self.recovered();
        let context = self.context.clone();
        Message { message, context }
    }

    /// Ends the subscription, and with it the request; keeps the messages that have come.
    fn give_up_subscription(&mut self) {
        self.open = None;
        let Some(mut subscription) = self.subscription.take() else {
            return;
        };
        while let Some(Some(message)) = subscription.messages.next().now_or_never() {
            if message.status.unwrap_or(StatusCode::OK) == StatusCode::OK {
                let context = self.context.clone();
                self.kept.push_back(Message { message, context });
            }
        }
    }

    fn failed(&mut self, error: &str) {
        self.give_up_subscription();
        let now = Instant::now();
        self.paused_until = now + PAUSE;
        let asks = self.failures.add(now);
        let consumer = self.delivering.name.as_str();
        if self.failures.count == 2 {
            tracing::warn!(consumer, %error, "JetStream sends nothing: the bridge asks again");
        } else {
            tracing::debug!(consumer, %error, "a request for messages failed");
        }
        if asks && self.asking.is_none() {
            self.asking = Some(Box::pin(self.delivering.consumer.get_info()));
        }
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

impl Drop for Pulling<'_> {
    fn drop(&mut self) {
        self.pause();
    }
}

/// What comes by the subscription; never without one.
async fn came(subscription: &mut Option<Subscription>) -> Option<async_nats::Message> {
    match subscription {
        Some(subscription) => subscription.messages.next().await,
        None => std::future::pending().await,
    }
}

/// What JetStream says of the consumer; never if it is not asked.
async fn answer(asking: &mut Option<Asking<'_>>) -> Result<Info, ConsumerInfoError> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// True if a request is worth its while: for half of what may be in hand, or else for the first.
fn has_room(room: Room, window: usize, window_bytes: usize) -> bool {
    room.idle || (room.messages >= (window / 2).max(1) && room.bytes >= (window_bytes / 2).max(1))
}

/// Bytes of a batch. A message that is larger than a batch would never come, so it has room for the largest that the server takes, with the
/// subject and the headers, which are counted as well.
fn batch_bytes(free: usize, max_payload: usize) -> usize {
    free.max(max_payload.saturating_add(1 << 20))
}

/// A request, as JetStream reads it.
fn request(batch: usize, most_bytes: Option<usize>) -> String {
    let most_bytes = most_bytes
        .map(|bytes| format!("\"max_bytes\":{bytes},"))
        .unwrap_or_default();
    let (expires, heartbeat) = (EXPIRY.as_nanos(), HEARTBEAT.as_nanos());
    format!(
        "{{\"batch\":{batch},{most_bytes}\"expires\":{expires},\"idle_heartbeat\":{heartbeat}}}"
    )
}

/// True when JetStream says that there is no such consumer.
fn is_gone(kind: &ConsumerInfoErrorKind) -> bool {
    match kind {
        ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => true,
        ConsumerInfoErrorKind::JetStream(error) => [
            ErrorCode::CONSUMER_NOT_FOUND,
            ErrorCode::CONSUMER_DOES_NOT_EXIST,
            ErrorCode::STREAM_NOT_FOUND,
        ]
        .contains(&error.error_code()),
        _ => false,
    }
}

/// What JetStream says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// It has the request, and no message.
    Waits,
    Over,
    /// The next message is larger than what is left of the bytes.
    TooLarge,
    /// The consumer sends no more, whatever happens.
    Ended,
    /// It may be better the next time.
    Fails,
}

impl Said {
    fn of(status: u16, description: &str) -> Self {
        match (status, description) {
            (100, _) => Self::Waits,
            (404 | 408, _) | (409, "Batch Completed") => Self::Over,
            (409, "Consumer Deleted" | "Consumer is push based") => Self::Ended,
            (409, why) if why.starts_with("Exceeded MaxRequest") => Self::Ended,
            (409, why) if why.contains("MaxBytes") => Self::TooLarge,
            _ => Self::Fails,
        }
    }
}

/// Requests that failed, one after the other.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    since: Option<Instant>,
    last: Option<Instant>,
    /// When JetStream was asked for the consumer.
    asked: Option<Instant>,
}

impl Failures {
    /// Yields whether JetStream is to be asked for the consumer.
    fn add(&mut self, now: Instant) -> bool {
        self.count += 1;
        self.last = Some(now);
        let since = *self.since.get_or_insert(now);
        let asks = now.saturating_duration_since(self.asked.unwrap_or(since)) >= PATIENCE;
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// When they are over, if no other one comes and the request that was made then stands.
    fn quiet_at(&self, asked: Instant) -> Option<Instant> {
        self.last.map(|last| last.max(asked) + QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_over_after_a_time_without_one_and_the_consumer_is_asked_for_when_they_go_on() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut failures = Failures::default();
        assert_eq!(failures.quiet_at(start), None);
        let asks: Vec<u32> = (0..40)
            .filter(|number| failures.add(start + *number * second))
            .collect();
        assert_eq!(asks, [15, 30]);
        assert_eq!((failures.count, failures.since), (40, Some(start)));
        let last = start + 39 * second;
        assert_eq!(failures.quiet_at(start), Some(last + QUIET));
        // While there was no connection, nothing has shown that it is over.
        let later = last + 60 * second;
        assert_eq!(failures.quiet_at(later), Some(later + QUIET));
        // A heartbeat that is missed is told within this.
        assert!(QUIET > SILENCE + PAUSE);
        assert!(EXPIRY >= 2 * HEARTBEAT, "the server wants it so");
    }

    #[test]
    fn what_jetstream_says_of_a_request_ends_it_or_the_consumer_or_is_a_failure() {
        for (status, description, said) in [
            (100, "Idle Heartbeat", Said::Waits),
            (404, "No Messages", Said::Over),
            (408, "Request Timeout", Said::Over),
            (409, "Batch Completed", Said::Over),
            (409, "Message Size Exceeds MaxBytes", Said::TooLarge),
            (409, "Exceeded MaxRequestMaxBytes of 10", Said::Ended),
            (409, "Exceeded MaxRequestBatch of 10", Said::Ended),
            (409, "Consumer Deleted", Said::Ended),
            (409, "Consumer is push based", Said::Ended),
            (409, "Leadership Change", Said::Fails),
            (409, "Server Shutdown", Said::Fails),
            (409, "Exceeded MaxWaiting", Said::Fails),
            (400, "Bad Request", Said::Fails),
            (503, "", Said::Fails),
        ] {
            assert_eq!(
                Said::of(status, description),
                said,
                "{status} {description}"
            );
        }
    }

    #[test]
    fn a_request_is_for_half_a_window_or_for_the_first_message() {
        let room = |messages, bytes, idle| Room {
            messages,
            bytes,
            idle,
        };
        for (room, has) in [
            (room(5, 50, false), true),
            (room(4, 50, false), false),
            (room(5, 49, false), false),
            (room(10, 100, true), true),
        ] {
            assert_eq!(has_room(room, 10, 100), has, "{room:?}");
        }
        assert!(!has_room(room(0, 0, false), 1, 1));
        let json =
            "{\"batch\":7,\"max_bytes\":8,\"expires\":30000000000,\"idle_heartbeat\":2000000000}";
        assert_eq!(request(7, Some(8)), json);
        assert_eq!(request(1, None), json.replace("7,\"max_bytes\":8", "1"));
    }

    #[test]
    fn a_batch_has_room_for_the_largest_message_of_the_server() {
        assert_eq!(batch_bytes(1, 8 << 20), 9 << 20);
        assert_eq!(batch_bytes(64 << 20, 8 << 20), 64 << 20);
    }
}
