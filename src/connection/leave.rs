//! A leave to read, and the way of what was read into the inboxes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::metadata_filter::take_metadata;
use crate::core::SocketCore;
use crate::inbox::{Chunk, ReadAheadPart, read_fairness};
use crate::link::Link;
use crate::subscription::{PushMode, Subscription, SubscriptionList};
use crate::wire::{self, MessageHead, Walk};

/// Bytes that keeping a chunk takes beside its messages.
const CHUNK_BYTES: usize = 256;

/// A leave to read: where the messages go.
#[derive(Debug)]
pub(super) enum Leave {
    /// Room is reserved in all of these inboxes.
    Reserved(SubscriptionList),
    /// Past full inboxes, for what is behind the messages.
    Ahead(ReadAheadPart),
    /// Nobody gets them any more.
    Discarding,
}

impl Leave {
    /// What was read goes where the leave says, if anything was; a reservation of `want` bytes that is not used up is given back.
    #[inline]
    pub(super) fn hand_on(self, core: &SocketCore, want: usize, chunk: Option<Chunk>) {
        let subscriptions = &core.inbound.subscriptions;
        match (self, chunk) {
            (Self::Reserved(list), None) => unreserve(list.iter(), want),
            (Self::Reserved(list), Some(chunk)) => {
                read_fairness::note_read(chunk.cost());
                subscriptions.deliver(&list, chunk, PushMode::Reserved(want));
            }
            (Self::Ahead(_) | Self::Discarding, None) => {}
            (Self::Ahead(mut part), Some(chunk)) => {
                part.shrink_to(chunk.cost() + CHUNK_BYTES);
                let chunk = chunk.read_ahead(part);
                subscriptions.deliver(&subscriptions.load_list(), chunk, PushMode::Over);
            }
            (Self::Discarding, Some(chunk)) => subscriptions.lose(chunk),
        }
    }
}

/// Takes the messages that want an acknowledgement out of whole frames, and leaves them to their sender. Yields the other frames and
/// the number of their messages.
#[cold]
pub(super) fn leave_requests(core: &SocketCore, link: &Arc<Link>, frames: &[u8]) -> (Bytes, usize) {
    let [mut kept, mut left] = [(); 2].map(|()| BytesMut::new());
    let (mut messages, mut requests, mut at) = (0, 0, 0);
    while let Ok(Walk::Frame(frame)) = wire::walk(&frames[at..], u32::MAX) {
        let range = at..at + frame.len();
        at = range.end;
        match MessageHead::of(frame.envelope) {
            Some(MessageHead::DataReq(_)) => {
                requests += 1;
                left.put_slice(&frames[range]);
            }
            head => {
                messages += usize::from(head.is_some());
                kept.put_slice(&frames[range]);
            }
        }
    }
    let cost = left.len();
    let chunk = Chunk::new(Arc::clone(link), left.freeze(), requests, cost);
    core.inbound.subscriptions.lose(chunk);
    (kept.freeze(), messages)
}

/// Gives back room that was reserved.
pub(super) fn unreserve<'a>(list: impl IntoIterator<Item = &'a Arc<Subscription>>, want: usize) {
    for subscription in list {
        subscription.unreserve(want);
    }
}

/// Takes metadata, answers, asks about the socket itself, and messages to services out of what was read, before any inbox.
/// `None` if nothing is left.
#[inline]
pub(super) fn take_out(
    core: &SocketCore,
    link: &Arc<Link>,
    bytes: Bytes,
    messages: usize,
) -> Option<Chunk> {
    let cost = bytes.len();
    let mut chunk = match core.config.read_metadata {
        false => Chunk::new(Arc::clone(link), bytes, messages, cost),
        true => take_metadata(core, link, bytes, messages)?,
    };
    if core.inbound.asks.are_active() {
        chunk = core.inbound.asks.intercept(chunk)?;
        if core.config.introspection.is_some() {
            chunk = core.introspect(chunk)?;
        }
    }
    match core.services.offers.are_any() {
        true => core.services.intercept(chunk),
        false => Some(chunk),
    }
}

/// Acts on frames about services, once the messages in front of them are handed over.
#[cold]
pub(super) fn handle_about_services(core: &SocketCore, link: &Arc<Link>, envelopes: &[Box<[u8]>]) {
    let misfits = core.services.handle_frames(link, envelopes);
    core.counters.note_skipped(misfits, 0);
}
