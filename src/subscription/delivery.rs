//! A chunk in a consumer's hand, and what becomes of it however the hand opens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::failure::Failure;
use super::one_subscription::Subscription;
use super::settlement::Settlement;
use crate::error::DecodeError;
use crate::event::DeadLetterReason;
use crate::id::MessageId;
use crate::inbox::{Bookmark, Chunk, MessageSpan};
use crate::payload::Metadata;
use crate::wire::{NotHandled, Verdict};

/// Acknowledgements that are sent in one go at most.
const ACK_BATCH: usize = 256;

/// A chunk in a consumer's hand. However it is let go, by working through it, by yielding or by a
/// panic, what was not handled is back in the inbox, in order, before anybody else runs.
#[derive(Debug)]
pub(crate) struct ChunkLease<'a> {
    subscription: &'a Arc<Subscription>,
    chunk: Option<Chunk>,
    /// The message that a handler has at this moment.
    in_hand: Option<(Bookmark, MessageSpan)>,
    acks: Vec<MessageId>,
    /// Messages through with, whose room is not yet released.
    handled: usize,
}

impl<'a> ChunkLease<'a> {
    pub(crate) fn new(
        subscription: &'a Arc<Subscription>,
        chunk: Chunk,
        acks: Vec<MessageId>,
    ) -> Self {
        Self {
            subscription,
            chunk: Some(chunk),
            in_hand: None,
            acks,
            handled: 0,
        }
    }

    pub(crate) fn chunk(&self) -> &Chunk {
        self.chunk
            .as_ref()
            .expect("a lease holds its chunk until it is dropped")
    }

    /// Takes the next message in hand.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<MessageSpan> {
        let chunk = self.chunk.as_mut()?;
        let mark = chunk.bookmark();
        let span = chunk.next()?;
        self.in_hand = Some((mark, span));
        Some(span)
    }

    /// True if a handler has had the message in hand before.
    pub(crate) fn was_delivered(&self) -> bool {
        let in_hand = self.in_hand.as_ref();
        in_hand.is_some_and(|(mark, _)| mark.was_delivered())
    }

    /// The message in hand is handled, by the handler's decision.
    #[inline(always)]
    pub(crate) fn settle(&mut self, settlement: Settlement) {
        let Some((mark, span)) = self.in_hand.take() else {
            return;
        };
        match (settlement, &self.chunk) {
            (Settlement::Finished, _) if !span.wants_ack() => self.handled += 1,
            // The usual case: nobody else has it, and that it is finished is all there is to say.
            (Settlement::Finished, Some(chunk)) if chunk.is_unshared() => {
                self.handled += 1;
                if let Some(id) = chunk.id(span) {
                    self.acknowledge(id);
                }
            }
            _ => self.settle_for_good(settlement, mark, span),
        }
    }

    #[inline]
    fn acknowledge(&mut self, id: MessageId) {
        self.acks.push(id);
        if self.acks.len() >= ACK_BATCH {
            self.flush_acks();
        }
    }

    /// Acknowledges the message, or does what else its handler has decided.
    #[inline(never)]
    fn settle_for_good(&mut self, settlement: Settlement, mark: Bookmark, span: MessageSpan) {
        let chunk = self.chunk.as_mut().expect("held until dropped");
        let id = chunk.id(span);
        let verdict = match settlement {
            Settlement::Finished => Ok(()),
            Settlement::Nack(delay) if id.is_some() => {
                put_off(self.subscription, chunk.take_out(mark, span), delay);
                return;
            }
            // One that is not acknowledged cannot be delivered again either.
            Settlement::Reject | Settlement::Nack(_) => {
                bury(
                    self.subscription,
                    &chunk.only(mark),
                    DeadLetterReason::Rejected,
                );
                Err(NotHandled::Rejected)
            }
        };
        self.end_message(mark, id, verdict);
    }

    /// The subscription is through with a message: once every one is, it is acknowledged.
    fn end_message(&mut self, mark: Bookmark, id: Option<MessageId>, verdict: Verdict) {
        self.handled += 1;
        let Some(id) = id else { return };
        match self.chunk().finish(mark, verdict) {
            Some(Ok(())) => self.acknowledge(id),
            Some(Err(reason)) => self.chunk().link().refuse(&[id], reason),
            None => {}
        }
    }

    /// The message in hand is not of the type that its handler handles.
    #[cold]
    pub(crate) fn undecodable(&mut self, error: &DecodeError) {
        if let Some((mark, span)) = self.in_hand.take() {
            bury_undecodable(self.subscription, &self.chunk().only(mark), error);
            let id = self.chunk().id(span);
            self.end_message(mark, id, Err(NotHandled::Undecodable));
        }
    }

    /// The handler of the message in hand returned a failure. What it had decided before counts.
    #[cold]
    pub(crate) fn fail(&mut self, settlement: Settlement, failure: &Failure) {
        if settlement != Settlement::Finished {
            self.settle(settlement);
        } else if let (Some((mark, span)), Some(chunk)) = (self.in_hand.take(), self.chunk.as_mut())
        {
            let id = chunk.id(span);
            if !fail(self.subscription, chunk, mark, id, Some(failure)) {
                self.handled += 1;
            }
        }
    }

    /// The message in hand is with an asynchronous handler: it leaves the lease.
    pub(crate) fn detach(&mut self) -> Option<Detached> {
        let (mark, span) = self.in_hand.take()?;
        let id = self.chunk().id(span);
        let chunk = self.chunk().only(mark);
        // Going back to it is to bring back this message, and none of those behind it.
        let mark = chunk.bookmark();
        Some(Detached { chunk, mark, id })
    }

    #[inline(never)]
    fn flush_acks(&mut self) {
        if !self.acks.is_empty() {
            self.chunk().link().handle_finished(&self.acks);
            self.acks.clear();
        }
    }

    /// Ends the lease and yields the buffer for the next one.
    pub(crate) fn end(mut self) -> Vec<MessageId> {
        self.flush_acks();
        std::mem::take(&mut self.acks)
    }
}

