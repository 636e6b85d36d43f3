//! From a connection into the inboxes: who wants which messages of a chunk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::{Delivery, Key, List, Subscription, Subscriptions};
use crate::event::DeadLetterReason;
use crate::id::MessageId;
use crate::inbox::{Chunk, MessageSet};
use crate::routing::SocketCore;

/// Whether room was reserved in the inboxes that a chunk goes to.
#[derive(Debug, Clone, Copy)]
enum PushMode {
    Reserved(usize),
    /// It was accepted before, and goes in whatever the room.
    Over,
}

/// What one subscription gets of a chunk.
struct Portion<'a> {
    subscription: &'a Arc<Subscription>,
    selection: MessageSet,
}

impl Subscriptions {
    /// One chunk to everyone who wants something of it, under a reservation of so many bytes in
    /// each inbox of `list`.
    #[inline]
    pub(crate) fn deliver(&self, list: &List, chunk: Chunk, reserved: usize) {
        let on_receipt = chunk.link().acknowledges_receipt();
        let receipt = on_receipt.then(|| (Arc::clone(chunk.link()), chunk.ids()));
        let taken = match &list[..] {
            [only] if only.plain => {
                let taken = only.inbox.push(chunk, reserved).is_ok();
                if only.has_left() {
                    self.adopt_from(only);
                }
                taken
            }
            _ => self.distribute(list, chunk, PushMode::Reserved(reserved)),
        };
        if let Some((link, ids)) = receipt
            && taken
        {
            link.handle_receipt(&ids);
        }
    }

    /// What came into, or came back to, a subscription that has left goes to those who are there.
    #[cold]
    pub(super) fn adopt_from(&self, left: &Subscription) {
        if left.spec.key == Key::Unclaimed {
            self.offer_unclaimed();
            return;
        }
        let delayed = std::mem::take(&mut *left.delayed.lock());
        let delayed = delayed.into_iter().map(|(_, chunk)| chunk);
        for chunk in left.inbox.drain().into_iter().chain(delayed) {
            // What an observer had not looked at is nobody's.
            if left.spec.delivery != Delivery::Observing {
                self.adopt(chunk);
            }
        }
    }

    /// Messages that nobody else has go to those who want them now; of the others, this portion is
    /// finished, or their acknowledgement would wait for ever.
    fn adopt(&self, chunk: Chunk) {
        let mut alone = MessageSet::default();
        let mut acks = Vec::new();
        let mut rest = chunk.clone();
        while rest.messages() > 0 {
            let (mark, ordinal) = (rest.bookmark(), rest.ordinal());
            let Some(position) = rest.next() else { break };
            if chunk.is_exclusive(ordinal) {
                alone.insert(ordinal);
            } else if let Some(id) = chunk.id(position)
                && chunk.finish(mark)
            {
                acks.push(id);
            }
        }
        if !acks.is_empty() {
            chunk.link().handle_finished(&acks);
        }
        if alone.count() > 0 {
            let list = self.list.load_full();
            self.distribute(&list, chunk.select(alone).owned(), PushMode::Over);
        }
    }

    /// What waits in the unclaimed, while there are subscriptions, goes to those who want it.
    #[cold]
    pub(super) fn offer_unclaimed(&self) {
        let waiting = self.unclaimed.inbox.drain();
        if !waiting.is_empty() {
            let list = self.list.load_full();
            for chunk in waiting {
                self.distribute(&list, chunk, PushMode::Over);
            }
        }
    }

