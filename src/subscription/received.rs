//! A message as a handler, or a caller of `recv`, gets it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix::Message;
use bytes::Bytes;

use super::delivery::Detached;
use super::handle_cache::CachedHandle;
use super::one_subscription::Subscription;
use super::settlement::{Settlement, SettlementCell};
use crate::address::CertificateChain;
use crate::announcements::Burial;
use crate::config::Config;
use crate::error::{DecodeError, SendError};
use crate::event::DeadLetterReason;
use crate::id::{Identity, MessageId};
use crate::link::{Entry, Link, Target, fits_frame};
use crate::payload::{Format, IntoPayload, Metadata, Payload, TraceContext};
use crate::routing::Router;
use crate::routing::SendRefusal;
use crate::trace::Outgoing;

/// A received message: its payload, whom it is from, and the way to answer.
///
/// In a handler, the message is acknowledged when the handler has finished; a handler that
/// panics, returns an error as [`Handled`](crate::Handled), or whose future is dropped, has not, and the message is delivered again. One that came
/// from [`Socket::recv`](crate::Socket::recv) is acknowledged when it is dropped or
/// [`ack`](Self::ack) is called; dropped by a panic it is delivered again. Messages that were
/// sent at most once are not delivered again.
pub struct Received<T = Bytes> {
    payload: T,
    link: CachedHandle<Link>,
    ticket: Ticket,
}

impl<T: fmt::Debug> fmt::Debug for Received<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("peer", &self.peer())
            .field("payload", &self.payload)
            .field("wants_acknowledgement", &self.wants_acknowledgement())
            .finish()
    }
}

impl<T> Message for Received<T> {
    type Result = ();
}

/// The way from a message to its settlement.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// Nobody waits for an acknowledgement.
    None,
    /// The handler's pump asks when the handler has finished.
    Handler(CachedHandle<SettlementCell>),
    /// There is more to be known of the message. In a box, so that the messages of handlers are small.
    Described(DescribedBox),
}

/// What is known of one of the few messages of which more is known, and how it is dropped: elsewhere, so that the drop of all
/// others is short.
#[derive(Debug)]
pub(crate) struct DescribedBox(Option<Box<Described>>);

