//! The pump of the way forward.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler};
use bytes::Bytes;

use super::event::RelayDrop;
use super::waiting::WaitingAsk;
use super::way::Way;
use crate::error::{ReceiptError, SendError};
use crate::event::PeerEvent;
use crate::id::Identity;
use crate::limits::SendMode;
use crate::link::{Receipt, Target};
use crate::payload::{AskEnvelope, AskId, AskKind, Filter};
use crate::socket::{Sending, SendingAsk, SubscribeOptions, WeakSocket, peer_to_ask};
use crate::subscription::{Handled, Received};

/// After how long a message that was not sent on is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Peers at the back that are offered an ask before it waits for room.
const MOST_TRIED: usize = 8;

/// Receives at the front, and sends on at the back.
pub(super) struct Forward {
    way: Arc<Way>,
    from: WeakSocket,
    filter: Filter,
    /// Messages that are not queued yet: what comes behind them waits, too.
    unqueued: Rc<Cell<usize>>,
}

/// A message that is not queued yet.
struct Unqueued(Rc<Cell<usize>>);

impl Unqueued {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Unqueued {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Forward {
    pub(super) fn new(way: Arc<Way>, from: WeakSocket, filter: Filter) -> Self {
        Self {
            way,
            from,
            filter,
            unqueued: Rc::default(),
        }
    }

    fn pass_on(&self, message: Received) -> Handled {
        let awaits = message.wants_acknowledgement() && self.way.acknowledges();
        if self.way.capture.is_some() || self.unqueued.get() > 0 {
            return self.pass_on_in_line(message, awaits);
        }
        let sending = self.way.sending(&message);
        let sent = match awaits {
            true => sending.receipt_now().map(Some),
            false => sending.try_now().map(|()| None),
        };
        match sent {
            Ok(None) => {
                self.way.counts.forwarded.add(1);
                Ok::<(), Infallible>(()).into()
            }
            Ok(Some(receipt)) => {
                self.way.counts.forwarded.add(1);
                let way = Arc::clone(&self.way);
                finished(async move { way.settle(message, receipt).await })
            }
            Err(SendError::Full(_)) => self.pass_on_in_line(message, awaits),
            Err(error) => {
                self.way.not_sent(message, &error);
                Ok::<(), Infallible>(()).into()
            }
        }
    }

    /// The same, of a message that has to wait, or stands behind one that does.
    fn pass_on_in_line(&self, message: Received, awaits: bool) -> Handled {
        let (way, unqueued) = (Arc::clone(&self.way), Unqueued::new(&self.unqueued));
        finished(async move {
            if let Some(capture) = &way.capture {
                capture.record(message.peer(), message.payload()).await;
            }
            let sending = way.sending(&message);
            let sent = match awaits {
                true => sending.receipt().await.map(Some),
                false => sending.await.map(|()| None),
            };
            drop(unqueued);
            match sent {
                Ok(receipt) => {
                    way.counts.forwarded.add(1);
                    if let Some(receipt) = receipt {
                        way.settle(message, receipt).await;
                    }
                }
                Err(error) => way.not_sent(message, &error),
            }
        })
    }

    fn ask(&self, message: Received, envelope: &AskEnvelope) -> Handled {
        let ask = PassedAsk {
            id: envelope.id,
            deadline: self.way.deadline(envelope.patience_millis),
            message,
        };
        let refused = match self.way.try_ask(&ask) {
            Tried::Sent => None,
            Tried::Refused(reason) => Some(reason),
            // It waits from here on: a cancel may be next.
            Tried::NoRoom => match self.way.enter_waiting(ask.id, ask.asker()) {
                Err(reason) => Some(reason),
                Ok(place) => {
                    let way = Arc::clone(&self.way);
                    return finished(async move {
                        if let Err(reason) = way.ask_later(&ask, place).await {
                            way.refuse_ask(ask.id, ask.asker(), reason);
                        }
                    });
                }
            },
        };
        if let Some(reason) = refused {
            self.way.refuse_ask(ask.id, ask.asker(), reason);
        }
        Ok::<(), Infallible>(()).into()
    }
}

fn finished(work: impl Future<Output = ()> + 'static) -> Handled {
    Handled::future(async move {
        work.await;
        Ok::<(), Infallible>(())
    })
}

/// An ask on its way to the back. Its message is in hand until it is sent on, or refused.
struct PassedAsk {
    id: AskId,
    deadline: Instant,
    message: Received,
}

impl PassedAsk {
    fn asker(&self) -> Identity {
        self.message.peer()
    }
}

/// What came of the attempt to pass an ask on at once.
enum Tried {
    Sent,
    /// Nobody is there, or nobody has room.
    NoRoom,
    Refused(RelayDrop),
}

impl Way {
    /// True if the back waits for acknowledgements of what it is sent at least once.
    fn acknowledges(&self) -> bool {
        self.to.config.send_mode == SendMode::RoundRobin
    }

    fn sending(&self, message: &Received) -> Sending<'_> {
        let payload = message.payload().clone();
        Sending::new(&self.to.router, Target::Mode, payload).metadata_of(message)
    }

