//! What stands around the payload of a message, and who is told when it is handled.

use std::sync::Arc;

use bytes::Bytes;

use super::handle_cache::CachedHandle;
use super::received::Ticket;
use super::service_meter::ServiceMeter;
use super::settlement::SettlementCell;
use crate::clock;
use crate::id::MessageId;
use crate::payload::{AskEnvelope, ServiceAddress, TraceContext};

/// The way that messages of one subscription are wrapped.
pub(crate) trait Wrapping: Unpin + 'static {
    /// Lives for as long as a message is being handled.
    type Handling: Send + Unpin + 'static;

    /// A message of so many bytes goes to its handler, perhaps again.
    fn begin(&self, bytes: usize, again: impl FnOnce() -> bool) -> Self::Handling;

    /// The span that sent a message, where that does not travel as metadata.
    fn creation(_: &[u8]) -> Option<TraceContext> {
        None
    }

    /// The payload in a message.
    fn unwrap(raw: Bytes) -> Option<Bytes>;

    /// The ticket of a message that has one.
    fn ticket(
        &self,
        settlement: CachedHandle<SettlementCell>,
        id: impl FnOnce() -> Option<MessageId>,
    ) -> Ticket;
}

/// Messages as they are.
pub(crate) struct Bare {
    /// True if those that want an acknowledgement know their ids.
    with_ids: bool,
}

impl Bare {
    pub(crate) const fn new(with_ids: bool) -> Self {
        Self { with_ids }
    }
}

impl Wrapping for Bare {
    type Handling = ();

    #[inline]
    fn begin(&self, _: usize, _: impl FnOnce() -> bool) {}

    #[inline]
    fn unwrap(raw: Bytes) -> Option<Bytes> {
        Some(raw)
    }

    #[inline]
    fn ticket(
        &self,
        settlement: CachedHandle<SettlementCell>,
        id: impl FnOnce() -> Option<MessageId>,
    ) -> Ticket {
        match self.with_ids {
            false => Ticket::Handler(settlement),
            true => with_id(settlement, id()),
        }
    }
}

/// Messages to a service, whose load counts them.
pub(crate) struct ToService(pub(crate) Arc<ServiceMeter>);

/// A message to a service that is being handled.
pub(crate) struct ServiceHandling(Arc<ServiceMeter>);

impl ServiceHandling {
    /// A message that was accepted goes to its handler, or nobody waits for its answer any more.
    pub(crate) fn first(meter: &Arc<ServiceMeter>, bytes: usize) -> Self {
        meter.handle_taken(bytes);
        Self(Arc::clone(meter))
    }

    /// A message that was taken before goes to its handler again.
    pub(crate) fn again(meter: &Arc<ServiceMeter>) -> Self {
        meter.handle_again(clock::now());
        Self(Arc::clone(meter))
    }
}

impl Drop for ServiceHandling {
    fn drop(&mut self) {
        self.0.handle_finished(clock::now());
    }
}

impl Wrapping for ToService {
    type Handling = ServiceHandling;

    fn begin(&self, bytes: usize, again: impl FnOnce() -> bool) -> ServiceHandling {
        match again() {
            true => ServiceHandling::again(&self.0),
            false => ServiceHandling::first(&self.0, bytes),
        }
    }

    fn creation(raw: &[u8]) -> Option<TraceContext> {
        AskEnvelope::read(raw)?.0.trace
    }

    fn unwrap(raw: Bytes) -> Option<Bytes> {
        let (_, body) = AskEnvelope::read(&raw)?;
        let (_, body) = ServiceAddress::read(body)?;
        Some(raw.slice_ref(body))
    }

    fn ticket(
        &self,
        settlement: CachedHandle<SettlementCell>,
        id: impl FnOnce() -> Option<MessageId>,
    ) -> Ticket {
        with_id(settlement, id())
    }
}

fn with_id(settlement: CachedHandle<SettlementCell>, id: Option<MessageId>) -> Ticket {
    match id {
        Some(id) => Ticket::with_id(settlement, id),
        None => Ticket::Handler(settlement),
    }
}
