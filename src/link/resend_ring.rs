//! The ring of messages that a link has transmitted and whose acknowledgement is due.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::entry::{Entry, Extras, Target};
use super::message_ids::IdSequence;
use super::uptime::Uptime;
use crate::detach::detach;
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;

/// Most places of the ring for each message in it: acknowledged ones stand between others that are not.
const MAX_GAPS: usize = 8;

/// Places that the ring may have whatever is in it.
const LEAST_SPAN: usize = 256;

/// No entry is resent less often than this, however often it was before.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Slot {
    id: MessageId,
    target: Target,
    payload: Bytes,
    extras: Option<Box<Extras>>,
    sent: Uptime,
    interval: Duration,
    /// Transmissions on this connection, the one that is queued included.
    transmissions: u32,
    acknowledged: bool,
}

impl Slot {
    /// Transmissions on this connection and earlier ones, but for the first.
    fn resends(&self) -> u32 {
        let earlier = self
            .extras
            .as_ref()
            .map_or(0, |extras| extras.transmissions);
        earlier + self.transmissions - 1
    }

    /// It has waited for so long that it may wait for longer: it keeps nothing of the reads that it may have come with.
    fn detach(&mut self) {
        detach(&mut self.payload);
        if let Some(extras) = &mut self.extras {
            detach(&mut extras.envelope);
        }
    }

    /// The envelope of its metadata; empty if it has none.
    fn envelope(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.extras
            .as_ref()
            .map_or(&NONE, |extras| &extras.envelope)
    }

    /// The message, without what it carries along.
    fn entry(&self) -> Entry {
        Entry::new(
            self.target,
            DeliveryGuarantee::AtLeastOnce,
            self.payload.clone(),
        )
    }
}

/// Unacknowledged messages of one link, in the order of their transmission. One whose acknowledgement takes so long that it
/// would keep the places of many that came later goes behind them.
///
/// Ids that this ring gave out lead to their slot by arithmetic. A message that was transmitted before on another link keeps the id it has and is found by hash.
#[derive(Debug)]
pub(super) struct ResendRing {
    ids: IdSequence,
    /// Running number of the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    foreign: HashMap<MessageId, u64>,
    open: usize,
    bytes: usize,
    last_ack: Uptime,
    resend_after: Duration,
    /// Messages that were acknowledged and resent since the link was opened.
    pub(super) acknowledged: u64,
    pub(super) resent: u64,
}

/// A message that its connection leaves without an acknowledgement.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    pub(crate) entry: Entry,
    /// Transmissions on that connection.
    pub(crate) transmissions: u32,
    /// The last of them.
    pub(crate) sent: Uptime,
}

impl Unacknowledged {
    /// One that waited, and was not sent.
    pub(super) fn unsent(entry: Entry) -> Self {
        Self {
            entry,
            transmissions: 0,
            sent: Uptime::default(),
        }
    }
}

/// Messages of one link that a sweep finds due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// To be written again on the same link.
    pub(super) resend: Vec<(MessageId, Entry)>,
    /// Expired, or above the resend limit: no longer in the ring.
    pub(super) given_up: Vec<(Entry, GivenUp)>,
}

/// Why a message is not resent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    Expired,
    ResendLimit,
}

impl ResendRing {
    /// True if there is a receipt for one of the messages.
    pub(super) fn is_awaited(&self) -> bool {
        let extras = self.slots.iter().filter_map(|slot| slot.extras.as_ref());
        extras.into_iter().any(|extras| extras.receipt.is_some())
    }

    pub(super) fn new(resend_after: Duration) -> Self {
        Self::with_ids(IdSequence::random(), resend_after)
    }

    fn with_ids(ids: IdSequence, resend_after: Duration) -> Self {
        Self {
            ids,
            base: 0,
            slots: VecDeque::new(),
            foreign: HashMap::new(),
            open: 0,
            bytes: 0,
            last_ack: Duration::ZERO,
            resend_after,
            acknowledged: 0,
            resent: 0,
        }
    }