impl Drop for DescribedBox {
    #[inline]
    fn drop(&mut self) {
        if let Some(described) = self.0.take() {
            drop_described(described);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_described(described: Box<Described>) {
    drop(described);
}

/// What is known of some messages.
#[derive(Debug)]
pub(crate) struct Described {
    settling: Settling,
    /// The id of the message, where it is to be known.
    id: Option<MessageId>,
    metadata: Option<Arc<Metadata>>,
}

/// Who settles a message of which more is known.
#[derive(Debug)]
enum Settling {
    Nobody,
    Handler(CachedHandle<SettlementCell>),
    /// Dropping it is the acknowledgement.
    Guard(RecvGuard),
}

impl Ticket {
    /// A handler's, of a message whose id is known.
    #[cold]
    pub(crate) fn with_id(settlement: CachedHandle<SettlementCell>, id: MessageId) -> Self {
        Self::of(Described {
            id: Some(id),
            ..Described::by(Settling::Handler(settlement))
        })
    }

    /// The same, with the metadata of the message if it has some.
    #[inline]
    pub(crate) fn with_metadata(self, metadata: Option<Arc<Metadata>>) -> Self {
        match metadata {
            None => self,
            Some(metadata) => self.described_by(metadata),
        }
    }

    #[cold]
    fn described_by(self, metadata: Arc<Metadata>) -> Self {
        let settling = match self {
            Self::Described(mut described) => {
                if let Some(described) = &mut described.0 {
                    described.metadata = Some(metadata);
                }
                return Self::Described(described);
            }
            Self::None => Settling::Nobody,
            Self::Handler(settlement) => Settling::Handler(settlement),
        };
        Self::of(Described {
            metadata: Some(metadata),
            ..Described::by(settling)
        })
    }

    fn of(described: Described) -> Self {
        Self::Described(DescribedBox(Some(Box::new(described))))
    }

    fn described(&self) -> Option<&Described> {
        match self {
            Self::Described(described) => described.0.as_deref(),
            Self::None | Self::Handler(_) => None,
        }
    }

    /// Where the handler's decision goes, if a handler has the message.
    fn settlement(&self) -> Option<&CachedHandle<SettlementCell>> {
        match self {
            Self::None => None,
            Self::Handler(settlement) => Some(settlement),
            Self::Described(_) => match &self.described()?.settling {
                Settling::Handler(settlement) => Some(settlement),
                Settling::Nobody | Settling::Guard(_) => None,
            },
        }
    }

    /// The message, if `recv` handed it out and it is not settled.
    fn guarded(&self) -> Option<&Detached> {
        match &self.described()?.settling {
            Settling::Guard(guard) => guard.message.as_ref(),
            Settling::Nobody | Settling::Handler(_) => None,
        }
    }
}

impl Described {
    fn by(settling: Settling) -> Self {
        Self {
            settling,
            id: None,
            metadata: None,
        }
    }
}

/// A message that `recv` handed out.
#[derive(Debug)]
pub(crate) struct RecvGuard {
    subscription: Arc<Subscription>,
    message: Option<Detached>,
}

impl Drop for RecvGuard {
    fn drop(&mut self) {
        let Some(message) = self.message.take() else {
            return;
        };
        if std::thread::panicking() {
            message.fail(&self.subscription, None);
        } else {
            message.settle(&self.subscription, Settlement::Finished);
        }
    }
}

impl Received<Bytes> {
    /// A message that `recv` took; `chunk` holds it alone.
    pub(crate) fn guarded(
        subscription: &Arc<Subscription>,
        chunk: crate::inbox::Chunk,
    ) -> Option<Self> {
        let (detached, payload, metadata) = Detached::of_single(chunk)?;
        let link = CachedHandle::new(Arc::clone(detached.chunk().link()));
        let ticket = if detached.wants_acknowledgement() {
            let id = detached.id();
            let guard = RecvGuard {
                subscription: Arc::clone(subscription),
                message: Some(detached),
            };
            let settling = Settling::Guard(guard);
            Ticket::of(Described {
                id,
                ..Described::by(settling)
            })
        } else {
            detached.settle(subscription, Settlement::Finished);
            Ticket::None
        };
        Some(Self::new(payload, link, ticket.with_metadata(metadata)))
    }

    /// The payload as UTF-8 text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.payload)
    }

    /// The payload read as JSON.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or not of this shape.
    #[cfg(feature = "json")]
    pub fn json<'a, D: serde::Deserialize<'a>>(&'a self) -> Result<D, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }

    /// The payload read as a value of this type, by the socket's codec.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn decode<D: Payload>(&self) -> Result<D, DecodeError> {
        self.link.codec().decode(self.payload.clone())
    }

    /// The payload in memory of its own.
    ///
    /// A payload otherwise keeps the buffer alive that it was read with, which may be larger by
    /// far (up to 256 KiB): use this for what is kept for long.
    pub fn detach(&self) -> Bytes {
        Bytes::copy_from_slice(&self.payload)
    }
}

impl<T> Received<T> {
    #[inline]
    pub(crate) fn new(payload: T, link: CachedHandle<Link>, ticket: Ticket) -> Self {
        Self {
            payload,
            link,
            ticket,
        }
    }

    /// The socket that sent the message.
    pub fn peer(&self) -> Identity {
        self.link.peer()
    }

    /// The verified certificate that the peer has proved to own, over TLS.
    pub fn certificates(&self) -> Option<&CertificateChain> {
        self.link.credentials()?.certificates()
    }

    /// The value that the authorizer keeps with the peer, if it is of this type; see
    /// [`Admission::with_principal`](crate::authorize::Admission::with_principal).
    pub fn principal<P: Any>(&self) -> Option<&P> {
        self.link.credentials()?.principal()
    }

    /// Headers, content type and trace that the sender gave the message. There are none, unless this socket
    /// [reads metadata](crate::SocketBuilder::read_metadata).
    pub fn metadata(&self) -> &Metadata {
        static NONE: LazyLock<Metadata> = LazyLock::new(Metadata::new);
        let described = self.ticket.described();
        (described.and_then(|described| described.metadata.as_deref())).unwrap_or(&NONE)
    }

    /// The value of a header of the message.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata().header(name)
    }

    /// All headers of the message, as names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata().headers()
    }

