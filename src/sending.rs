//! A message on its way into a socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

use crate::clock;
use crate::config::{DeliveryGuarantee, SendMode};
use crate::error::{EncodeError, SendError};
use crate::link::{Entry, Extras, Guarantee, Link, Target};
use crate::payload::Payload;
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
    /// Only for a message that has to wait.
    line: Option<Box<Line>>,
}

/// Where a message waits for room.
#[derive(Debug)]
struct Line {
    place: Place,
    at: At,
    /// How long a publish waits for one link.
    patience: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum At {
    /// For room on any link, or in the outbox.
    Anywhere,
    /// For room in the outbox, where messages wait for a peer that is not connected.
    Outbox,
    /// For room on this link.
    Link(Arc<Link>),
    /// For nothing: the value could not be encoded.
    Nowhere(EncodeError),
}

impl Line {
    fn new(at: At, patience: Option<Pin<Box<Sleep>>>) -> Box<Self> {
        Box::new(Self {
            place: Place::new(),
            at,
            patience,
        })
    }

    /// An attempt when it is this message's turn; a refusal that only more room here would change
    /// keeps it waiting.
    fn poll(
        &mut self,
        exchange: &Exchange,
        entry: &mut Entry,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NotTaken>> {
        match &self.at {
            At::Anywhere => {
                self.place
                    .poll(&exchange.room, cx, || match exchange.try_take(entry) {
                        Err(NotTaken::Full) => None,
                        other => Some(other),
                    })
            }
            At::Outbox => self.place.poll(&exchange.outbox_room, cx, || {
                match exchange.try_take(entry) {
                    Err(NotTaken::OutboxFull) => None,
                    other => Some(other),
                }
            }),
            At::Link(link) => self
                .place
                .poll(&link.room, cx, || match exchange.try_take(entry) {
                    Err(NotTaken::LinkFull(full)) if full.serial() == link.serial() => None,
                    other => Some(other),
                }),
            At::Nowhere(_) => Poll::Ready(Ok(())),
        }
    }

    fn leave(&mut self, exchange: &Exchange) {
        match &self.at {
            At::Anywhere => self.place.leave(&exchange.room),
            At::Outbox => self.place.leave(&exchange.outbox_room),
            At::Link(link) => self.place.leave(&link.room),
            At::Nowhere(_) => {}
        }
    }
}

impl<'a> Sending<'a> {
    /// A value on its way, or the reason why it is not.
    pub(crate) fn of_value<T: Payload>(exchange: &'a Exchange, target: Target, value: &T) -> Self {
        match exchange.config.codec.encode(value) {
            Ok(payload) => Self::new(exchange, target, payload),
            Err(error) => {
                let mut sending = Self::new(exchange, target, Bytes::new());
                sending.line = Some(Line::new(At::Nowhere(error), None));
                sending
            }
        }
    }

    /// Why the value was not encoded, if it was not.
    fn take_encode_error(&mut self) -> Option<SendError> {
        match &self.line.as_ref()?.at {
            At::Nowhere(error) => {
                let error = error.clone();
                self.line = None;
                self.entry = None;
                Some(error.into())
            }
            At::Anywhere | At::Outbox | At::Link(_) => None,
        }
    }