    /// Waits for the acknowledgement of the back, which is that of the message.
    async fn settle(&self, message: Received, receipt: Receipt) {
        match receipt.await {
            Ok(()) => {}
            // What the back has lost by its own limits is not lost: it comes again.
            Err(
                ReceiptError::Closed
                | ReceiptError::Overflow
                | ReceiptError::Expired
                | ReceiptError::PeerGone,
            ) => message.nack(AGAIN),
            Err(error) => {
                tracing::debug!(peer = %message.peer(), %error, "the back of a relay does not take a message");
                self.drop_it(message.peer(), RelayDrop::Refused);
                message.reject();
            }
        }
    }

    /// The back has not taken a message.
    fn not_sent(&self, message: Received, error: &SendError) {
        tracing::debug!(%error, "a relay could not send a message on");
        if matches!(error, SendError::TooLarge { .. }) {
            self.drop_it(message.peer(), RelayDrop::TooLarge);
            return message.reject();
        }
        if !message.wants_acknowledgement() {
            self.drop_it(message.peer(), RelayDrop::NotTaken);
        }
        message.nack(AGAIN);
    }

    /// Its asker waits less by the time that it was here.
    fn sending_ask<'a>(&'a self, ask: &PassedAsk, asked: Identity) -> SendingAsk<'a> {
        let payload = ask.message.payload().clone();
        let sending = Sending::new(&self.to.router, Target::Peer(asked), payload);
        SendingAsk::new(sending.metadata_of(&ask.message), ask.deadline)
    }

    /// Passes an ask on to the next peer in turn that has room.
    fn try_ask(&self, ask: &PassedAsk) -> Tried {
        for _ in 0..MOST_TRIED {
            let Some(link) = self.to.router.peer_in_turn() else {
                return Tried::NoRoom;
            };
            if let Err(reason) = self.note_ask(ask.id, ask.asker(), &link, ask.deadline) {
                return Tried::Refused(reason);
            }
            match self.sending_ask(ask, link.peer()).try_now() {
                Ok(()) => {
                    self.counts.asks.add(1);
                    return Tried::Sent;
                }
                Err(error) => {
                    self.forget_ask(ask.id, link.peer());
                    if matches!(error, SendError::TooLarge { .. }) {
                        return Tried::Refused(RelayDrop::TooLarge);
                    }
                }
            }
        }
        Tried::NoRoom
    }

    /// Waits for a peer, and for room on the way to it, as long as the asker waits.
    async fn ask_later(&self, ask: &PassedAsk, mut place: WaitingAsk) -> Result<(), RelayDrop> {
        while let Some(Some(link)) =
            unless_given_up(&place, peer_to_ask(&self.to, ask.deadline)).await
        {
            self.note_ask(ask.id, ask.asker(), &link, ask.deadline)?;
            // It is one of those that are open from here on.
            place.pause();
            let sending = self.sending_ask(ask, link.peer());
            match unless_given_up(&place, sending).await {
                // Whoever gave it up has taken it out of the table.
                None => return Ok(()),
                Some(Ok(())) => {
                    self.counts.asks.add(1);
                    return Ok(());
                }
                Some(Err(error)) => {
                    place.resume();
                    if !self.forget_ask(ask.id, link.peer()) {
                        return Ok(());
                    }
                    match error {
                        SendError::TooLarge { .. } => return Err(RelayDrop::TooLarge),
                        // It has gone since: another one is asked.
                        SendError::UnknownPeer { .. } => {}
                        _ => return Err(RelayDrop::AsksFull),
                    }
                }
            }
        }
        // Nobody waits for the answer any more.
        Ok(())
    }
}

/// What comes of a step, unless the asker gives the ask up before.
async fn unless_given_up<T>(place: &WaitingAsk, step: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = place.given_up() => None,
        outcome = step => Some(outcome),
    }
}

impl Actor for Forward {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // What is in hand is bounded by the inbox of the front.
        let options = SubscribeOptions::default()
            .max_in_flight(usize::MAX)
            .filter(self.filter.clone());
        self.from.subscribe_with::<Bytes>(ctx, options);
    }
}

impl Handler<Received> for Forward {
    type Result = Handled;

    fn handle(&mut self, message: Received, _: &mut Self::Context) -> Handled {
        let Some((envelope, _)) = AskEnvelope::read(message.payload()) else {
            return self.pass_on(message);
        };
        let peer = message.peer();
        match envelope.kind {
            AskKind::Ask => return self.ask(message, &envelope),
            AskKind::Cancel => {
                self.way
                    .cancel(envelope.id, peer, message.payload().clone());
            }
            // Nobody at the back has asked anybody here by this relay.
            AskKind::Reply | AskKind::Failure | AskKind::Refused => {
                self.way.drop_it(peer, RelayDrop::Unasked);
            }
            AskKind::ServiceAsk => self.way.refuse_ask(envelope.id, peer, RelayDrop::Service),
            AskKind::ServiceTell => {
                self.way.drop_it(peer, RelayDrop::Service);
                message.reject();
            }
        }
        Ok::<(), Infallible>(()).into()
    }
}

impl Handler<PeerEvent> for Forward {
    type Result = ();

    fn handle(&mut self, event: PeerEvent, _: &mut Self::Context) {
        if let PeerEvent::Down { peer, .. } = event {
            self.way.handle_asker_gone(peer);
        }
    }
}