impl Drop for ChunkLease<'_> {
    fn drop(&mut self) {
        self.flush_acks();
        let Some(mut chunk) = self.chunk.take() else {
            return;
        };
        if let Some((mark, span)) = self.in_hand.take() {
            // The handler panicked.
            let id = chunk.id(span);
            if !fail(self.subscription, &mut chunk, mark, id, None) {
                self.handled += 1;
            }
        }
        let inbox = &self.subscription.inbox;
        if chunk.messages() == 0 {
            inbox.release(&chunk, self.handled, chunk.cost());
        } else {
            if self.handled > 0 {
                inbox.release(&chunk, self.handled, 0);
            }
            self.subscription.give_back(chunk);
        }
    }
}

/// A handler failed on the message at `mark`, the last that was taken from `chunk`. True if it is
/// to be delivered again, to which the chunk is rewound; otherwise it is a dead letter.
fn fail(
    subscription: &Subscription,
    chunk: &mut Chunk,
    mark: Bookmark,
    id: Option<MessageId>,
    failure: Option<&Failure>,
) -> bool {
    let attempts = subscription.context.max_attempts();
    if let Some(failure) = failure {
        let (peer, attempt) = (chunk.link().peer(), mark.attempts() + 1);
        tracing::debug!(%peer, attempt, %failure, "a handler failed");
    }
    if id.is_some() && mark.attempts() + 1 < attempts {
        chunk.rewind(mark);
        return true;
    }
    let detail = failure.map(ToString::to_string);
    bury_with(
        subscription,
        &chunk.only(mark),
        DeadLetterReason::Poison,
        detail,
    );
    answer(chunk, mark, id, Err(NotHandled::Poison));
    false
}

/// A subscription is through with the message at `mark`: once every one is, it is acknowledged.
fn answer(chunk: &Chunk, mark: Bookmark, id: Option<MessageId>, verdict: Verdict) {
    let Some(id) = id else { return };
    match chunk.finish(mark, verdict) {
        Some(Ok(())) => chunk.link().handle_finished(&[id]),
        Some(Err(reason)) => chunk.link().refuse(&[id], reason),
        None => {}
    }
}