    /// Works out who wants what, and hands it over. False if the socket is closing.
    fn distribute(&self, list: &List, chunk: Chunk, mode: PushMode) -> bool {
        if let [unclaimed] = &list[..]
            && Arc::ptr_eq(unclaimed, &self.unclaimed)
        {
            let taken = unclaimed.push(chunk, mode);
            if unclaimed.has_left() {
                self.offer_unclaimed();
            }
            return taken;
        }
        let mut portions: SmallVec<[Portion<'_>; 4]> = list
            .iter()
            .map(|subscription| Portion {
                subscription,
                selection: MessageSet::default(),
            })
            .collect();
        let first = chunk.ordinal();
        let mut open: Vec<u32> = vec![0; first];
        let mut unwanted = MessageSet::default();
        let mut seen: Vec<MessageId> = Vec::new();
        let peer = chunk.link().peer();
        let mut settling = None;
        let serves = list.iter().any(|subscription| subscription.spec.serves);
        chunk.for_each(|ordinal, id, payload| {
            let (mut gating, mut watched) = (0, false);
            let served = serves
                && portions.iter().any(|portion| {
                    let spec = &portion.subscription.spec;
                    spec.serves && spec.filter.takes(peer, payload)
                });
            for portion in &mut portions {
                let spec = &portion.subscription.spec;
                let served_elsewhere =
                    served && !spec.serves && spec.delivery != Delivery::Observing;
                if !served_elsewhere && spec.filter.takes(peer, payload) {
                    portion.selection.insert(ordinal);
                    match portion.subscription.spec.delivery {
                        Delivery::Gating | Delivery::Conflating => gating += 1,
                        Delivery::Observing => watched = true,
                    }
                }
            }
            if gating == 0 {
                let wait = *settling.get_or_insert_with(|| self.is_settling());
                if wait || !watched {
                    unwanted.insert(ordinal);
                    for portion in &mut portions {
                        portion.selection.remove(ordinal);
                    }
                } else {
                    // Those who only look have it, and nobody else will.
                    seen.extend(id);
                }
            }
            open.resize(ordinal, 0);
            open.push(gating);
        });
        if !seen.is_empty() {
            chunk.link().handle_finished(&seen);
        }
        if unwanted.count() > 0 {
            self.set_aside(&chunk.select(unwanted), settling == Some(true));
        }
        let mut chunk = chunk;
        if open.iter().any(|gating| *gating > 1) {
            chunk.share(open);
        }
        let mut taken = true;
        for portion in portions {
            taken &= portion.hand_over(self, &chunk, mode);
        }
        taken
    }

    /// Nobody wants these messages. While subscriptions are still coming they wait; otherwise they
    /// are dead letters, and acknowledged, or their senders would resend them for ever.
    #[cold]
    fn set_aside(&self, chunk: &Chunk, settling: bool) {
        if settling && self.unclaimed.inbox.try_push(chunk.clone()).is_ok() {
            return;
        }
        let link = chunk.link();
        let mut acks = Vec::new();
        let mut rest = chunk.clone();
        while let Some(position) = rest.next() {
            if let Some(core) = SocketCore::of(link) {
                let reason = DeadLetterReason::Unwanted;
                core.bury_payload(chunk.payload(position), Some(link.peer()), reason);
            }
            acks.extend(chunk.id(position));
        }
        if !acks.is_empty() {
            link.handle_finished(&acks);
        }
    }
}

impl Portion<'_> {
    fn hand_over(self, all: &Subscriptions, chunk: &Chunk, mode: PushMode) -> bool {
        let subscription = self.subscription;
        if self.selection.count() == 0 {
            if let PushMode::Reserved(bytes) = mode {
                subscription.unreserve(bytes);
            }
            return true;
        }
        let chunk = chunk.select(self.selection);
        let taken = match subscription.spec.delivery {
            Delivery::Gating => subscription.push(chunk, mode),
            Delivery::Observing => subscription.observe(chunk.observed()),
            Delivery::Conflating => subscription.supersede(chunk),
        };
        if subscription.has_left() {
            all.adopt_from(subscription);
        }
        taken
    }
}

impl Subscription {
    /// False if the socket is closing.
    fn push(&self, chunk: Chunk, mode: PushMode) -> bool {
        match mode {
            PushMode::Reserved(bytes) => self.inbox.push(chunk, bytes).is_ok(),
            PushMode::Over => self.inbox.push_over(chunk),
        }
    }

    /// What there is no room for is skipped.
    fn observe(&self, chunk: Chunk) -> bool {
        if let Err(chunk) = self.inbox.try_push(chunk) {
            self.note_skipped(chunk.messages());
        }
        true
    }

    /// Only the last message is still of interest; the others are finished.
    fn supersede(&self, chunk: Chunk) -> bool {
        for old in self.inbox.drain() {
            self.note_skipped(old.messages());
            finish_down_to(old, 0);
        }
        self.note_skipped(chunk.messages() - 1);
        self.inbox.push_over(finish_down_to(chunk, 1))
    }

    fn note_skipped(&self, messages: usize) {
        self.skipped.fetch_add(messages as u64, Ordering::Relaxed);
    }
}

/// Finishes all but the last `keep` messages of a chunk.
fn finish_down_to(mut chunk: Chunk, keep: usize) -> Chunk {
    let mut acks = Vec::new();
    while chunk.messages() > keep {
        let mark = chunk.bookmark();
        let Some(position) = chunk.next() else { break };
        if let Some(id) = chunk.id(position)
            && chunk.finish(mark)
        {
            acks.push(id);
        }
    }
    if !acks.is_empty() {
        chunk.link().handle_finished(&acks);
    }
    chunk
}