    /// Sets the time that messages wait for their acknowledgement from now on. Those that were resent already go
    /// on at their pace.
    pub(super) fn set_resend_after(&mut self, resend_after: Duration) {
        self.resend_after = resend_after;
        for slot in &mut self.slots {
            if slot.resends() == 0 {
                slot.interval = resend_after;
            }
        }
    }

    /// Messages whose acknowledgement is due.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Their payload bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Remembers a message that is being transmitted and says which id it goes by.
    pub(super) fn insert(&mut self, entry: &mut Entry, now: Uptime) -> MessageId {
        let number = self.base + self.slots.len() as u64;
        let given = entry.extras.as_ref().and_then(|extras| extras.id);
        // Senders may give ids: one that is open here cannot stand for a second message.
        let before = given.filter(|id| self.index_of(*id).is_none());
        if let Some(id) = before {
            self.foreign.insert(id, number);
        }
        let id = before.unwrap_or_else(|| self.ids.id_of(number));
        self.open += 1;
        self.bytes += entry.payload.len() + entry.envelope().len();
        self.slots.push_back(Slot {
            id,
            target: entry.target,
            payload: entry.payload.clone(),
            extras: entry.extras.take(),
            sent: now,
            interval: self.resend_after,
            transmissions: 1,
            acknowledged: false,
        });
        if self.slots.len() > LEAST_SPAN.max(self.open.saturating_mul(MAX_GAPS)) {
            self.let_pass();
        }
        id
    }

    /// Moves the oldest message behind the newest one. It keeps its id, and is found by hash from now on.
    #[cold]
    fn let_pass(&mut self) {
        let Some(oldest) = self.slots.pop_front() else {
            return;
        };
        self.base += 1;
        let number = self.base + self.slots.len() as u64;
        self.foreign.insert(oldest.id, number);
        self.slots.push_back(oldest);
        self.drop_acknowledged();
    }

    /// The running number of a message. One that was refused and came back to this very link has a later number than
    /// its id says.
    #[inline]
    fn number_of(&self, id: MessageId) -> Option<u64> {
        let foreign = self.foreign.get(&id).copied();
        foreign.or_else(|| self.ids.number_of(id))
    }

    /// The place of a message whose acknowledgement is due.
    #[inline]
    fn index_of(&self, id: MessageId) -> Option<usize> {
        let number = self.number_of(id)?;
        let index = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let slot = self.slots.get(index)?;
        (slot.id == id && !slot.acknowledged).then_some(index)
    }

    /// True if the outbox has a message in its store whose acknowledgement is due here.
    pub(super) fn is_stored(&self, id: MessageId) -> bool {
        let slot = self.index_of(id).and_then(|index| self.slots.get(index));
        let extras = slot.and_then(|slot| slot.extras.as_ref());
        extras.is_some_and(|extras| extras.stored.is_some())
    }

    /// The peer acknowledged `id` on this link. `None` for an id that is not open here, which
    /// WIRE §6.6 ignores; otherwise what the message carried along.
    pub(super) fn acknowledge(
        &mut self,
        id: MessageId,
        now: Uptime,
    ) -> Option<Option<Box<Extras>>> {
        let index = self.index_of(id)?;
        self.last_ack = now;
        Some(self.close(index))
    }

    /// Takes out a message that was never transmitted on this link. `None` for one that is being
    /// resent, which stays, and for one that is not open here.
    pub(super) fn forget(&mut self, id: MessageId) -> Option<Entry> {
        let index = self.index_of(id)?;
        let slot = self.slots.get(index)?;
        if slot.resends() > 0 {
            return None;
        }
        let mut entry = slot.entry();
        entry.extras = self.close(index);
        Some(entry)
    }

    /// Takes out a message to a service that its peer has not handled, with its id: it goes elsewhere. `None` for
    /// any other, which stays.
    pub(super) fn withdraw(&mut self, id: MessageId) -> Option<Entry> {
        let index = self.index_of(id)?;
        let slot = self.slots.get(index)?;
        if slot.target != Target::Service {
            return None;
        }
        let mut entry = slot.entry();
        entry.extras = self.close(index);
        entry.extras.get_or_insert_default().id = Some(id);
        Some(entry)
    }