    /// The media type of the payload, if the sender gave one.
    pub fn content_type(&self) -> Option<&str> {
        self.metadata().content_type()
    }

    /// The trace that the message belongs to, if the sender gave one.
    pub fn trace(&self) -> Option<TraceContext> {
        self.metadata().trace()
    }

    /// The payload.
    ///
    /// Bytes are a part of the read that the message came with, which may be 128 KiB, and keep all of it. A program that
    /// keeps small ones for long copies them: `Bytes::copy_from_slice(message.payload())`.
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// Takes the payload out. A message that came from `recv` is acknowledged by this.
    pub fn into_payload(self) -> T {
        self.payload
    }

    /// True if the sender waits for an acknowledgement.
    pub fn wants_acknowledgement(&self) -> bool {
        match self.ticket.settlement() {
            Some(settlement) => settlement.is_acknowledged(),
            None => self.ticket.guarded().is_some(),
        }
    }

    /// Sends an answer to the peer that the message came from, by the socket's guarantee: bytes, a
    /// text, or `&value` of a [`Payload`] type, by the socket's codec. It never waits: a link takes replies up to eight times its bound, and a peer that does not
    /// take its answers is not read from.
    ///
    /// # Errors
    ///
    /// Hands the payload back: [`Full`](SendError::Full) above that mark,
    /// [`UnknownPeer`](SendError::UnknownPeer) when the peer is gone for longer than the grace
    /// period, [`TooLarge`](SendError::TooLarge), and [`Closed`](SendError::Closed). A value
    /// that cannot be encoded is [`Encode`](SendError::Encode).
    pub fn reply<P: IntoPayload>(&self, payload: P) -> Result<(), SendError> {
        let payload = payload.into_payload(self.link.codec())?;
        if self.link.try_reply(&payload) {
            return Ok(());
        }
        self.reply_by_lock(payload, P::TOPIC)
    }

    /// The reply has a span, if its socket has some, whose context goes along with it.
    #[inline(never)]
    fn reply_by_lock(&self, payload: Bytes, topic: &'static str) -> Result<(), SendError> {
        let Some(router) = Router::of(&self.link) else {
            return Err(SendError::Closed(payload));
        };
        let Config {
            guarantee, tracing, ..
        } = router.config();
        let peer = self.peer();
        let mut entry = Entry::new(Target::Peer(peer), *guarantee, payload);
        let mut span = tracing.send(&tracing.parent(), topic, || Outgoing {
            publishes: false,
            peer: Some(peer),
            bytes: entry.payload.len(),
            id: None,
            given: None,
        });
        if let Some(trace) = span.context() {
            // A trace alone is always well formed.
            let envelope = Metadata::new().with_trace(trace).envelope();
            entry.extras.get_or_insert_default().envelope = envelope.unwrap_or_default();
        }
        let outcome = self.push_reply(&router, entry);
        span.end_send(&outcome);
        outcome
    }

