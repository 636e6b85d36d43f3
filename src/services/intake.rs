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

/// The refusal of what nobody handles any more.
const NO_SUCH_SERVICE: AskRefusal = AskRefusal {
    reason: NotHandled::NoSuchService,
    retry_after: Duration::ZERO,
};

/// A message to a service, in the chunk that it came in.
struct Incoming<'a> {
    ordinal: usize,
    id: Option<MessageId>,
    payload: &'a [u8],
    message: ServiceMessage<'a>,
}

/// The verdict on a message to a service.
enum Intake<'a> {
    Deliver(&'a Arc<ServiceQueue>, Arc<Subscription>),
    Refuse(AskRefusal),
    /// No handler of the service takes what is asked.
    Unwanted,
}

/// The messages of a chunk for one handler.
struct Portion {
    service: Arc<ServiceQueue>,
    handler: Arc<Subscription>,
    selection: MessageSet,
    /// Of their frames.
    bytes: usize,
}

/// Those for all of them.
type Portions = SmallVec<[Portion; 2]>;

impl Services {
    /// Takes messages to services out of a chunk: into the queue of their service, or they are refused. `None` if
    /// nothing is left.
    #[cold]
    pub(crate) fn intercept(&self, mut chunk: Chunk) -> Option<Chunk> {
        let now = clock::now();
        chunk.note_arrival(now);
        let link = Arc::clone(chunk.link());
        let mut rest = MessageSet::default();
        let mut portions = Portions::new();
        let mut service = None;
        chunk.for_each(|ordinal, id, payload| {
            let Some(incoming) = Incoming::read(ordinal, id, payload) else {
                rest.insert(ordinal);
                return;
            };
            let intake = self.judge(&link, &incoming, &mut service, now);
            self.settle(&link, &incoming, intake, &mut portions);
        });
        self.hand_out(&chunk, portions);
        chunk.keep(rest)
    }

    /// Hands a message that was a dead letter to the handler of its service. False if none takes it now.
    pub(crate) fn deliver_again(&self, mut chunk: Chunk) -> bool {
        let now = clock::now();
        chunk.note_arrival(now);
        let link = Arc::clone(chunk.link());
        let mut portions = Portions::new();
        let mut service = None;
        chunk.for_each(|ordinal, id, payload| {
            if let Some(incoming) = Incoming::read(ordinal, id, payload)
                && let Intake::Deliver(service, handler) =
                    self.judge(&link, &incoming, &mut service, now)
            {
                add(&mut portions, service, handler, &incoming);
            }
        });
        let taken = !portions.is_empty();
        self.hand_out(&chunk, portions);
        taken
    }

    fn hand_out(&self, chunk: &Chunk, portions: Portions) {
        for portion in portions {
            // A part of a chunk that keeps much more than itself is copied, so that what waits is what was counted.
            let part = match 2 * portion.bytes < chunk.cost() {
                true => chunk.copy_of(&portion.selection),
                false => chunk.select(portion.selection),
            };
            if let Err(late) = self.subscriptions().hand_over(&portion.handler, part) {
                // Its handler has ended since it was chosen.
                self.hand_on(&portion.service, vec![late], false);
            }
        }
    }

    /// Messages that were accepted and whose handler has ended go to another one of the service. Those that none takes are turned
    /// away, and refused where the service has no handler any more. Those that `were_accepted` had been in an inbox.
    #[cold]
    pub(super) fn hand_on(
        &self,
        service: &Arc<ServiceQueue>,
        waiting: Vec<Chunk>,
        were_accepted: bool,
    ) {
        for chunk in waiting {
            let link = Arc::clone(chunk.link());
            let are_acknowledged = were_accepted && link.acknowledges_receipt();
            let (first, again) = (chunk.ordinal(), chunk.bookmark().was_delivered());
            let mut portions = Portions::new();
            chunk.for_each(|ordinal, id, payload| {
                let Some(incoming) = Incoming::read(ordinal, id, payload) else {
                    return;
                };
                let intake = choose(service, &link, &incoming);
                // Only the message that the chunk begins with may have been taken before.
                let was_taken = again && ordinal == first;
                if !matches!(intake, Intake::Deliver(..)) && !was_taken {
                    service.meter().handle_taken(payload.len());
                    service.meter().handle_finished(clock::now());
                }
                let is_tell = incoming.message.envelope.kind != AskKind::ServiceAsk;
                match intake {
                    // Its sender has been told that it has arrived.
                    Intake::Refuse(_) | Intake::Unwanted if are_acknowledged && is_tell => {
                        self.bury_incoming(&link, &incoming, DeadLetterReason::Unwanted);
                    }
                    intake => self.settle(&link, &incoming, intake, &mut portions),
                }
            });
            self.hand_out(&chunk, portions);
        }
    }

    fn settle(
        &self,
        link: &Arc<Link>,
        incoming: &Incoming<'_>,
        intake: Intake<'_>,
        portions: &mut Portions,
    ) {
        match intake {
            Intake::Deliver(service, handler) => add(portions, service, handler, incoming),
            Intake::Refuse(refusal) => self.refuse(link, incoming, refusal),
            Intake::Unwanted => self.turn_away(link, incoming),
        }
    }