    #[inline]
    pub(crate) fn new(exchange: &'a Exchange, target: Target, payload: Bytes) -> Self {
        let guarantee = exchange.config.guarantee.into();
        Self {
            exchange,
            entry: Some(Entry::new(target, guarantee, payload)),
            line: None,
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
        if let Some(error) = self.take_encode_error() {
            return Err(error);
        }
        let Some(mut entry) = self.entry.take() else {
            return Ok(());
        };
        check(self.exchange, &mut entry)?;
        first_attempt(self.exchange, &mut entry)
            .map_err(|refusal| refusal.with_payload(entry.payload))
    }

    /// Stands in line where the message was refused, as often as that changes.
    #[cold]
    fn poll_line(
        &mut self,
        mut refusal: NotTaken,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let exchange = self.exchange;
        let Some(entry) = &mut self.entry else {
            return Poll::Ready(Ok(()));
        };
        loop {
            self.line = Some(match refusal {
                NotTaken::Full => Line::new(At::Anywhere, None),
                NotTaken::OutboxFull => Line::new(At::Outbox, None),
                NotTaken::LinkFull(link) => {
                    let patience = patience(exchange, entry);
                    Line::new(At::Link(link), patience)
                }
                refusal @ (NotTaken::Closed | NotTaken::UnknownPeer(_)) => {
                    let payload = std::mem::take(&mut entry.payload);
                    return Poll::Ready(Err(refusal.with_payload(payload)));
                }
            });
            match std::task::ready!(poll_in_line(exchange, &mut self.line, entry, cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(again) => refusal = again,
            }
        }
    }

    /// What happens to a message that is not taken at once.
    #[cold]
    fn poll_slowly(
        &mut self,
        refusal: Option<NotTaken>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if let Some(error) = self.take_encode_error() {
            return Poll::Ready(Err(error));
        }
        let Some(entry) = &mut self.entry else {
            return Poll::Ready(Ok(()));
        };
        let outcome = match refusal {
            Some(refusal) => std::task::ready!(self.poll_line(refusal, cx)),
            None => match check(self.exchange, entry) {
                Err(error) => Err(error),
                Ok(()) => {
                    let line = &mut self.line;
                    match std::task::ready!(poll_in_line(self.exchange, line, entry, cx)) {
                        Ok(()) => Ok(()),
                        Err(refusal) => std::task::ready!(self.poll_line(refusal, cx)),
                    }
                }
            },
        };
        self.entry = None;
        Poll::Ready(outcome)
    }
}

/// The message goes, unless others wait for the same: it does not overtake them.
#[inline]
fn first_attempt(exchange: &Exchange, entry: &mut Entry) -> Result<(), NotTaken> {
    if matches!(entry.target, Target::Mode) && !exchange.room.is_empty() {
        return Err(NotTaken::Full);
    }
    exchange.try_take(entry)
}

/// Waits in line; leaves it when the outcome is known, the socket is closed, or a publish has lost
/// its patience.
fn poll_in_line(
    exchange: &Exchange,
    waiting: &mut Option<Box<Line>>,
    entry: &mut Entry,
    cx: &mut Context<'_>,
) -> Poll<Result<(), NotTaken>> {
    let Some(line) = waiting else {
        return Poll::Ready(exchange.try_take(entry));
    };
    let out_of_patience = line
        .patience
        .as_mut()
        .is_some_and(|patience| patience.as_mut().poll(cx).is_ready());
    let outcome = if !exchange.is_open() {
        Err(NotTaken::Closed)
    } else if let (true, At::Link(link)) = (out_of_patience, &line.at) {
        tracing::warn!(peer = %link.peer(), "a peer is too slow: its oldest messages are dropped");
        link.start_shedding();
        exchange.try_take(entry)
    } else {
        std::task::ready!(line.poll(exchange, entry, cx))
    };
    if let Some(mut line) = waiting.take() {
        line.leave(exchange);
    }
    Poll::Ready(outcome)
}

fn patience(exchange: &Exchange, entry: &Entry) -> Option<Pin<Box<Sleep>>> {
    let publishes = entry.target == Target::Mode && exchange.config.send_mode == SendMode::Publish;
    publishes.then(|| Box::pin(tokio::time::sleep(exchange.config.publish_patience)))
}

/// Whether nothing speaks against a message that waiting would not change.
#[inline]
fn is_sound(exchange: &Exchange, entry: &Entry) -> bool {
    let limit = Link::max_payload(entry.guarantee, exchange.config.max_frame_bytes);
    entry.payload.len() <= limit && !wants_publish_acknowledged(exchange, entry)
}

#[inline]
fn wants_publish_acknowledged(exchange: &Exchange, entry: &Entry) -> bool {
    matches!(entry.guarantee, Guarantee::AtLeastOnce(_))
        && entry.target == Target::Mode
        && exchange.config.send_mode == SendMode::Publish
}

/// Says what speaks against a message that waiting would not change.
fn check(exchange: &Exchange, entry: &mut Entry) -> Result<(), SendError> {
    if is_sound(exchange, entry) {
        return Ok(());
    }
    let payload = std::mem::take(&mut entry.payload);
    if wants_publish_acknowledged(exchange, entry) {
        return Err(SendError::PublishAtLeastOnce(payload));
    }
    let limit = Link::max_payload(entry.guarantee, exchange.config.max_frame_bytes);
    Err(SendError::TooLarge { payload, limit })
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    /// # Panics
    ///
    /// When polled after it has resolved.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let entry = this.entry.as_mut().expect("polled after it resolved");
        if this.line.is_none() && is_sound(this.exchange, entry) {
            let attempt = first_attempt(this.exchange, entry);
            if attempt.is_ok() {
                this.entry = None;
                return Poll::Ready(Ok(()));
            }
            return this.poll_slowly(attempt.err(), cx);
        }
        this.poll_slowly(None, cx)
    }
}

impl Drop for Sending<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.leave(self.exchange);
        }
    }
}
