//! A service that this socket offers, and its handlers.

use std::sync::Arc;

use super::handle::{Socket, WeakSocket};
use crate::core::SocketCore;
use crate::error::{Closed, OfferError};
use crate::services::{NotOffered, OfferReport, ServiceQueue};

/// A service that a socket offers. Its handlers make it one: peers are told of it with the first.
///
/// Dropping this changes nothing. The service is offered until it is [withdrawn](Self::withdraw), until the actors of all its
/// handlers have ended for good, or until the socket closes.
#[derive(Debug, Clone)]
pub struct Offer {
    core: Arc<SocketCore>,
    service: Arc<ServiceQueue>,
}

impl Socket {
    /// Offers a service, from the `started` method of the actor that handles it; again after every restart. With the offer in
    /// hand, `offer.serve::<Order>(ctx).serve::<InStock>(ctx);`. Peers are told of it at once, and ask it by
    /// [`service`](Self::service).
    ///
    /// Messages for it wait in a queue of their own, 1024 and 1 MiB at most, and never keep the socket from reading. What there is no room
    /// for is refused at once, and so is an ask that would not be handled within its time, so that it may go
    /// to another instance.
    ///
    /// # Errors
    ///
    /// When the name is empty or longer than 255 bytes, when the socket offers 256 services already, or when it is
    /// closed.
    pub fn offer(&self, name: &str) -> Result<Offer, OfferError> {
        Offer::at(self.core(), name)
    }

    /// The services that this socket offers.
    pub fn offers(&self) -> Vec<OfferReport> {
        self.core().services.report()
    }
}

impl WeakSocket {
    /// As [`Socket::offer`].
    ///
    /// # Errors
    ///
    /// As those of `Socket::offer`.
    pub fn offer(&self, name: &str) -> Result<Offer, OfferError> {
        self.upgrade().ok_or(Closed)?.offer(name)
    }
}

impl Offer {
    pub(crate) fn at(core: &Arc<SocketCore>, name: &str) -> Result<Self, OfferError> {
        if !core.lifecycle.is_open() {
            return Err(Closed.into());
        }
        let identity = core.config.identity.to_string();
        let service = core.services.offers.open(name, &identity)?;
        Ok(Self {
            core: Arc::clone(core),
            service,
        })
    }

    /// Names this instance of the service, by which [keys](crate::service::Service::keyed) are placed. A process that
    /// comes back under the same name has the same keys. Default: the identity of the socket.
    ///
    /// # Errors
    ///
    /// When the name is empty or longer than 255 bytes.
    pub fn instance(self, name: &str) -> Result<Self, OfferError> {
        let offers = &self.core.services.offers;
        offers.name_instance(&self.service, name)?;
        self.core.services.wake();
        Ok(self)
    }

    /// For how many messages to have room, beside those that handlers have in hand. Default: 1024. With 0 everything is refused,
    /// because each message passes through the queue.
    #[must_use]
    pub fn max_queued(self, messages: usize) -> Self {
        let meter = self.service.meter();
        meter.change_limits(|limits| limits.max_queued = messages);
        self
    }

    /// For how many bytes of messages to have room, beside those that handlers have in hand. An empty queue takes one message of
    /// any size. Default: 1 MiB.
    #[must_use]
    pub fn max_queued_bytes(self, bytes: usize) -> Self {
        let meter = self.service.meter();
        meter.change_limits(|limits| limits.max_queued_bytes = bytes);
        self
    }

    /// Offers the service no longer. Messages that wait for it are refused, so that they may go to another instance; those
    /// that a handler has in hand are still answered. Whoever serves by a clone of this afterwards offers it again.
    pub fn withdraw(self) {
        self.core.services.withdraw(&self.service);
    }

    pub(super) fn parts(&self) -> (&SocketCore, &Arc<ServiceQueue>) {
        (&self.core, &self.service)
    }
}

impl From<NotOffered> for OfferError {
    fn from(reason: NotOffered) -> Self {
        match reason {
            NotOffered::Name => Self::Name,
            NotOffered::TooMany => Self::TooMany,
        }
    }
}