    /// `last` is the service of the message before.
    fn judge<'a>(
        &self,
        link: &Link,
        incoming: &Incoming<'_>,
        last: &'a mut Option<Arc<ServiceQueue>>,
        now: Instant,
    ) -> Intake<'a> {
        let message = &incoming.message;
        let is_last = last
            .as_ref()
            .is_some_and(|last| **last.name() == *message.address.name);
        if !is_last {
            *last = self.offers.find(message.address.name);
        }
        let Some(service) = last else {
            return Intake::Refuse(NO_SUCH_SERVICE);
        };
        let credentials = link.credentials();
        if credentials.is_some_and(|credentials| !credentials.may_ask(message.address.name)) {
            return refused(NotHandled::NotAllowed, Duration::ZERO);
        }
        if !is_last {
            // Whoever may not ask uses nothing that it would have to be told of.
            service.note_user(link.serial());
            if link.is_closed() {
                // Its end may have been looked after already.
                service.forget_user(link.serial());
            }
        }
        if self.offers.are_draining() && self.offers.was_seen_by(link.serial()) {
            return refused(NotHandled::Draining, Duration::ZERO);
        }
        if let Some(key) = message.address.key
            && self.holds_elsewhere(link, message.address.name, KeyHash(key))
        {
            service.note_split_key();
        }
        let intake = choose(service, link, incoming);
        if !matches!(intake, Intake::Deliver(..)) {
            return intake;
        }
        let patience = message.envelope.patience_millis;
        let remaining = (patience > 0).then(|| Duration::from_millis(patience.into()));
        let bytes = incoming.payload.len();
        match service.meter().handle_arrival(now, bytes, remaining) {
            ServiceAdmission::Accept => intake,
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
    fn refuse(&self, link: &Arc<Link>, incoming: &Incoming<'_>, refusal: AskRefusal) {
        let envelope = &incoming.message.envelope;
        if link.is_redelivery() {
            // It comes from nobody who would send it again: it is a letter anew.
            self.bury_incoming(link, incoming, DeadLetterReason::Unwanted);
            link.finish_unread(incoming.id.as_slice(), Err(refusal.reason));
        } else if envelope.kind == AskKind::ServiceAsk {
            self.note_refused();
            self.answer(link, refusal.write(envelope.id));
            link.finish_unread(incoming.id.as_slice(), Ok(()));
        } else if let Some(id) = incoming.id {
            self.note_refused();
            link.turn_down(id, refusal.reason);
        } else {
            let reason = match refusal.reason {
                NotHandled::Busy => {
                    self.note_refused();
                    DeadLetterReason::Overflow
                }
                _ => DeadLetterReason::Unwanted,
            };
            self.bury_incoming(link, incoming, reason);
        }
    }

    /// No handler of the service takes what is asked.
    fn turn_away(&self, link: &Arc<Link>, incoming: &Incoming<'_>) {
        let envelope = &incoming.message.envelope;
        if envelope.kind == AskKind::ServiceAsk && !link.is_redelivery() {
            self.note_refused();
            let text = b"no handler of the service takes the request";
            let failure = AskEnvelope::new(AskKind::Failure, envelope.id);
            self.answer(link, failure.write(text));
            link.finish_unread(incoming.id.as_slice(), Ok(()));
            return;
        }
        self.bury_incoming(link, incoming, DeadLetterReason::Unwanted);
        link.finish_unread(incoming.id.as_slice(), Err(NotHandled::Unwanted));
    }

    fn bury_incoming(&self, link: &Link, incoming: &Incoming<'_>, reason: DeadLetterReason) {
        let payload = Bytes::copy_from_slice(incoming.payload);
        self.subscriptions().bury(payload, link.peer(), reason);
    }

    /// Sends an answer that no handler gives.
    pub(crate) fn answer(&self, link: &Arc<Link>, payload: Vec<u8>) {
        let target = Target::Peer(link.peer());
        let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.into());
        if let Err(refusal) = self.router().reply(link, &mut entry) {
            tracing::debug!(?refusal, peer = %link.peer(), "an answer was not sent");
        }
    }
}

impl<'a> Incoming<'a> {
    /// `None` if a payload is no message to a service.
    fn read(ordinal: usize, id: Option<MessageId>, payload: &'a [u8]) -> Option<Self> {
        let message = ServiceMessage::read(payload)?;
        Some(Self {
            ordinal,
            id,
            payload,
            message,
        })
    }
}

/// The handler of a message to a service that was found.
fn choose<'a>(service: &'a Arc<ServiceQueue>, link: &Link, incoming: &Incoming<'_>) -> Intake<'a> {
    match service.handler_of(link.peer(), incoming.message.body) {
        Some(handler) => Intake::Deliver(service, handler),
        None if service.has_handlers() => Intake::Unwanted,
        // The last of them has ended meanwhile.
        None => Intake::Refuse(NO_SUCH_SERVICE),
    }
}

fn refused(reason: NotHandled, retry_after: Duration) -> Intake<'static> {
    Intake::Refuse(AskRefusal {
        reason,
        retry_after,
    })
}

fn add(
    portions: &mut Portions,
    service: &Arc<ServiceQueue>,
    handler: Arc<Subscription>,
    incoming: &Incoming<'_>,
) {
    let bytes = DATA_REQ_HEADER_BYTES + incoming.payload.len();
    let known = portions
        .iter_mut()
        .find(|portion| Arc::ptr_eq(&portion.handler, &handler));
    match known {
        Some(portion) => {
            portion.selection.insert(incoming.ordinal);
            portion.bytes += bytes;
        }
        None => {
            let mut selection = MessageSet::default();
            selection.insert(incoming.ordinal);
            portions.push(Portion {
                service: Arc::clone(service),
                handler,
                selection,
                bytes,
            });
        }
    }
}
