//! A message on its way into a socket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::objections::{check, is_simple};
use super::storing::{self, StoringStep, poll_storing, store_now};
use super::waiting_place::{At, Moved, WaitingPlace};
use crate::clock;
use crate::error::{DeliveryError, EncodeError, SendError};
use crate::excerpt::Excerpt;
use crate::id::MessageId;
use crate::limits::DeliveryGuarantee;
use crate::link::{Attempt, Courtesy, Entry, Extras, Target};
use crate::link::{Receipt, receipt};
use crate::outbox::Durability;
use crate::payload::{Metadata, Payload};
use crate::routing::{Look, Overflowed, Router, SendRefusal};
use crate::trace::SendSpan;

/// The future of a send: resolves when the message is queued within limits.
///
/// Awaited as it is, it sends by the socket's settings; its methods change them for this message.
///
/// # Cancel safety
///
/// Dropped before it resolves, the message was not sent; a published message reaches all peers or
/// none. Those that wait are served in the order in which they began to.
#[must_use = "a message is sent when its future is awaited"]
pub struct Sending<'a> {
    pub(super) router: &'a Arc<Router>,
    pub(super) entry: Option<Entry>,
    /// Only for a message that does not go to a link at once. Most have none, and pay for one field.
    pub(super) detour: Option<Box<Detour>>,
    /// Set when it has let the writer go first, once.
    pub(super) made_way: bool,
    pub(super) span: SendSpan,
}

/// The way of a message that does not go to a link at once.
#[derive(Debug)]
pub(super) enum Detour {
    /// It waits in line for room.
    Line(WaitingPlace),
    /// It is stored in the outbox first: how far it has come, once it has begun.
    Storing(Option<StoringStep>),
    /// It has metadata, which is to be encoded.
    Metadata(Metadata),
    /// Why there is no message after all.
    Unencodable(EncodeError),
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.entry.as_ref().map(|entry| Excerpt(&entry.payload));
        f.debug_struct("Sending")
            .field("payload", &payload)
            .field("waits", &self.detour.is_some())
            .finish_non_exhaustive()
    }
}

impl<'a> Sending<'a> {
    #[inline]
    pub(crate) fn new(router: &'a Arc<Router>, target: Target, payload: Bytes) -> Self {
        Self::of_parts(router, target, payload, (SendSpan::default(), None))
    }

    /// The same, with a span if the socket has some. Its parts are known before it is put together, so that it is written once.
    #[inline]
    pub(super) fn traced(
        router: &'a Arc<Router>,
        target: Target,
        payload: Bytes,
        topic: &'static str,
    ) -> Self {
        let traced = match router.config().tracing.is_on() {
            false => (SendSpan::default(), None),
            true => Self::with_span(router, topic),
        };
        Self::of_parts(router, target, payload, traced)
    }

    #[inline]
    fn of_parts(
        router: &'a Arc<Router>,
        target: Target,
        payload: Bytes,
        (span, detour): (SendSpan, Option<Box<Detour>>),
    ) -> Self {
        let guarantee = router.config().guarantee;
        Self {
            router,
            entry: Some(Entry::new(target, guarantee, payload)),
            detour,
            made_way: false,
            span,
        }
    }

    /// A value on its way, or the reason why it is not.
    pub(crate) fn of_value<T: Payload>(router: &'a Arc<Router>, target: Target, value: &T) -> Self {
        match router.config().codec.encode(value) {
            Ok(payload) => Self::traced(router, target, payload, T::TOPIC),
            Err(error) => {
                let mut sending = Self::new(router, target, Bytes::new());
                sending.detour = Some(Box::new(Detour::Unencodable(error)));
                sending
            }
        }
    }