/// Announces the message that a chunk begins with, which is not of the type that its handler handles.
fn bury_undecodable(subscription: &Subscription, chunk: &Chunk, error: &DecodeError) {
    let reason = DeadLetterReason::Undecodable;
    bury_with(subscription, chunk, reason, Some(error.to_string()));
}

/// Announces the message that a chunk begins with.
fn bury(subscription: &Subscription, chunk: &Chunk, reason: DeadLetterReason) {
    bury_with(subscription, chunk, reason, None);
}

fn bury_with(
    subscription: &Subscription,
    chunk: &Chunk,
    reason: DeadLetterReason,
    detail: Option<String>,
) {
    if let Some(span) = chunk.clone().next() {
        let (payload, peer) = (chunk.payload(span), chunk.link().peer());
        subscription.context.bury(payload, peer, reason, detail);
    }
}

/// Delivers a message again after `delay`. A handler that asks for time is never given up on.
fn put_off(subscription: &Arc<Subscription>, mut chunk: Chunk, delay: Duration) {
    chunk.note_put_off();
    // One that somebody had in hand counts again.
    subscription.inbox.charge(&mut chunk);
    if delay.is_zero() {
        subscription.give_back(chunk);
    } else {
        // It may wait for long, and is not to keep alive all that was read with it.
        subscription.delay(chunk.compact(), crate::clock::after(delay));
    }
}

/// A message that left its lease: an asynchronous handler has it, or a caller of `recv`.
#[derive(Debug)]
pub(crate) struct Detached {
    chunk: Chunk,
    mark: Bookmark,
    id: Option<MessageId>,
}

impl Detached {
    /// A message that `recv` took out of the inbox as a chunk of its own, its payload and its metadata.
    pub(crate) fn of_single(chunk: Chunk) -> Option<(Self, Bytes, Option<Arc<Metadata>>)> {
        let mark = chunk.bookmark();
        let span = chunk.clone().next()?;
        let (id, payload) = (chunk.id(span), chunk.payload(span));
        let metadata = chunk.metadata(span);
        Some((Self { chunk, mark, id }, payload, metadata))
    }

    pub(crate) fn wants_acknowledgement(&self) -> bool {
        self.id.is_some()
    }

    /// The id, of a message that wants an acknowledgement.
    pub(crate) fn id(&self) -> Option<MessageId> {
        self.id
    }

    pub(crate) fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// True if it was delivered before.
    pub(super) const fn is_again(&self) -> bool {
        self.mark.was_delivered()
    }

    /// The message is handled, by the handler's decision.
    pub(crate) fn settle(self, subscription: &Arc<Subscription>, settlement: Settlement) {
        match settlement {
            Settlement::Nack(delay) if self.id.is_some() => {
                put_off(subscription, self.chunk, delay);
            }
            // One that is not acknowledged cannot be delivered again either.
            Settlement::Reject | Settlement::Nack(_) => {
                bury(subscription, &self.chunk, DeadLetterReason::Rejected);
                self.end(subscription, Err(NotHandled::Rejected));
            }
            Settlement::Finished => self.end(subscription, Ok(())),
        }
    }

    fn end(self, subscription: &Subscription, verdict: Verdict) {
        answer(&self.chunk, self.mark, self.id, verdict);
        subscription
            .inbox
            .release(&self.chunk, 1, self.chunk.cost());
    }

    /// The message is not of the type that its handler handles.
    pub(crate) fn bury_undecodable(self, subscription: &Subscription, error: &DecodeError) {
        bury_undecodable(subscription, &self.chunk, error);
        self.end(subscription, Err(NotHandled::Undecodable));
    }

