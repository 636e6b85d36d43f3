//! Messages to services, taken out of what was read before any inbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::message::ServiceMessage;
use super::queue::ServiceQueue;
use super::services::Services;
use crate::clock;
use crate::engine::service::{KeyHash, ServiceAdmission};
use crate::event::DeadLetterReason;
use crate::id::MessageId;
use crate::inbox::{Chunk, MessageSet};
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target};
use crate::payload::{AskEnvelope, AskKind, AskRefusal};
use crate::subscription::Subscription;
use crate::wire::{DATA_REQ_HEADER_BYTES, NotHandled};

/// The verdict on a message to a service.
enum Intake {
    Deliver(Arc<Subscription>),
    Refuse(AskRefusal),
    /// No handler of the service takes what is asked.
    Unwanted,
}

/// The messages of a chunk for one handler.
struct Portion {
    handler: Arc<Subscription>,
    selection: MessageSet,
    /// Of their frames.
    bytes: usize,
}

impl Services {
    /// Takes messages to services out of a chunk: into the queue of their service, or they are refused. `None` if
    /// nothing is left.
    #[cold]
    pub(crate) fn intercept(&self, mut chunk: Chunk) -> Option<Chunk> {
        let now = clock::now();
        chunk.note_arrival(now);
        let link = Arc::clone(chunk.link());
        let mut rest = MessageSet::default();
        let mut portions: SmallVec<[Portion; 2]> = SmallVec::new();
        let mut service = None;
        chunk.for_each(|ordinal, id, payload| {
            let Some(message) = ServiceMessage::read(payload) else {
                rest.insert(ordinal);
                return;
            };
            match self.judge(&link, &message, payload.len(), &mut service, now) {
                Intake::Deliver(handler) => add(&mut portions, handler, ordinal, payload.len()),
                Intake::Refuse(refusal) => {
                    self.refuse(&link, &message, id, refusal, payload);
                }
                Intake::Unwanted => {
                    self.turn_away(&link, &message, id, payload);
                }
            }
        });
        self.hand_out(&chunk, portions);
        match rest.count() {
            0 => None,
            all if all == chunk.messages() => Some(chunk),
            _ => Some(chunk.select(rest)),
        }
    }

    fn hand_out(&self, chunk: &Chunk, portions: SmallVec<[Portion; 2]>) {
        for portion in portions {
            // A part of a chunk that keeps much more than itself is copied, so that what waits is what was counted.
            let part = match 2 * portion.bytes < chunk.cost() {
                true => chunk.copy_of(&portion.selection),
                false => chunk.select(portion.selection),
            };
            if let Err(late) = self.subscriptions().hand_over(&portion.handler, part) {
                self.hand_on_late(late);
            }
        }
    }

    /// Messages whose handler has ended since it was chosen; a handler is of one service.
    #[cold]
    fn hand_on_late(&self, late: Chunk) {
        let mut service = None;
        late.for_each(|_, _, payload| {
            if service.is_none() {
                let message = ServiceMessage::read(payload);
                service = message.and_then(|message| self.offers.find(message.address.name));
            }
        });
        match service {
            Some(service) => self.hand_on(&service, vec![late]),
            None => self.refuse_all(vec![late], NotHandled::NoSuchService),
        }
    }

    /// Messages whose handler is gone go to another one of the service; those that none takes are turned away.
    #[cold]
    pub(super) fn hand_on(&self, service: &ServiceQueue, waiting: Vec<Chunk>) {
        for chunk in waiting {
            let link = Arc::clone(chunk.link());
            let (first, again) = (chunk.ordinal(), chunk.bookmark().attempts() > 0);
            let mut portions: SmallVec<[Portion; 2]> = SmallVec::new();
            chunk.for_each(|ordinal, id, payload| {
                let Some(message) = ServiceMessage::read(payload) else {
                    return;
                };
                match service.handler_of(link.peer(), message.body) {
                    Some(handler) => add(&mut portions, handler, ordinal, payload.len()),
                    None => {
                        // Only the message that the chunk begins with may have been taken before.
                        if !(again && ordinal == first) {
                            service.meter().handle_taken(payload.len());
                            service.meter().handle_finished(clock::now());
                        }
                        self.turn_away(&link, &message, id, payload);
                    }
                }
            });
            self.hand_out(&chunk, portions);
        }
    }

