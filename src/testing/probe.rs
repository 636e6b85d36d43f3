//! Actors that collect what they are told, for a test to go through.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Context, Handler, Message, Recipient};
use tokio::sync::mpsc;

use crate::id::Identity;
use crate::payload::Payload;
use crate::socket::{Socket, SubscribeOptions, WeakSocket};
use crate::subscription::Received;

/// Time that a probe waits, by the clock of the runtime.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages to an actor of the test's own, in order, until the test looks at them.
#[derive(Debug)]
pub struct Probe<M> {
    told: mpsc::UnboundedReceiver<M>,
}

/// A probe has not heard what it waited for, within thirty seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing of that came within {PATIENCE:?}")]
pub struct ProbeError;

/// The actor behind a probe of events.
#[derive(Debug)]
#[doc(hidden)]
pub struct EventCollector<M> {
    told: mpsc::UnboundedSender<M>,
}

impl<M: Unpin + 'static> Actor for EventCollector<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for EventCollector<M> {
    type Result = ();

    fn handle(&mut self, event: M, _: &mut Context<Self>) {
        // A test that has ended listens no more.
        let _ = self.told.send(event);
    }
}

/// The actor behind a probe of messages.
struct MessageCollector<T> {
    socket: WeakSocket,
    options: SubscribeOptions,
    told: mpsc::UnboundedSender<(Identity, T)>,
}

impl<T: Payload + Unpin> Actor for MessageCollector<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let options = self.options.clone();
        self.socket.subscribe_with::<T>(ctx, options);
    }
}

impl<T: Payload + Unpin> Handler<Received<T>> for MessageCollector<T> {
    type Result = ();

    fn handle(&mut self, message: Received<T>, _: &mut Context<Self>) {
        let peer = message.peer();
        // A test that has ended listens no more.
        let _ = self.told.send((peer, message.into_payload()));
    }
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Probe<M> {
    /// An actor for events: [`PeerEvent`](crate::PeerEvent), [`DeadLetter`](crate::DeadLetter), or
    /// messages of your own.
    pub fn recipient() -> (Recipient<M>, Self)
    where
        Context<EventCollector<M>>: ToEnvelope<EventCollector<M>, M>,
    {
        let (sender, told) = mpsc::unbounded_channel();
        let collector = EventCollector { told: sender }.start();
        (collector.recipient(), Self { told })
    }
}

impl<T: Payload + Unpin> Probe<(Identity, T)> {
    /// An actor that subscribes to messages of type `T`; each comes with whom it is from.
    pub fn subscribe(socket: &Socket) -> Self {
        Self::subscribe_with(socket, SubscribeOptions::default())
    }

    /// [`subscribe`](Self::subscribe), with options of its own.
    pub fn subscribe_with(socket: &Socket, options: SubscribeOptions) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let collector = MessageCollector {
            socket: socket.downgrade(),
            options,
            told: sender,
        };
        collector.start();
        Self { told }
    }
}

impl<M> Probe<M> {
    /// The next one.
    ///
    /// # Errors
    ///
    /// When nothing came within thirty seconds of the runtime's clock.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has taken nothing.
    pub async fn next(&mut self) -> Result<M, ProbeError> {
        self.find(Some).await
    }

    /// The next one of which `wanted` makes something; those before it are skipped.
    ///
    /// # Errors
    ///
    /// When none came within thirty seconds of the runtime's clock, however many others did.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, those that were skipped are gone.
    pub async fn find<R>(
        &mut self,
        mut wanted: impl FnMut(M) -> Option<R>,
    ) -> Result<R, ProbeError> {
        let finding = async {
            loop {
                let told = self.told.recv().await.ok_or(ProbeError)?;
                if let Some(found) = wanted(told) {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE, finding)
            .await
            .unwrap_or(Err(ProbeError))
    }

    /// Everything that has been told and not looked at.
    pub fn rest(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}
