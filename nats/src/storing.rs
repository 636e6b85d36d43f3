//! From the socket into a stream of JetStream.

use std::time::Duration;

use actix_aiomsg::Messages;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::time::Instant;

use crate::event::BridgeEvent;
use crate::held::{Held, Row};
use crate::outbound::{Ended, Subjects};
use crate::pause::pause;
use crate::publishing::next;
use crate::session::{Session, connected, is_connected};
use crate::shared::Shared;
use crate::stats::add;

/// What became of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Stored {
        before: bool,
    },
    /// It will never be taken.
    Refused(String),
    /// It may be taken later, or has been and nobody said so.
    Failed(String),
}

/// Stores what the socket receives, until the socket or the bridge ends.
pub(crate) async fn store(
    shared: &Shared,
    session: &Session,
    stream: &str,
    subjects: &Subjects,
    mut messages: Messages,
) -> Ended {
    let mut storing = Storing {
        shared,
        session,
        stream,
        subjects,
        away: Away::default(),
    };
    loop {
        let failed = storing.stream_until_failure(&mut messages).await;
        let Some((failed, reason)) = failed else {
            return Ended::Done;
        };
        storing.recover(failed, reason).await;
    }
}

struct Storing<'a> {
    shared: &'a Shared,
    session: &'a Session,
    stream: &'a str,
    subjects: &'a Subjects,
    away: Away,
}

/// An outage of the connection, as messages find it.
#[derive(Debug, Default)]
struct Away {
    since: Option<Instant>,
}

impl Away {
    /// How long a message waits for the connection: one at least once has all of the patience, those at most once share it.
    fn patience(&mut self, now: Instant, patience: Duration, at_least_once: bool) -> Duration {
        let since = *self.since.get_or_insert(now);
        match at_least_once {
            true => patience,
            false => patience.saturating_sub(now.saturating_duration_since(since)),
        }
    }

    /// The connection is there.
    fn end(&mut self) {
        self.since = None;
    }
}

impl<'a> Storing<'a> {
    /// Publishes messages, a window of them at a time, until one fails: yields those that are to be published again, in order. `None` at the end, when
    /// nothing is left.
    async fn stream_until_failure(&mut self, messages: &mut Messages) -> Option<(Row<'a>, String)> {
        let settings = &self.shared.settings;
        let (mut row, mut acks) = (Row::default(), FuturesOrdered::new());
        let mut bytes = 0;
        // No more messages come, or no more are taken because one has failed.
        let (mut ended, mut stopped) = (false, false);
        let mut reason = String::new();
        loop {
            let has_room = row.0.len() < settings.window
                && (bytes < settings.window_bytes || row.0.is_empty());
            let attempt = tokio::select! {
                biased;
                Some(attempt) = acks.next(), if !acks.is_empty() => attempt,
                message = next(self.shared, messages), if has_room && !ended && !stopped => {
                    let Some(message) = message else {
                        ended = true;
                        continue;
                    };
                    let held = Held::new(self.shared, message);
                    let Some((held, subject)) = self.subjects.route(held) else {
                        continue;
                    };
                    bytes += held.payload.len();
                    let published = self.publish(&held, subject).await;
                    if let Err(Attempt::Failed(why)) = &published {
                        (stopped, reason) = (true, why.clone());
                    }
                    row.0.push_back(held);
                    acks.push_back(attempt(published));
                    continue;
                }
                else => return stopped.then(|| (Row::default(), reason)),
            };
            let Some(held) = row.0.pop_front() else {
                continue;
            };
            bytes -= held.payload.len();
            if let Attempt::Failed(why) = &attempt {
                reason.clone_from(why);
            }
            let Some(failed) = self.settle(held, attempt) else {
                continue;
            };
            // Nothing new is published. Those that were are waited for, because they may have been stored.
            let mut all_failed = Row::default();
            all_failed.0.push_back(failed);
            while let Some(attempt) = acks.next().await {
                if let Some(held) = row.0.pop_front() {
                    all_failed.0.extend(self.settle(held, attempt));
                }
            }
            return Some((all_failed, reason));
        }
    }

    async fn publish(
        &mut self,
        held: &Held<'_>,
        subject: &str,
    ) -> Result<PublishAckFuture, Attempt> {
        self.wait_for_connection(held.is_at_least_once()).await?;
        let mut message = PublishMessage::build()
            .payload(held.payload.clone())
            .expected_stream(self.stream);
        if let Some(id) = &held.id {
            message = message.message_id(id);
        }
        let published = self
            .session
            .jetstream
            .send_publish(subject.to_owned(), message);
        published.await.map_err(|error| failed(&error))
    }

