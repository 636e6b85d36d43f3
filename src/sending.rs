//! A message on its way into a socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use crate::clock;
use crate::config::{DeliveryGuarantee, SendMode};
use crate::error::SendError;
use crate::link::{Entry, Extras, Guarantee, Link, Target};
use crate::receipt::{Receipt, receipt};
use crate::routing::{Exchange, NotTaken};
use crate::sync::Place;

impl From<DeliveryGuarantee> for Guarantee {
    fn from(guarantee: DeliveryGuarantee) -> Self {
        match guarantee {
            DeliveryGuarantee::AtMostOnce => Self::AtMostOnce,
            DeliveryGuarantee::AtLeastOnce => Self::AtLeastOnce(None),
        }
    }
}

/// The future of a send: resolves when the message is queued within limits.
///
/// Awaited as it is, it sends by the socket's settings; its methods change them for this message.
///
/// # Cancel safety
///
/// Dropped before it resolves, the message was not sent; a published message reaches all peers or
/// none. Those that wait are served in the order in which they began to.
#[derive(Debug)]
#[must_use = "a message is sent when its future is awaited"]
pub struct Sending<'a> {
    exchange: &'a Exchange,
    entry: Option<Entry>,
    place: Place,
    waiting: Waiting,
}

#[derive(Debug)]
enum Waiting {
    /// Not yet.
    No,
    /// For room on any link, or in the outbox.
    Anywhere,
    /// For room on this link; a publish only for so long.
    On(Arc<Link>, Option<Pin<Box<Sleep>>>),
}

impl<'a> Sending<'a> {
    #[inline]
    pub(crate) fn new(exchange: &'a Exchange, target: Target, payload: Bytes) -> Self {
        let guarantee = exchange.config.guarantee.into();
        Self {
            entry: Some(Entry::new(target, guarantee, payload)),
            exchange,
            place: Place::new(),
            waiting: Waiting::No,
        }
    }

    /// Chooses what this one message is promised.
    pub fn guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        if let Some(entry) = &mut self.entry {
            entry.guarantee = guarantee.into();
        }
        self
    }

    /// After how long the message is no longer worth sending. Looked at when it is queued,
    /// requeued and resent; one that has expired is a dead letter.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.extras().expires = Some(clock::now() + time);
        self
    }

    /// Sends the message at least once, and yields a [`Receipt`] that resolves when the peer has
    /// acknowledged it.
    ///
    /// # Errors
    ///
    /// When the message is not accepted; see [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// As that of the future itself.
    pub async fn receipt(mut self) -> Result<Receipt, SendError> {
        let (sender, receipt) = receipt();
        self.extras().receipt = Some(sender);
        self.guarantee(DeliveryGuarantee::AtLeastOnce).await?;
        Ok(receipt)
    }

    fn extras(&mut self) -> &mut Extras {
        let entry = self
            .entry
            .get_or_insert_with(|| Entry::new(Target::Mode, Guarantee::AtMostOnce, Bytes::new()));
        entry.extras.get_or_insert_default()
    }

    /// Sends without waiting.
    pub(crate) fn try_now(mut self) -> Result<(), SendError> {
        let Some(mut entry) = self.entry.take() else {
            return Ok(());
        };
        check(self.exchange, &mut entry)?;
        if matches!(entry.target, Target::Mode) && !self.exchange.room.is_empty() {
            // Others were here first.
            return Err(SendError::Full(entry.payload));
        }
        self.exchange
            .try_take(&mut entry)
            .map_err(|refusal| refusal.with_payload(entry.payload))
    }

    fn leave_line(&mut self) {
        match &self.waiting {
            Waiting::No => {}
            Waiting::Anywhere => self.place.leave(&self.exchange.room),
            Waiting::On(link, _) => self.place.leave(&link.room),
        }
    }

    /// One attempt, at the place where this message waits.
    fn poll_attempt(
        &mut self,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NotTaken>> {
        let exchange = self.exchange;
        let attempt = |refused_here: &dyn Fn(&NotTaken) -> bool, entry: &mut Entry| match exchange
            .try_take(entry)
        {
            Err(refusal) if refused_here(&refusal) => None,
            other => Some(other),
        };
        match &self.waiting {
            Waiting::No => {
                let overtakes = matches!(entry.target, Target::Mode) && !exchange.room.is_empty();
                if overtakes {
                    return Poll::Ready(Err(NotTaken::Full));
                }
                Poll::Ready(exchange.try_take(entry))
            }
            Waiting::Anywhere => self.place.poll(&exchange.room, cx, || {
                attempt(&|refusal| matches!(refusal, NotTaken::Full), entry)
            }),
            Waiting::On(link, _) => self.place.poll(&link.room, cx, || {
                let here = |refusal: &NotTaken| {
                    matches!(refusal, NotTaken::LinkFull(full) if full.serial() == link.serial())
                };
                attempt(&here, entry)
            }),
        }
    }

    /// Stands in another line.
    fn wait(&mut self, waiting: Waiting) {
        self.leave_line();
        self.waiting = waiting;
    }

    fn patience(&self, entry: &Entry) -> Option<Pin<Box<Sleep>>> {
        let publishes =
            entry.target == Target::Mode && self.exchange.config.send_mode == SendMode::Publish;
        publishes.then(|| Box::pin(tokio::time::sleep(self.exchange.config.publish_patience)))
    }

    fn poll_entry(
        &mut self,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            if !self.exchange.is_open() {
                return Poll::Ready(Err(SendError::Closed(std::mem::take(&mut entry.payload))));
            }
            if let Waiting::On(link, Some(patience)) = &mut self.waiting
                && patience.as_mut().poll(cx).is_ready()
            {
                tracing::warn!(peer = %link.peer(), "a peer is too slow: its oldest messages are dropped");
                link.start_shedding();
                self.wait(Waiting::No);
            }
            match std::task::ready!(self.poll_attempt(entry, cx)) {
                Ok(()) => {
                    self.waiting = Waiting::No;
                    return Poll::Ready(Ok(()));
                }
                Err(NotTaken::Full) => self.wait(Waiting::Anywhere),
                Err(NotTaken::LinkFull(link)) => {
                    let patience = self.patience(entry);
                    self.wait(Waiting::On(link, patience));
                }
                Err(refusal @ (NotTaken::Closed | NotTaken::UnknownPeer(_))) => {
                    let payload = std::mem::take(&mut entry.payload);
                    return Poll::Ready(Err(refusal.with_payload(payload)));
                }
            }
        }
    }
}

/// What no waiting will change.
fn check(exchange: &Exchange, entry: &mut Entry) -> Result<(), SendError> {
    let limit = Link::max_payload(entry.guarantee, exchange.config.max_frame_bytes);
    if entry.payload.len() > limit {
        let payload = std::mem::take(&mut entry.payload);
        return Err(SendError::TooLarge { payload, limit });
    }
    let acknowledged = matches!(entry.guarantee, Guarantee::AtLeastOnce(_));
    if acknowledged
        && entry.target == Target::Mode
        && exchange.config.send_mode == SendMode::Publish
    {
        let payload = std::mem::take(&mut entry.payload);
        return Err(SendError::PublishAtLeastOnce(payload));
    }
    Ok(())
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    /// # Panics
    ///
    /// When polled after it has resolved.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut entry = this.entry.take().expect("polled after it resolved");
        if matches!(this.waiting, Waiting::No) {
            check(this.exchange, &mut entry)?;
        }
        let result = this.poll_entry(&mut entry, cx);
        if result.is_pending() {
            this.entry = Some(entry);
        }
        result
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.leave_line();
    }
}
