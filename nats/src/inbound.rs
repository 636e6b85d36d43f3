//! From a stream of JetStream to peers of the socket.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_aiomsg::error::{ReceiptError, SendError};
use actix_aiomsg::{Identity, MessageId, Socket};
use async_nats::Client;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, Context, Message};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::BridgeError;
use crate::ids::StreamIds;
use crate::outbound::Ended;
use crate::pause::LOOK;
use crate::pulling::{Pulling, Room};
use crate::session::is_connected;
use crate::shared::Shared;
use crate::stats::{Holding, add};

/// After how long JetStream sends a message again that no peer has taken.
const AGAIN: Duration = Duration::from_secs(1);

/// One consumer of a stream, and whom its messages are for.
#[derive(Debug)]
pub(crate) struct Delivering {
    pub(crate) name: String,
    pub(crate) consumer: PullConsumer,
    pub(crate) ids: StreamIds,
    /// By identity, or else by the send mode.
    pub(crate) peer: Option<Identity>,
}

/// What became of a message at the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Handled,
    /// No peer will ever take it.
    Never(String),
    /// It may be taken later.
    Later(String),
    /// No message at least once will be: the socket publishes.
    Misused,
}

/// A message that is with the socket or a peer.
struct InHand<'a> {
    acker: Acker,
    /// JetStream sends it again if this is let go before it is acknowledged.
    settled: bool,
    size: usize,
    _holding: Holding<'a>,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if !self.settled {
            // Best effort: otherwise it comes again after the time that JetStream waits.
            let _ = self.acker.ack_with(AckKind::Nak(None)).now_or_never();
        }
    }
}

type Sends<'a> =
    Pin<Box<dyn Future<Output = (u64, Result<actix_aiomsg::Receipt, SendError>)> + 'a>>;

impl Delivering {
    /// Sends what comes, until the socket or the bridge ends, or the consumer does.
    pub(crate) async fn deliver(
        self,
        shared: &Shared,
        client: &Client,
        jetstream: &Context,
    ) -> Ended {
        let settings = &shared.settings;
        let mut hand = Hand {
            shared,
            in_hand: HashMap::new(),
            bytes: 0,
        };
        // Dropped before what is in hand, so that nothing of that comes back by its request.
        let (window, window_bytes) = (settings.window, settings.window_bytes);
        let mut pulling = Pulling::new(&self, client, jetstream, window, window_bytes);
        // One message enters the socket after the other, so that they stay in order.
        let mut waiting: VecDeque<(u64, Bytes)> = VecDeque::new();
        let mut sending: Option<Sends<'_>> = None;
        let mut receipts = FuturesUnordered::new();
        let pace = LOOK.min(settings.ack_wait / 4);
        let mut look = interval_at(Instant::now() + pace, pace);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = Instant::now() + settings.ack_wait / 3;
        loop {
            let takes = !shared.takes_nothing_in();
            // Nobody would take what a bridge without peers has, while other bridges of the consumer could send it.
            let pulls = takes && shared.has_receiver(self.peer);
            if !pulls {
                pulling.pause();
                for (sequence, _) in waiting.drain(..) {
                    hand.give_back(sequence);
                }
            }
            if !takes && sending.is_none() && receipts.is_empty() {
                return Ended::Done;
            }
            if sending.is_none()
                && let Some((sequence, payload)) = waiting.pop_front()
            {
                let id = self.ids.id_of(sequence);
                let entering = send(&shared.socket, self.peer, sequence, id, payload);
                sending = Some(Box::pin(entering));
            }
            tokio::select! {
                biased;
                (sequence, sent) = async { sending.as_mut().expect("there is one").await }, if sending.is_some() => {
                    sending = None;
                    match sent {
                        Ok(receipt) => receipts.push(receipt.map(move |outcome| (sequence, outcome))),
                        Err(error) => {
                            if let Some(lost) = hand.settle(sequence, of_send(&error), self.peer).await {
                                return lost;
                            }
                        }
                    }
                }
                Some((sequence, outcome)) = receipts.next(), if !receipts.is_empty() => {
                    if let Some(lost) = hand.settle(sequence, of_receipt(outcome), self.peer).await {
                        return lost;
                    }
                }
                _ = look.tick() => {
                    if shared.is_closed() {
                        return Ended::Done;
                    }
                    // Without a connection the client would keep these, and its queue of commands would fill.
                    if Instant::now() >= progress && is_connected(client) {
                        progress = Instant::now() + settings.ack_wait / 3;
                        hand.say_that_it_goes_on().await;
                    }
                }
                message = pulling.next(hand.room()), if pulls => match message {
                    Ok(message) => waiting.extend(hand.take(message)),
                    Err(lost) => return Ended::Lost(lost),
                },
            }
        }
    }
}

/// Enters the socket, and learns later what becomes of it.
async fn send(
    socket: &Socket,
    peer: Option<Identity>,
    sequence: u64,
    id: MessageId,
    payload: Bytes,
) -> (u64, Result<actix_aiomsg::Receipt, SendError>) {
    let sending = match peer {
        Some(peer) => socket.send_to(peer, payload),
        None => socket.send(payload),
    };
    (sequence, sending.id(id).receipt().await)
}