    fn push_reply(&self, router: &Router, mut entry: Entry) -> Result<(), SendError> {
        let limit = Link::max_payload(entry.guarantee, router.config().max_frame_bytes);
        if !fits_frame(&entry, limit) {
            let payload = entry.payload;
            return Err(SendError::TooLarge { payload, limit });
        }
        router
            .reply(self.link.shared(), &mut entry)
            .map_err(|refusal| refusal.with_payload(entry.payload))
    }

    /// The message is handled: acknowledges it now if it came from `recv`. In a handler its
    /// return is the acknowledgement.
    pub fn ack(self) {
        drop(self);
    }

    /// The sender of a message that was sent at least once, and the id that the message has wherever it goes: one that is
    /// handled twice, by two instances perhaps, has the same. It is known of messages to a service, of those that
    /// [`recv`](crate::Socket::recv) and [`messages`](crate::Socket::messages) hand out, and of all on a socket that keeps its [dedupe](crate::SocketBuilder::dedupe)
    /// window in an outbox. `None` for others.
    pub fn origin(&self) -> Option<(Identity, MessageId)> {
        Some((self.link.peer(), self.ticket.described()?.id?))
    }

    /// True if the message was delivered before, and perhaps handled in part: its handler failed or
    /// [put it off](Self::nack), or the socket keeps its [dedupe](crate::SocketBuilder::dedupe) window in an outbox, and had
    /// it in hand when an earlier start ended without having acknowledged it.
    ///
    /// False says on such a socket that no handler has had it within the window. Elsewhere it says nothing of earlier starts, and
    /// nowhere of other sockets.
    pub fn is_redelivered(&self) -> bool {
        let again = match self.ticket.settlement() {
            Some(settlement) => settlement.is_again(),
            None => self.ticket.guarded().is_some_and(Detached::is_again),
        };
        again || (self.origin()).is_some_and(|(_, id)| self.link.was_in_hand(id))
    }

    fn decide(mut self, settlement: Settlement) {
        if let Some(cell) = self.ticket.settlement() {
            cell.decide(settlement);
        } else if let Ticket::Described(DescribedBox(Some(described))) = &mut self.ticket
            && let Settling::Guard(guard) = &mut described.settling
            && let Some(message) = guard.message.take()
        {
            message.settle(&guard.subscription, settlement);
        }
    }

    /// The handler's decision can be made without the message.
    pub(crate) fn settle_handle(&self) -> Option<Arc<SettlementCell>> {
        (self.ticket.settlement()).map(|settlement| Arc::clone(settlement.shared()))
    }
}

impl<T: Payload> Received<T> {
    /// The message is not handled: it is delivered again after `delay`, to whoever is subscribed
    /// then. One that was sent at most once becomes a dead letter instead.
    pub fn nack(self, delay: Duration) {
        self.bury_without_ticket();
        self.decide(Settlement::Nack(delay));
    }

    /// The message will never be handled: it becomes a dead letter, and its sender does not
    /// resend it.
    pub fn reject(self) {
        self.bury_without_ticket();
        self.decide(Settlement::Reject);
    }

    /// With a ticket, whoever holds its other half buries the message.
    fn bury_without_ticket(&self) {
        if self.ticket.settlement().is_none()
            && self.ticket.guarded().is_none()
            && let Some(router) = Router::of(&self.link)
            && let Some(payload) = T::Format::raw(&self.payload)
        {
            let reason = DeadLetterReason::Rejected;
            let burial = Burial::received(payload, self.link.peer(), reason);
            router.events().bury(burial);
        }
    }
}

impl<T> std::ops::Deref for Received<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}

impl SendRefusal {
    /// The public error for a message that was not taken.
    pub(crate) fn with_payload(self, payload: Bytes) -> SendError {
        match self {
            Self::Closed => SendError::Closed(payload),
            Self::UnknownPeer(peer) => SendError::UnknownPeer { peer, payload },
            Self::LinksFull
            | Self::OutboxFull
            | Self::HeldFull(_)
            | Self::LinkFull(_)
            | Self::TooLate => SendError::Full(payload),
        }
    }
}
