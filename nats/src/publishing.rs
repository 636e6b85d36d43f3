//! From the socket to a subject without a stream.

use actix_aiomsg::Messages;
use async_nats::PublishErrorKind;
use futures_util::FutureExt;

use crate::held::{Held, Row};
use crate::outbound::{Ended, Subjects};
use crate::pause::LOOK;
use crate::session::{Session, connected, connects};
use crate::shared::Shared;
use crate::stats::add;

/// Publishes what the socket receives, until the socket or the bridge ends.
pub(crate) async fn publish(
    shared: &Shared,
    session: &Session,
    subjects: &Subjects,
    mut messages: Messages,
) -> Ended {
    while let Some(first) = next(shared, &mut messages).await {
        let mut row = Row::default();
        let mut bytes = first.payload().len();
        row.0.push_back(Held::new(shared, first));
        // What is there already goes with it, and is flushed once.
        while row.0.len() < shared.settings.window && bytes < shared.settings.window_bytes {
            let Some(Some(message)) = messages.next().now_or_never() else {
                break;
            };
            bytes += message.payload().len();
            row.0.push_back(Held::new(shared, message));
        }
        publish_row(shared, session, subjects, row).await;
    }
    Ended::Done
}

/// The next message, or `None` at the end.
pub(crate) async fn next(
    shared: &Shared,
    messages: &mut Messages,
) -> Option<actix_aiomsg::Received> {
    loop {
        if shared.is_stopping() {
            return None;
        }
        if let Ok(message) = tokio::time::timeout(LOOK, messages.next()).await {
            return message;
        }
    }
}

async fn publish_row<'a>(
    shared: &'a Shared,
    session: &Session,
    subjects: &Subjects,
    mut row: Row<'a>,
) {
    let mut published = Row::default();
    // Those at most once wait this long together; the others until it is back.
    let mut is_connected = connected(&session.client, shared.settings.ack_timeout).await;
    let mut connection = None;
    while let Some(held) = row.0.pop_front() {
        let Some((held, subject)) = subjects.route(held) else {
            continue;
        };
        while !is_connected && held.is_at_least_once() && !shared.is_closed() {
            is_connected = connected(&session.client, LOOK).await;
        }
        if !is_connected {
            // Of a closed socket: its senders keep what is at least once.
            held.fail();
            continue;
        }
        connection.get_or_insert_with(|| connects(&session.client));
        let (subject, payload) = (subject.to_owned(), held.payload.clone());
        match session.client.publish(subject, payload).await {
            Ok(()) => published.0.push_back(held),
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                held.refuse(&error.to_string());
            }
            Err(_) => held.fail(),
        }
    }
    if published.0.is_empty() {
        return;
    }
    let flush = tokio::time::timeout(shared.settings.ack_timeout, session.client.flush()).await;
    // What a client has not yet written when it connects again, it throws away.
    let flushed = matches!(flush, Ok(Ok(()))) && connection == Some(connects(&session.client));
    while let Some(held) = published.0.pop_front() {
        match flushed {
            true => {
                add(&shared.counters.published);
                held.acknowledge();
            }
            false => held.fail(),
        }
    }
}