/// The messages in hand, by their sequence.
struct Hand<'a> {
    shared: &'a Shared,
    in_hand: HashMap<u64, InHand<'a>>,
    bytes: usize,
}

impl Hand<'_> {
    /// A message has come: yields what is to be sent, unless it is being sent already.
    fn take(&mut self, message: Message) -> Option<(u64, Bytes)> {
        let sequence = message.info().ok()?.stream_sequence;
        let (message, acker) = message.split();
        if let Some(known) = self.in_hand.get_mut(&sequence) {
            add(&self.shared.counters.came_again);
            known.acker = acker;
            return None;
        }
        let counters = &self.shared.counters;
        let size = message.payload.len();
        self.bytes += size;
        let holding = Holding::new(&counters.delivering, &counters.delivering_bytes, size);
        let in_hand = InHand {
            acker,
            settled: false,
            size,
            _holding: holding,
        };
        self.in_hand.insert(sequence, in_hand);
        Some((sequence, message.payload))
    }

    /// What may still come.
    fn room(&self) -> Room {
        let settings = &self.shared.settings;
        Room {
            messages: settings.window.saturating_sub(self.in_hand.len()),
            bytes: settings.window_bytes.saturating_sub(self.bytes),
            idle: self.in_hand.is_empty(),
        }
    }

    /// A message has not entered the socket: JetStream sends it again, to whoever asks.
    fn give_back(&mut self, sequence: u64) {
        if let Some(in_hand) = self.in_hand.remove(&sequence) {
            self.bytes -= in_hand.size;
            add(&self.shared.counters.returned);
        }
    }

    /// A message has come to its end here.
    async fn settle(
        &mut self,
        sequence: u64,
        outcome: Outcome,
        peer: Option<Identity>,
    ) -> Option<Ended> {
        let mut done = self.in_hand.remove(&sequence)?;
        self.bytes -= done.size;
        done.settled = true;
        let counters = &self.shared.counters;
        let (kind, count) = match &outcome {
            Outcome::Handled => (AckKind::Ack, &counters.delivered),
            Outcome::Never(_) => (AckKind::Term, &counters.terminated),
            Outcome::Later(_) | Outcome::Misused => (AckKind::Nak(Some(AGAIN)), &counters.returned),
        };
        add(count);
        // If this is lost, the message comes again, by the same id.
        if let Err(error) = done.acker.ack_with(kind).await {
            tracing::debug!(%error, "a message is not acknowledged to JetStream");
        }
        match outcome {
            Outcome::Handled => {}
            Outcome::Never(reason) => self.shared.refused(peer, &reason),
            Outcome::Later(reason) => tracing::debug!(reason, "a message goes back to JetStream"),
            Outcome::Misused => {
                let problem = "a socket that publishes cannot send messages of a stream at least once: \
                    give it SendMode::RoundRobin, or the route by_peer";
                return Some(Ended::Lost(BridgeError::configuration(problem)));
            }
        }
        None
    }

    /// Messages that handlers take long for are not to be sent again.
    async fn say_that_it_goes_on(&self) {
        for in_hand in self.in_hand.values() {
            if let Err(error) = in_hand.acker.ack_with(AckKind::Progress).await {
                tracing::debug!(%error, "JetStream is not told that a message is in hand");
                return;
            }
        }
    }
}

fn of_send(error: &SendError) -> Outcome {
    let reason = error.to_string();
    match error {
        SendError::TooLarge { .. } => Outcome::Never(reason),
        SendError::PublishAtLeastOnce(_) => Outcome::Misused,
        _ => Outcome::Later(reason),
    }
}

fn of_receipt(outcome: Result<(), ReceiptError>) -> Outcome {
    let Err(error) = outcome else {
        return Outcome::Handled;
    };
    let reason = error.to_string();
    match error {
        ReceiptError::Poison
        | ReceiptError::Rejected
        | ReceiptError::Undecodable
        | ReceiptError::Unwanted
        | ReceiptError::Refused
        | ReceiptError::PeerCannotTake => Outcome::Never(reason),
        _ => Outcome::Later(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_will_never_take_is_not_sent_again_and_the_rest_is() {
        for error in [
            ReceiptError::Poison,
            ReceiptError::Rejected,
            ReceiptError::Undecodable,
            ReceiptError::Unwanted,
            ReceiptError::PeerCannotTake,
        ] {
            assert!(
                matches!(of_receipt(Err(error)), Outcome::Never(_)),
                "{error}"
            );
        }
        for error in [
            ReceiptError::Closed,
            ReceiptError::PeerGone,
            ReceiptError::Overflow,
            ReceiptError::Expired,
            ReceiptError::Unclaimed,
        ] {
            assert!(
                matches!(of_receipt(Err(error)), Outcome::Later(_)),
                "{error}"
            );
        }
        assert_eq!(of_receipt(Ok(())), Outcome::Handled);
        let payload = Bytes::new();
        let too_large = SendError::TooLarge {
            payload: payload.clone(),
            limit: 1,
        };
        assert!(matches!(of_send(&too_large), Outcome::Never(_)));
        let publishes = SendError::PublishAtLeastOnce(payload.clone());
        assert_eq!(of_send(&publishes), Outcome::Misused);
        assert!(matches!(
            of_send(&SendError::Full(payload)),
            Outcome::Later(_)
        ));
    }
}
