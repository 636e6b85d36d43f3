//! The handle of a socket.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Addr, Recipient};
use bytes::Bytes;

use crate::actor::shutdown::closed_report;
use crate::actor::socket::{Close, CloseReport, SocketActor, SubscribeRecipient, Watch};
use crate::connection::connections::Connections;
use crate::core::{SocketCore, Stats};
use crate::error::{Closed, SendError, StoreError};
use crate::event::{DeadLetter, PeerEvent, PeerWatch, SocketEvent};
use crate::id::Identity;
use crate::lifecycle::{SocketPhase, SocketState};
use crate::link::Target;
use crate::outbox::PendingMessage;
use crate::payload::Payload;
use crate::subscription::Received;
use crate::subscription::SubscriptionReport;

use super::messages::Messages;
use super::sending::Sending;

/// Messages that a recipient's mailbox may hold at a time.
const RECIPIENT_CREDIT: usize = 64;

/// First pause of a flush between two checks; the pauses grow.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(16);

/// One smart socket: binds and connects, to many peers, behind one object.
///
/// A handle is cheap to clone and may be used from any thread. Dropping the last one closes the
/// socket, within its close deadline. Actors that the socket feeds keep a [`WeakSocket`], or the
/// two would keep each other alive for ever.
///
/// The futures of its methods borrow nothing of the handle, apart from [`send`](Self::send) and its siblings as they stand; those have an
/// [`into_actor`](Sending::into_actor) of their own. So an actor can hand them to its context: `ctx.spawn(socket.recv().into_actor(self).map(…))`.
/// They do not keep the socket open.
#[derive(Clone)]
pub struct Socket {
    pub(super) handle: Arc<Handle>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("identity", &self.identity())
            .field("state", &*self.state().borrow())
            .finish_non_exhaustive()
    }
}

pub(super) struct Handle {
    pub(super) core: Arc<SocketCore>,
    pub(super) actor: Addr<SocketActor>,
    pub(super) connections: Arc<Connections>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.core.lifecycle.is_open() {
            let order = Close::within(self.core.config.close_deadline);
            self.actor.do_send(order);
        }
    }
}

/// A handle that does not keep the socket open.
#[derive(Clone)]
pub struct WeakSocket {
    pub(super) handle: Weak<Handle>,
}

impl fmt::Debug for WeakSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.handle.upgrade().map(|handle| Arc::clone(&handle.core));
        f.debug_struct("WeakSocket")
            .field("identity", &core.map(|core| core.config.identity))
            .finish_non_exhaustive()
    }
}

impl WeakSocket {
    /// The socket, if a strong handle of it is left.
    pub fn upgrade(&self) -> Option<Socket> {
        self.handle.upgrade().map(|handle| Socket { handle })
    }
}