    /// `last` is the service of the message before.
    fn judge(
        &self,
        link: &Link,
        message: &ServiceMessage<'_>,
        bytes: usize,
        last: &mut Option<Arc<ServiceQueue>>,
        now: Instant,
    ) -> Intake {
        let is_last = last
            .as_ref()
            .is_some_and(|last| **last.name() == *message.address.name);
        if !is_last {
            *last = self.offers.find(message.address.name);
            if let Some(service) = last {
                service.note_user(link.serial());
            }
        }
        let Some(service) = last else {
            return refused(NotHandled::NoSuchService, Duration::ZERO);
        };
        let credentials = link.credentials();
        if credentials.is_some_and(|credentials| !credentials.may_ask(message.address.name)) {
            return refused(NotHandled::NotAllowed, Duration::ZERO);
        }
        if self.offers.are_draining() && self.offers.was_seen_by(link.serial()) {
            return refused(NotHandled::Draining, Duration::ZERO);
        }
        if let Some(key) = message.address.key
            && self.holds_elsewhere(link, message.address.name, KeyHash(key))
        {
            service.note_split_key();
        }
        let Some(handler) = service.handler_of(link.peer(), message.body) else {
            return Intake::Unwanted;
        };
        let patience = message.envelope.patience_millis;
        let remaining = (patience > 0).then(|| Duration::from_millis(patience.into()));
        match service.meter().handle_arrival(now, bytes, remaining) {
            ServiceAdmission::Accept => Intake::Deliver(handler),
            ServiceAdmission::Busy { retry_after } => {
                self.wake();
                refused(NotHandled::Busy, retry_after)
            }
        }
    }

    /// True if another instance than our own holds a key of a message from a peer, as far as we know. What the socket
    /// sends to itself it has just chosen by what it knows.
    fn holds_elsewhere(&self, link: &Link, name: &str, key: KeyHash) -> bool {
        let knows = self.own.get().is_some() && !self.is_own(link) && !self.offers.are_draining();
        let followed = knows.then(|| self.directory.find(name)).flatten();
        followed.is_some_and(|followed| followed.is_held_elsewhere(key))
    }

    /// A message is surely not handled: says so at once, so that it may go elsewhere.
    fn refuse(
        &self,
        link: &Arc<Link>,
        message: &ServiceMessage<'_>,
        id: Option<MessageId>,
        refusal: AskRefusal,
        payload: &[u8],
    ) {
        if message.envelope.kind == AskKind::ServiceAsk {
            self.note_refused();
            self.answer(link, refusal.write(message.envelope.id));
            link.finish_unread(id.as_slice(), Ok(()));
        } else if let Some(id) = id {
            self.note_refused();
            link.turn_down(id, refusal.reason);
        } else {
            let payload = Bytes::copy_from_slice(payload);
            let reason = match refusal.reason {
                NotHandled::Busy => {
                    self.note_refused();
                    DeadLetterReason::Overflow
                }
                _ => DeadLetterReason::Unwanted,
            };
            self.subscriptions().bury(payload, link.peer(), reason);
        }
    }

    /// No handler of the service takes what is asked.
    fn turn_away(
        &self,
        link: &Arc<Link>,
        message: &ServiceMessage<'_>,
        id: Option<MessageId>,
        payload: &[u8],
    ) {
        if message.envelope.kind == AskKind::ServiceAsk {
            self.note_refused();
            let text = b"no handler of the service takes the request";
            let envelope = AskEnvelope::new(AskKind::Failure, message.envelope.id);
            self.answer(link, envelope.write(text));
            link.finish_unread(id.as_slice(), Ok(()));
            return;
        }
        link.finish_unread(id.as_slice(), Err(NotHandled::Unwanted));
        let payload = Bytes::copy_from_slice(payload);
        let reason = DeadLetterReason::Unwanted;
        self.subscriptions().bury(payload, link.peer(), reason);
    }

    fn answer(&self, link: &Arc<Link>, payload: Vec<u8>) {
        let target = Target::Peer(link.peer());
        let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.into());
        if let Err(refusal) = self.router().reply(link, &mut entry) {
            tracing::debug!(?refusal, peer = %link.peer(), "a refusal was not sent");
        }
    }

    /// Refuses the messages of a service that is withdrawn, which no handler has in hand.
    pub(super) fn refuse_all(&self, chunks: Vec<Chunk>, reason: NotHandled) {
        for chunk in chunks {
            let link = Arc::clone(chunk.link());
            let refusal = AskRefusal {
                reason,
                retry_after: Duration::ZERO,
            };
            chunk.for_each(|_, id, payload| {
                if let Some(message) = ServiceMessage::read(payload) {
                    self.refuse(&link, &message, id, refusal, payload);
                }
            });
        }
    }
}

fn refused(reason: NotHandled, retry_after: Duration) -> Intake {
    Intake::Refuse(AskRefusal {
        reason,
        retry_after,
    })
}

fn add(
    portions: &mut SmallVec<[Portion; 2]>,
    handler: Arc<Subscription>,
    ordinal: usize,
    bytes: usize,
) {
    let known = portions
        .iter_mut()
        .find(|portion| Arc::ptr_eq(&portion.handler, &handler));
    match known {
        Some(portion) => {
            portion.selection.insert(ordinal);
            portion.bytes += DATA_REQ_HEADER_BYTES + bytes;
        }
        None => {
            let mut selection = MessageSet::default();
            selection.insert(ordinal);
            portions.push(Portion {
                handler,
                selection,
                bytes: DATA_REQ_HEADER_BYTES + bytes,
            });
        }
    }
}