    /// Its handler failed, for the reason that it gave if it gave one, or was dropped.
    pub(crate) fn fail(mut self, subscription: &Arc<Subscription>, failure: Option<&Failure>) {
        if fail(subscription, &mut self.chunk, self.mark, self.id, failure) {
            subscription.give_back(self.chunk);
        } else {
            subscription
                .inbox
                .release(&self.chunk, 1, self.chunk.cost());
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::clock;
    use crate::config::Config;
    use crate::core::SocketCore;
    use crate::id::Identity;
    use crate::link::{Link, LinkLimits};
    use crate::subscription::{Key, PushMode, SubscriptionSpec};
    use crate::wire;

    const MESSAGES: usize = 10;

    /// A subscription, and in its inbox a chunk of messages that want an acknowledgement.
    fn subscribed(core: &SocketCore) -> (Arc<Subscription>, usize) {
        let subscriptions = &core.inbound.subscriptions;
        let subscription = subscriptions.open(SubscriptionSpec::all(Key::Recipient(1)));
        let mut bytes = Vec::new();
        for number in 0..MESSAGES {
            let id = MessageId::from_bytes([u8::try_from(number).unwrap(); 16]);
            bytes.extend_from_slice(&wire::data_req_header(id, 100));
            bytes.extend_from_slice(&[0; 100]);
        }
        let link = Link::without_socket(Identity::from_bytes([7; 16]), 1, LinkLimits::of(8, 1024));
        let cost = bytes.len();
        let chunk = Chunk::new(Arc::new(link), bytes.into(), MESSAGES, cost);
        subscriptions.deliver(&subscriptions.load_list(), chunk, PushMode::Over);
        (subscription, cost)
    }

    fn take(subscription: &Subscription) -> Chunk {
        let mut place = crate::sync::Place::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match subscription.inbox.poll_take(&mut cx, &mut place) {
            std::task::Poll::Ready(chunk) => chunk.unwrap(),
            std::task::Poll::Pending => panic!("there is nothing"),
        }
    }

    #[test]
    fn messages_that_are_put_off_take_their_room_until_they_are_handled() {
        let core = SocketCore::new(Config::new(), clock::now());
        let (subscription, cost) = subscribed(&core);
        let hour = Duration::from_secs(3_600);
        let mut lease = ChunkLease::new(&subscription, take(&subscription), Vec::new());
        for number in 0..MESSAGES {
            assert!(lease.next().is_some());
            lease.settle(match number % 2 {
                0 => Settlement::Nack(hour),
                _ => Settlement::Finished,
            });
        }
        lease.end();
        assert_eq!(subscription.inbox.load(), (MESSAGES / 2, cost / 2));

        subscription.handle_sweep(clock::now() + 2 * hour);
        for left in (0..MESSAGES / 2).rev() {
            let mut lease = ChunkLease::new(&subscription, take(&subscription), Vec::new());
            assert!(lease.next().is_some());
            assert!(lease.was_delivered());
            lease.settle(Settlement::Finished);
            lease.end();
            assert_eq!(subscription.inbox.load(), (left, left * cost / MESSAGES));
        }
    }

    #[test]
    fn messages_of_asynchronous_handlers_take_no_room_until_they_are_put_off() {
        let core = SocketCore::new(Config::new(), clock::now());
        let (subscription, cost) = subscribed(&core);
        let mut lease = ChunkLease::new(&subscription, take(&subscription), Vec::new());
        let mut detached = Vec::new();
        while lease.next().is_some() {
            detached.extend(lease.detach());
        }
        lease.end();
        let hour = Duration::from_secs(3_600);
        for number in 0..MESSAGES {
            assert_eq!(
                subscription.inbox.load(),
                (MESSAGES, number * cost / MESSAGES)
            );
            let message = detached.pop().unwrap();
            message.settle(&subscription, Settlement::Nack(hour));
        }
        subscription.handle_sweep(clock::now() + 2 * hour);
        for left in (0..MESSAGES).rev() {
            let mut lease = ChunkLease::new(&subscription, take(&subscription), Vec::new());
            assert!(lease.next().is_some());
            lease.settle(Settlement::Finished);
            lease.end();
            assert_eq!(subscription.inbox.load(), (left, left * cost / MESSAGES));
        }
    }
}