    /// A client without a connection would keep messages, and publish them when nobody waits for them any more.
    async fn wait_for_connection(&mut self, at_least_once: bool) -> Result<(), Attempt> {
        let client = &self.session.client;
        if is_connected(client) {
            self.away.end();
            return Ok(());
        }
        let patience = self.shared.settings.ack_timeout;
        let patience = self.away.patience(Instant::now(), patience, at_least_once);
        match connected(client, patience).await {
            true => {
                self.away.end();
                Ok(())
            }
            false => Err(Attempt::Failed("there is no connection".to_owned())),
        }
    }

    /// The message has come to its end, or is to be published again.
    fn settle(&self, held: Held<'a>, attempt: Attempt) -> Option<Held<'a>> {
        let counters = &self.shared.counters;
        match attempt {
            Attempt::Stored { before } => {
                add(&counters.stored);
                if before {
                    add(&counters.stored_before);
                }
                held.acknowledge();
                None
            }
            Attempt::Refused(reason) => {
                held.refuse(&reason);
                None
            }
            Attempt::Failed(reason) => {
                tracing::debug!(reason, "JetStream has not taken a message");
                if held.is_at_least_once() {
                    return Some(held);
                }
                held.give_up();
                None
            }
        }
    }

    /// Publishes what has failed, each after the one before has been stored.
    async fn recover(&mut self, mut failed: Row<'a>, reason: String) {
        if failed.0.is_empty() {
            return;
        }
        let mut stalled = Some(self.stalled(reason));
        let mut pauses = self.shared.settings.retry.delays();
        while let Some(held) = failed.0.pop_front() {
            let Some((held, subject)) = self.subjects.route(held) else {
                continue;
            };
            add(&self.shared.counters.retried);
            let published = self.publish(&held, subject).await;
            let attempt = attempt(published).await;
            if let (Attempt::Failed(reason), None) = (&attempt, stalled) {
                stalled = Some(self.stalled(reason.clone()));
            }
            let Some(held) = self.settle(held, attempt) else {
                if let Some(since) = stalled.take() {
                    self.resumed(since);
                }
                pauses.reset();
                continue;
            };
            failed.0.push_front(held);
            if pause(pauses.next_delay(), || self.shared.is_closed()).await {
                // What is left is with its senders.
                return;
            }
        }
    }

    fn stalled(&self, reason: String) -> Instant {
        add(&self.shared.counters.stalls);
        tracing::warn!(
            reason,
            "JetStream takes no messages: the bridge waits, and its senders with it"
        );
        self.shared.tell(BridgeEvent::Stalled { reason });
        Instant::now()
    }

    fn resumed(&self, since: Instant) {
        let after = since.elapsed();
        tracing::info!(?after, "JetStream takes messages again");
        self.shared.tell(BridgeEvent::Resumed { after });
    }
}

async fn attempt(published: Result<PublishAckFuture, Attempt>) -> Attempt {
    match published {
        Ok(acknowledged) => of_result(acknowledged.await),
        Err(attempt) => attempt,
    }
}

fn of_result(result: Result<PublishAck, PublishError>) -> Attempt {
    match result {
        Ok(ack) => Attempt::Stored {
            before: ack.duplicate,
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &PublishError) -> Attempt {
    let source = std::error::Error::source(error);
    let reason = match source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let answer = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    let too_large = answer.map(async_nats::jetstream::Error::error_code)
        == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Attempt::Refused(reason),
        _ if too_large => Attempt::Refused(reason),
        _ => Attempt::Failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outage_has_its_own_patience_which_messages_at_most_once_share() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut away = Away::default();
        assert_eq!(away.patience(start, 5 * second, false), 5 * second);
        assert_eq!(
            away.patience(start + 2 * second, 5 * second, false),
            3 * second
        );
        assert_eq!(
            away.patience(start + 4 * second, 5 * second, true),
            5 * second
        );
        assert_eq!(
            away.patience(start + 9 * second, 5 * second, false),
            Duration::ZERO
        );
        away.end();
        assert_eq!(
            away.patience(start + 60 * second, 5 * second, false),
            5 * second
        );
    }
}