impl Socket {
    pub(crate) fn new(connections: Arc<Connections>, actor: Addr<SocketActor>) -> Self {
        Self {
            handle: Arc::new(Handle {
                core: Arc::clone(connections.core()),
                actor,
                connections,
            }),
        }
    }

    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        &self.handle.core
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core().lifecycle.is_closed()
    }

    /// The name that peers know this socket by.
    pub fn identity(&self) -> Identity {
        self.core().config.identity
    }

    /// A handle that does not keep the socket open, for handlers that the socket feeds.
    pub fn downgrade(&self) -> WeakSocket {
        WeakSocket {
            handle: Arc::downgrade(&self.handle),
        }
    }

    /// Sends a message by the socket's send mode (WIRE §7.1). `Ok` means that it is queued within
    /// limits; where every queue is full, it waits.
    ///
    /// It takes bytes: a text, a `Vec<u8>`, [`Bytes`]. A value of a [`Payload`] type goes by [`send_typed`](Self::send_typed), with a reference; without that
    /// the compiler says that `Bytes` is not `From` its type.
    #[inline]
    pub fn send(&self, payload: impl Into<Bytes>) -> Sending<'_> {
        Sending::traced(&self.core().router, Target::Mode, payload.into(), "")
    }

    /// Sends a message to one peer, whatever the send mode. One that went away less than the
    /// grace period ago is waited for; before anybody is connected, every peer is.
    #[inline]
    pub fn send_to(&self, peer: Identity, payload: impl Into<Bytes>) -> Sending<'_> {
        let target = Target::Peer(peer);
        Sending::traced(&self.core().router, target, payload.into(), "")
    }

    /// [`send`](Self::send) without waiting.
    ///
    /// # Errors
    ///
    /// Hands the payload back: [`Full`](SendError::Full) where `send` would have waited, and the
    /// errors of `send`.
    pub fn try_send(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.send(payload).try_now()
    }

    /// [`send_to`](Self::send_to) without waiting.
    ///
    /// # Errors
    ///
    /// As those of [`try_send`](Self::try_send), and [`UnknownPeer`](SendError::UnknownPeer).
    pub fn try_send_to(&self, peer: Identity, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.send_to(peer, payload).try_now()
    }

    /// Sends a value of a [`Payload`] type, by the socket's codec and send mode. One that cannot be
    /// encoded is the [`Encode`](crate::error::SendError::Encode) of the future.
    pub fn send_typed<T: Payload>(&self, value: &T) -> Sending<'_> {
        Sending::of_value(&self.core().router, Target::Mode, value)
    }

    /// [`send_typed`](Self::send_typed) to one peer, whatever the send mode.
    pub fn send_typed_to<T: Payload>(&self, peer: Identity, value: &T) -> Sending<'_> {
        Sending::of_value(&self.core().router, Target::Peer(peer), value)
    }

    /// [`send_typed`](Self::send_typed) without waiting.
    ///
    /// # Errors
    ///
    /// As those of [`try_send`](Self::try_send), and [`Encode`](SendError::Encode).
    pub fn try_send_typed<T: Payload>(&self, value: &T) -> Result<(), SendError> {
        self.send_typed(value).try_now()
    }

    /// Sends a text, as UTF-8.
    #[inline]
    pub fn send_text(&self, text: impl Into<String>) -> Sending<'_> {
        self.send(text.into())
    }

    /// Sends a value as JSON.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON. Sending itself can fail as `send` can.
    #[cfg(feature = "json")]
    pub fn send_json<T: serde::Serialize + ?Sized>(
        &self,
        value: &T,
    ) -> Result<Sending<'_>, serde_json::Error> {
        Ok(self.send(serde_json::to_vec(value)?))
    }

    /// The next message. Calls of `recv` and streams of [`messages`](Self::messages) compete: each
    /// message goes to one of them.
    ///
    /// The first call is a subscription beside those of actors, which lasts as long as the socket: go on calling, because
    /// messages wait for the next call, and peers are not read from while as many wait as the inbox takes. The log
    /// warns where nobody goes on. A task that works on what it gets without an await makes way for the others of its thread
    /// every 5 ms.
    ///
    /// # Errors
    ///
    /// [`Closed`] when nothing more will come.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has taken nothing.
    pub fn recv(&self) -> impl Future<Output = Result<Received, Closed>> + use<> {
        let core = Arc::clone(self.core());
        async move { Messages::open(&core).next().await.ok_or(Closed) }
    }

    /// The messages that come, as a stream. As with [`recv`](Self::recv), somebody has to go on taking them.
    pub fn messages(&self) -> Messages {
        Messages::open(self.core())
    }

    /// Lists the subscriptions: their filters, their counts, and their queued messages.
    pub fn subscriptions(&self) -> Vec<SubscriptionReport> {
        self.core().inbound.subscriptions.report()
    }

    /// Feeds an actor that is known only by its address, through its mailbox. At most 64 messages
    /// wait there at a time; a message is acknowledged when the actor has handled it.
    pub fn subscribe_recipient(&self, recipient: Recipient<Received>) {
        self.handle.actor.do_send(SubscribeRecipient {
            recipient,
            credit: RECIPIENT_CREDIT,
        });
    }

    /// Tells an actor of peers that come and go, from now on.
    pub fn peer_events(&self, recipient: Recipient<PeerEvent>) {
        self.handle.actor.do_send(Watch::Peers(recipient));
    }

    /// Tells an actor what the socket does, from now on.
    ///
    /// Whoever listens is told when one of the socket's own actors cannot be kept alive, and the socket is closed, or goes
    /// on without it. While nobody does, that [ends the program](mod@crate::supervise#when-it-gives-up).
    pub fn socket_events(&self, recipient: Recipient<SocketEvent>) {
        self.handle.actor.do_send(Watch::Socket(recipient));
    }

    /// Gives an actor every accepted message that will not arrive, from now on.
    pub fn dead_letters(&self, recipient: Recipient<DeadLetter>) {
        self.handle.actor.do_send(Watch::DeadLetters(recipient));
    }

    /// Watches one peer: resolves when its connection ends, with the reason; at once if it is not
    /// connected.
    pub fn watch(&self, peer: Identity) -> PeerWatch {
        self.core().router.watch(peer)
    }

    /// The state of the socket, to look at and to wait for:
    /// `socket.state().changed().await`.
    pub fn state(&self) -> tokio::sync::watch::Receiver<SocketState> {
        self.core().lifecycle.state()
    }

    /// Waits until so many peers are connected.
    ///
    /// # Errors
    ///
    /// When the socket is closed first.
    ///
    /// # Cancel safety
    ///
    /// Dropping it has no effect.
    pub fn wait_for_peers(&self, count: usize) -> impl Future<Output = Result<(), Closed>> + use<> {
        let mut state = self.state();
        async move {
            let enough =
                |state: &SocketState| state.peers >= count || state.phase != SocketPhase::Open;
            let state = *state.wait_for(enough).await.map_err(|_| Closed)?;
            match state.phase == SocketPhase::Open {
                true => Ok(()),
                false => Err(Closed),
            }
        }
    }

    /// Waits until every accepted message has been handed to the kernel, and every message that was sent at
    /// least once has been acknowledged. Messages that other tasks send meanwhile are among them. While nobody is
    /// connected, it waits for somebody.
    ///
    /// # Errors
    ///
    /// When the socket is closed first.
    ///
    /// # Cancel safety
    ///
    /// Dropping it has no effect.
    pub fn flush(&self) -> impl Future<Output = Result<(), Closed>> + use<> {
        let core = Arc::clone(self.core());
        async move {
            let mut pause = FIRST_LOOK;
            loop {
                if core.is_drained(true) {
                    return Ok(());
                }
                if core.lifecycle.is_closed() {
                    return Err(Closed);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_LOOK);
            }
        }
    }

    /// Reason why the socket is closed; `None` while it is not. Besides `close`, that one of its actors
    /// could not be kept alive.
    pub fn close_reason(&self) -> Option<&str> {
        self.core().lifecycle.reason()
    }

    /// Makes a part of the socket panic, to test what that costs.
    #[cfg(feature = "test-util")]
    pub fn crash(&self, part: crate::actor::fault_injection::Part) {
        use crate::actor::fault_injection::CrashPart;
        self.handle.actor.do_send(CrashPart(part));
    }

    /// Figures of the socket.
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// The messages that the [outbox](mod@crate::outbox) keeps because they are not acknowledged, in the order of their commits, and
    /// at most `limit` of them; none without an outbox. They are read from the store, into memory.
    ///
    /// # Errors
    ///
    /// When the store fails, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn pending(&self, limit: usize) -> Result<Vec<PendingMessage>, StoreError> {
        self.core().router.stored_messages(limit).await
    }

    /// Closes in order: takes nothing more, delivers what was accepted within the close deadline,
    /// ends each connection so that its peer loses nothing, and reports. Closing again waits for
    /// the first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket closes all the same.
    pub fn close(&self) -> impl Future<Output = CloseReport> + use<> {
        self.close_within(self.core().config.close_deadline)
    }

    /// [`close`](Self::close) with a deadline of its own.
    ///
    /// # Cancel safety
    ///
    /// As that of `close`.
    pub fn close_within(&self, deadline: Duration) -> impl Future<Output = CloseReport> + use<> {
        self.close_by(Close::within(deadline))
    }

    pub(super) fn close_by(&self, order: Close) -> impl Future<Output = CloseReport> + use<> {
        let (actor, core) = (self.handle.actor.clone(), Arc::clone(self.core()));
        async move {
            match actor.send(order).await {
                Ok(report) => report,
                // The actor is gone, or it panicked and closes the socket in its next incarnation.
                Err(_) => closed_report(&core).await,
            }
        }
    }
}