    /// Ends a slot, and drops those at the front that have ended.
    fn close(&mut self, index: usize) -> Option<Box<Extras>> {
        let slot = &mut self.slots[index];
        slot.acknowledged = true;
        self.open -= 1;
        self.bytes -= slot.payload.len() + slot.envelope().len();
        slot.payload = Bytes::new();
        let extras = slot.extras.take();
        if !self.foreign.is_empty() {
            self.foreign.remove(&self.slots[index].id);
        }
        self.drop_acknowledged();
        extras
    }

    /// Gives up the places at the front whose messages have ended.
    #[inline]
    fn drop_acknowledged(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.acknowledged) {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// Looks for messages to resend: older than their interval, and either nothing
    /// was acknowledged on this link for as long, or a later message was.
    pub(super) fn handle_sweep(
        &mut self,
        now: Uptime,
        instant: std::time::Instant,
        resend_limit: Option<u32>,
        may_resend: bool,
    ) -> Due {
        let mut due = Due::default();
        let acknowledged = self.slots.iter().rposition(|slot| slot.acknowledged);
        let last_acknowledged = acknowledged.map(|index| self.base + index as u64);
        let mut index = 0;
        while index < self.slots.len() {
            let slot = &self.slots[index];
            if slot.acknowledged {
                index += 1;
                continue;
            }
            let skipped = last_acknowledged.is_some_and(|last| self.base + (index as u64) < last);
            let expired = slot
                .extras
                .as_ref()
                .and_then(|extras| extras.expires)
                .is_some_and(|expires| expires <= instant);
            let old = now.saturating_sub(slot.sent) > slot.interval;
            let silent = now.saturating_sub(self.last_ack) > slot.interval;
            if !expired && (!may_resend || !old || !(silent || skipped)) {
                index += 1;
                continue;
            }
            if expired || resend_limit.is_some_and(|limit| slot.resends() >= limit) {
                let why = if expired {
                    GivenUp::Expired
                } else {
                    GivenUp::ResendLimit
                };
                let (before, mut entry) = (self.base, slot.entry());
                entry.extras = self.close(index);
                due.given_up.push((entry, why));
                // Closing may have dropped slots at the front.
                index = (index + 1).saturating_sub((self.base - before) as usize);
                continue;
            }
            let slot = &mut self.slots[index];
            slot.sent = now;
            let longest = LONGEST_INTERVAL.max(self.resend_after);
            slot.interval = slot.interval.saturating_mul(2).min(longest);
            slot.transmissions += 1;
            slot.detach();
            let mut entry = slot.entry();
            let envelope = slot.envelope();
            if !envelope.is_empty() {
                entry.extras.get_or_insert_default().envelope = envelope.clone();
            }
            due.resend.push((slot.id, entry));
            index += 1;
        }
        due
    }

    /// Everything that is still open, in order, as when the connection has died. Each keeps its
    /// id.
    pub(super) fn take_all(&mut self, peer: Identity, out: &mut VecDeque<Unacknowledged>) {
        self.base += self.slots.len() as u64;
        self.open = 0;
        self.bytes = 0;
        self.foreign.clear();
        for slot in self.slots.drain(..).filter(|slot| !slot.acknowledged) {
            let target = match slot.target {
                Target::Mode => Target::Mode,
                Target::Service => Target::Service,
                Target::Peer(_) | Target::Copy => Target::Peer(peer),
            };
            let mut entry = Entry::new(target, DeliveryGuarantee::AtLeastOnce, slot.payload);
            entry.extras = slot.extras;
            entry.extras.get_or_insert_default().id = Some(slot.id);
            out.push_back(Unacknowledged {
                entry,
                transmissions: slot.transmissions,
                sent: slot.sent,
            });
        }
    }
}

#[cfg(test)]
#[path = "resend_ring_tests.rs"]
mod tests;
