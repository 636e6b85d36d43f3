//! Parts of relays, timers and orderly ends.

use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, AsyncContext, Context, ResponseFuture, SpawnHandle};
use bytes::Bytes;

use super::handle::{Socket, WeakSocket};
use crate::actor::shutdown;
use crate::engine::LogPermit;
use crate::error::{NotDrained, SendError};
use crate::subscription::Received;
use crate::telemetry::{self, Topic};

/// After how long a message that could not be forwarded is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Socket {
    /// Sends a received message on by this socket, as the result of a relay's handler:
    /// `type Result = ResponseFuture<()>; … { self.next.forward(message) }`.
    ///
    /// It waits while this socket has no room, and the handler's other messages wait with it: the
    /// relay never overruns the next socket, and its own peers slow down. The message is
    /// acknowledged when it is accepted; until then it is tried again, if its sender wants an
    /// acknowledgement. One that is too large for this socket is rejected. Its metadata goes along.
    pub fn forward(&self, message: Received) -> ResponseFuture<()> {
        let next = self.clone();
        Box::pin(async move {
            let sending = next.send(message.payload().clone());
            match sending.metadata_of(&message).await {
                Ok(()) => {}
                Err(SendError::TooLarge { .. }) => message.reject(),
                Err(error) => {
                    warn_of(&error);
                    message.nack(AGAIN);
                }
            }
        })
    }

    /// Stops receiving, waits until everything that was received is handled and everything that
    /// was sent, answers among it, is handed to the kernel. The socket still sends; peers that go
    /// on sending wait, and keep what they send. [`close`](Self::close) it afterwards.
    ///
    /// A socket that offers services first tells its peers that it is about to end, and handles what they had sent to the services
    /// until they have seen that; what they send later goes to other instances.
    ///
    /// # Errors
    ///
    /// When that is not done within the time.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket has stopped receiving all the same.
    pub async fn drain(&self, within: Duration) -> Result<(), NotDrained> {
        let core = self.core();
        if shutdown::drain(core, within).await {
            return Ok(());
        }
        let waiting = core.inbound.subscriptions.in_hand();
        Err(NotDrained { waiting })
    }

    /// Sends a message after some time, unless the actor has stopped by then.
    pub fn send_later<A: Actor<Context = Context<A>>>(
        &self,
        ctx: &mut Context<A>,
        after: Duration,
        payload: impl Into<Bytes>,
    ) -> SpawnHandle {
        let (socket, payload) = (self.downgrade(), payload.into());
        ctx.spawn(wrap_future(async move {
            tokio::time::sleep(after).await;
            send(&socket, payload).await;
        }))
    }

    /// Sends what `payload` makes of the actor every `period`, first after one period, for as long
    /// as the actor runs. While a message waits for room, those that would be next are skipped.
    ///
    /// # Panics
    ///
    /// When the period is zero.
    pub fn send_every<A, P>(
        &self,
        ctx: &mut Context<A>,
        period: Duration,
        mut payload: impl FnMut(&mut A) -> P + 'static,
    ) -> SpawnHandle
    where
        A: Actor<Context = Context<A>>,
        P: Into<Bytes>,
    {
        assert!(!period.is_zero(), "a period takes time");
        let socket = self.downgrade();
        ctx.run_interval(period, move |act, ctx| {
            let Some(socket) = socket.upgrade() else {
                return;
            };
            match socket.try_send(payload(act)) {
                Ok(()) => {}
                // The whole actor waits, its next period with it.
                Err(SendError::Full(payload)) => {
                    let socket = socket.downgrade();
                    ctx.wait(wrap_future(async move { send(&socket, payload).await }));
                }
                Err(error) => warn_of(&error),
            }
        })
    }
}

async fn send(socket: &WeakSocket, payload: Bytes) {
    if let Some(socket) = socket.upgrade()
        && let Err(error) = socket.send(payload).await
    {
        warn_of(&error);
    }
}

/// Tells of an error that nobody is there to look at. That a socket is closed is no news.
fn warn_of(error: &SendError) {
    if error.is_closed() {
        tracing::debug!(%error, "not sent");
    } else if let Some(LogPermit { unlogged }) = telemetry::line(Topic::NotSent, error.to_string())
    {
        tracing::warn!(%error, unlogged, "a message of a timer or a relay was not sent");
    }
}
