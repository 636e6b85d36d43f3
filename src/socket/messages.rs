//! The received messages of a socket, as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::core::SocketCore;
use crate::subscription::{CallBudget, Key, Received, Subscription, SubscriptionSpec};
use crate::sync::Place;
use crate::trace::{Consumer, Incoming};

/// The messages of a socket, as a stream. It ends when the socket is closed.
pub struct Messages {
    subscription: Arc<Subscription>,
    place: Place,
    consumer: Consumer,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    /// Begins, or joins, the subscription of those who call for messages.
    pub(super) fn open(core: &SocketCore) -> Self {
        let all = SubscriptionSpec::all(Key::Calls);
        Self {
            subscription: core.inbound.subscriptions.open(all),
            place: Place::new(),
            consumer: core.config.tracing.consumer("", None),
        }
    }

    /// The next message; `None` when the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has taken nothing.
    pub async fn next(&mut self) -> Option<Received> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = &mut *self;
        loop {
            ready!(CallBudget::poll_next(cx));
            let inbox = &this.subscription.inbox;
            let Poll::Ready(taken) = inbox.poll_take_one(cx, &mut this.place) else {
                CallBudget::note_none();
                return Poll::Pending;
            };
            let Ok(chunk) = taken else {
                return Poll::Ready(None);
            };
            CallBudget::note_taken(cx);
            if let Some(received) = Received::guarded(&this.subscription, chunk) {
                this.consumer.receive(|| incoming(&received));
                return Poll::Ready(Some(received));
            }
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.place.leave(&self.subscription.inbox.consumers);
    }
}

/// What its span tells of a message.
fn incoming(received: &Received) -> Incoming {
    Incoming {
        creation: received.trace(),
        peer: received.peer(),
        bytes: received.payload().len(),
        id: received.origin().map(|(_, id)| id),
        ask: None,
    }
}