    /// Chooses what this one message is promised.
    pub fn guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        if let Some(entry) = &mut self.entry {
            entry.guarantee = guarantee;
        }
        self
    }

    /// After how long the message is no longer worth sending. Looked at when it is queued,
    /// requeued and resent; one that has expired is a dead letter.
    pub fn time_to_live(self, time: Duration) -> Self {
        self.expires_at(clock::after(time))
    }

    pub(crate) fn expires_at(mut self, deadline: std::time::Instant) -> Self {
        self.extras().expires = Some(deadline);
        self
    }

    /// Sends the message, if it is sent at least once, by this id instead of one that the socket makes: a bridge or a relay derives it
    /// from where the message came from, so that what it sends again after a crash is the same message to its receivers, if they
    /// have [`dedupe`](crate::SocketBuilder::dedupe) or look at [`Received::origin`](crate::Received::origin). Receivers
    /// remember ids for each peer, so give the socket a lasting [`identity`](crate::SocketBuilder::identity), too.
    ///
    /// Never give two different messages one id: to receivers with `dedupe` they are the same. While a message of this id is on its
    /// way to the same peer, a second one goes by an id of its own.
    ///
    /// Ids whose first eight bytes are the same, and whose last eight bytes count on (big-endian), take the least memory in the receiver.
    pub fn id(mut self, id: MessageId) -> Self {
        self.extras().id = Some(id);
        self
    }

    /// When this one message is accepted, if it is sent at least once by a socket with an [outbox](crate::outbox).
    /// Without one it changes nothing.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.extras().durability = Some(durability);
        self
    }

    /// Sends the message at least once, and resolves when the peer has handled it: its handler has returned,
    /// and the acknowledgement has come.
    ///
    /// ```no_run
    /// # use actix_aiomsg::prelude::*;
    /// # async fn order(socket: &Socket) -> Result<(), Box<dyn std::error::Error>> {
    /// socket.send("ten apples").acknowledged().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// While nobody is connected, or the peer does not handle it, this waits; with
    /// [`time_to_live`](Self::time_to_live), no longer than that, give or take a sweep of the socket.
    ///
    /// # Errors
    ///
    /// [`Send`](DeliveryError::Send) when the message is not accepted, and
    /// [`Receipt`](DeliveryError::Receipt) when it is not acknowledged, or when its peer says that it has not
    /// handled it. Other implementations than this crate acknowledge what they have read, handled or not.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the message is queued, it was not sent; dropped later, the message goes its way, and only
    /// its outcome is not learnt.
    ///
    /// The future borrows nothing: it can be spawned, and runs in an actor's context by `into_actor`.
    pub fn acknowledged(self) -> impl Future<Output = Result<(), DeliveryError>> + use<> {
        let queued = self.receipt();
        async move { Ok(queued.await?.await?) }
    }

    /// Sends the message at least once, and yields a [`Receipt`] once it is *queued*; that resolves when the
    /// peer has acknowledged the message. [`acknowledged`](Self::acknowledged) does both in one.
    ///
    /// A receipt is for a program that goes on meanwhile, and awaits the acknowledgement later, or those of
    /// many messages together. That there is one says nothing about the peer.
    ///
    /// # Errors
    ///
    /// When the message is not accepted; see [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// As that of the future itself. It borrows nothing.
    pub fn receipt(mut self) -> impl Future<Output = Result<Receipt, SendError>> + use<> {
        let (sender, receipt) = receipt();
        self.extras().receipt = Some(sender);
        let queued = self.guarantee(DeliveryGuarantee::AtLeastOnce).detached();
        async move {
            queued.await?;
            Ok(receipt)
        }
    }

    /// [`receipt`](Self::receipt) without waiting.
    pub(crate) fn receipt_now(mut self) -> Result<Receipt, SendError> {
        let (sender, receipt) = receipt();
        self.extras().receipt = Some(sender);
        self.guarantee(DeliveryGuarantee::AtLeastOnce).try_now()?;
        Ok(receipt)
    }

    pub(super) fn extras(&mut self) -> &mut Extras {
        let entry = self.entry.get_or_insert_with(|| {
            Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, Bytes::new())
        });
        entry.extras.get_or_insert_default()
    }

    /// The payload, as long as the message is not taken.
    pub(super) fn payload_mut(&mut self) -> Option<&mut Bytes> {
        self.entry.as_mut().map(|entry| &mut entry.payload)
    }

    fn take_unencodable(&mut self) -> Option<EncodeError> {
        if !matches!(self.detour.as_deref(), Some(Detour::Unencodable(_))) {
            return None;
        }
        match *self.detour.take()? {
            Detour::Unencodable(error) => Some(error),
            Detour::Line(_) | Detour::Storing(_) | Detour::Metadata(_) => None,
        }
    }

    fn is_stored(&self) -> bool {
        matches!(self.detour.as_deref(), Some(Detour::Storing(_)))
    }

    /// Sends without waiting.
    pub(crate) fn try_now(mut self) -> Result<(), SendError> {
        let outcome = self.try_once();
        self.span.end(&outcome);
        outcome
    }

    fn try_once(&mut self) -> Result<(), SendError> {
        if let Some(error) = self.take_unencodable() {
            return Err(error.into());
        }
        if self.detour.is_some() {
            self.seal()?;
        }
        let Some(mut entry) = self.entry.take() else {
            return Ok(());
        };
        if self.router.try_put(&entry) {
            return Ok(());
        }
        check(self.router, &mut entry)?;
        if self.router.stores(&entry) {
            return store_now(self.router, &mut entry);
        }
        let Err(refusal) = first_attempt(self.router, &mut entry, Courtesy::HasYielded) else {
            return Ok(());
        };
        match self.router.overflow(&mut entry, refusal, Look::All) {
            Overflowed::Accepted => Ok(()),
            Overflowed::Wait(refusal, _) | Overflowed::Refused(refusal) => {
                Err(refusal.with_payload(entry.payload))
            }
        }
    }

    /// Sends a message that was sent before, by its id if it had one, without waiting.
    pub(super) fn again(mut self, id: Option<MessageId>, envelope: Bytes) -> Result<(), SendError> {
        if id.is_some() || !envelope.is_empty() {
            let extras = self.extras();
            (extras.id, extras.envelope) = (id, envelope);
        }
        self.try_now()
    }

    /// Stands in line where the message was refused, as often as that changes.
    #[cold]
    fn poll_line(
        &mut self,
        mut refusal: SendRefusal,
        mut patience: Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let router = self.router;
        let Some(entry) = &mut self.entry else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let policy = router.policy_for(entry, &refusal);
            let (refused, limit) = match router.overflow(entry, refusal, Look::First) {
                Overflowed::Accepted => return Poll::Ready(Ok(())),
                Overflowed::Wait(refused, limit) => (refused, limit),
                Overflowed::Refused(refused) => {
                    let payload = std::mem::take(&mut entry.payload);
                    return Poll::Ready(Err(refused.with_payload(payload)));
                }
            };
            let at = match refused {
                SendRefusal::HeldFull(_) => At::Outbox,
                SendRefusal::LinkFull(link) => At::Link(link),
                SendRefusal::LinksFull
                | SendRefusal::OutboxFull
                | SendRefusal::Closed
                | SendRefusal::UnknownPeer(_)
                | SendRefusal::TooLate => At::Anywhere,
            };
            // The patience is for the message, wherever it waits; of a published one it is for each link.
            let publishes = router.publishes(entry);
            let patience_left = patience.take().filter(|_| !publishes);
            let at_most =
                limit.map(|limit| patience_left.unwrap_or_else(|| Box::pin(sleep(limit))));
            let line = WaitingPlace::new(at, policy, at_most);
            self.detour = Some(Box::new(Detour::Line(line)));
            match std::task::ready!(poll_in_line(router, &mut self.detour, entry, cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err((again, left)) => (refusal, patience) = (again, left),
            }
        }
    }

    /// Handles a message that is not taken at once.
    #[cold]
    fn poll_slowly(
        &mut self,
        refusal: Option<SendRefusal>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if let Some(error) = self.take_unencodable() {
            self.entry = None;
            return Poll::Ready(Err(error.into()));
        }
        match self.seal() {
            Ok(false) => {}
            Ok(true) => return self.poll_sent(cx),
            Err(error) => return Poll::Ready(Err(error)),
        }
        let is_stored = self.is_stored();
        let Some(entry) = &mut self.entry else {
            return Poll::Ready(Ok(()));
        };
        let outcome = match refusal {
            None if is_stored => {
                std::task::ready!(poll_store(self.router, &mut self.detour, entry, cx))
            }
            Some(refusal) => std::task::ready!(self.poll_line(refusal, None, cx)),
            None => match check(self.router, entry) {
                Err(error) => Err(error),
                Ok(()) if self.router.stores(entry) => {
                    std::task::ready!(poll_store(self.router, &mut self.detour, entry, cx))
                }
                Ok(()) => {
                    let detour = &mut self.detour;
                    match std::task::ready!(poll_in_line(self.router, detour, entry, cx)) {
                        Ok(()) => Ok(()),
                        Err((refusal, patience)) => {
                            std::task::ready!(self.poll_line(refusal, patience, cx))
                        }
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
fn first_attempt(
    router: &Router,
    entry: &mut Entry,
    courtesy: Courtesy,
) -> Result<Attempt, SendRefusal> {
    if matches!(entry.target, Target::Mode) && !router.room().is_empty() {
        return Err(router.who_is_full());
    }
    router.try_take_with(entry, courtesy)
}

/// Waits in line, if it does; else this is one more attempt.
fn poll_in_line(
    router: &Router,
    detour: &mut Option<Box<Detour>>,
    entry: &mut Entry,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Moved>> {
    let Some(Detour::Line(line)) = detour.as_deref_mut() else {
        return Poll::Ready(router.try_take(entry).map_err(|refusal| (refusal, None)));
    };
    let outcome = std::task::ready!(line.poll_end(router, entry, cx));
    *detour = None;
    Poll::Ready(outcome)
}

/// Stores the message in the outbox, and resolves when it is accepted.
fn poll_store(
    router: &Arc<Router>,
    detour: &mut Option<Box<Detour>>,
    entry: &mut Entry,
    cx: &mut Context<'_>,
) -> Poll<Result<(), SendError>> {
    if !matches!(detour.as_deref(), Some(Detour::Storing(_))) {
        *detour = Some(Box::new(Detour::Storing(None)));
    }
    let Some(Detour::Storing(step)) = detour.as_deref_mut() else {
        unreachable!("it has just been made");
    };
    let outcome = std::task::ready!(poll_storing(router, step, entry, cx));
    *detour = None;
    Poll::Ready(outcome)
}

impl Sending<'_> {
    #[inline]
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let entry = self.entry.as_mut().expect("polled after it resolved");
        if self.detour.is_none() && self.router.try_put(entry) {
            self.entry = None;
            return Poll::Ready(Ok(()));
        }
        if self.detour.is_none() && is_simple(self.router, entry) {
            let courtesy = match self.made_way {
                true => Courtesy::HasYielded,
                false => Courtesy::Yields,
            };
            return match first_attempt(self.router, entry, courtesy) {
                Ok(Attempt::Taken) => {
                    self.entry = None;
                    Poll::Ready(Ok(()))
                }
                Ok(Attempt::WriterFirst) => {
                    self.made_way = true;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Err(refusal) => self.poll_slowly(Some(refusal), cx),
            };
        }
        self.poll_slowly(None, cx)
    }

    #[cold]
    fn poll_traced(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let polled = self.poll_sent(cx);
        if let Poll::Ready(outcome) = &polled {
            self.span.end(outcome);
        }
        polled
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    /// # Panics
    ///
    /// When polled after it has resolved.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.span.is_some() {
            false => self.poll_sent(cx),
            true => self.poll_traced(cx),
        }
    }
}

impl Drop for Sending<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(detour) = &mut self.detour {
            leave(self.router, detour);
        }
    }
}

/// A future that is dropped gives up its place in line.
#[cold]
fn leave(router: &Router, detour: &mut Detour) {
    match detour {
        Detour::Line(line) => line.leave(router),
        Detour::Storing(step) => storing::leave(router, step),
        Detour::Metadata(_) | Detour::Unencodable(_) => {}
    }
}
