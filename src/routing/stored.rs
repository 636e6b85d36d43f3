//! Messages that outlive the process: into the store before they are sent, and from there at the next start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::dedupe::DedupeWindows;
use super::message_store::MessageStore;
use super::router::Router;
use super::set_aside::SetAside;
use crate::clock;
use crate::error::{ReceiptError, StoreError};
use crate::event::SocketEvent;
use crate::limits::{DeliveryGuarantee, Overflow};
use crate::link::{Bound, Courtesy, Entry, Target, take};
use crate::outbox::{
    Durability, JournalFigures, JournalRefusal, OpenedOutbox, Paged, PendingMessage, Record,
    STORE_CLOSES_WITHIN, Stored, WhenDone,
};
use crate::sync::{Ordering, WaitQueue};

/// The end of a message's way into the store, for whoever waits: the message and the error come back if there is one.
pub(crate) type Commit = oneshot::Receiver<Result<(), Box<(Entry, StoreError)>>>;

/// A message that the store takes.
#[derive(Debug)]
pub(crate) enum Storing {
    /// It is accepted when it is committed.
    Waits(Commit),
    /// It is accepted.
    Accepted,
}

/// Why the store does not take a message.
#[derive(Debug)]
pub(crate) enum StoreRefusal {
    Full,
    Closed,
    Failing(StoreError),
}

impl From<JournalRefusal> for StoreRefusal {
    fn from(refusal: JournalRefusal) -> Self {
        match refusal {
            JournalRefusal::Full => Self::Full,
            JournalRefusal::Closed => Self::Closed,
            JournalRefusal::Failing(error) => Self::Failing(error),
        }
    }
}

impl Router {
    /// True if a message is to be stored before it is sent.
    #[inline]
    pub(crate) fn stores(&self, entry: &Entry) -> bool {
        entry.guarantee == DeliveryGuarantee::AtLeastOnce && self.store.is_some()
    }

    /// Where senders wait for room in the store, and the policy by which they do.
    pub(crate) fn store_room(&self) -> Option<(&WaitQueue, Overflow)> {
        let store = self.store.as_ref()?;
        Some((store.journal.room(), store.settings.overflow))
    }

    /// Takes a message into the store, from where it is sent. A refusal leaves it as it was.
    #[cold]
    pub(crate) fn store_message(
        self: &Arc<Self>,
        entry: &mut Entry,
        can_wait: bool,
    ) -> Result<Storing, StoreRefusal> {
        let Some(MessageStore {
            journal,
            settings,
            set_aside,
        }) = self.store.as_deref()
        else {
            return Err(StoreRefusal::Closed);
        };
        if !self.lifecycle.is_open() {
            return Err(StoreRefusal::Closed);
        }
        let chosen = entry.extras.as_ref().and_then(|extras| extras.durability);
        let awaited = can_wait && chosen.unwrap_or(settings.durability) == Durability::Commit;
        let (now, wall) = (clock::now(), clock::wall());
        let peer = entry.target.peer();
        let waits_until = peer.and_then(|_| now.checked_add(settings.absent));
        let mut accepted = None;
        let mut commit = None;
        entry.detach();
        let payload = entry.payload.len() + entry.envelope().len();
        journal.add(
            payload,
            peer.is_none(),
            waits_until,
            awaited,
            |stored, id| {
                let mut entry = take(entry);
                let given = entry.extras.as_ref().and_then(|extras| extras.id);
                let id = given.unwrap_or(id);
                let record = Record {
                    id,
                    peer,
                    accepted: wall,
                    expires: entry.expires().map(|expires| {
                        wall.saturating_add(millis(expires.saturating_duration_since(now)))
                    }),
                    envelope: entry.envelope().clone(),
                    payload: entry.payload.clone(),
                };
                let extras = entry.extras.get_or_insert_default();
                extras.id = Some(id);
                extras.stored = Some(stored);
                if !awaited {
                    // It is here before anybody can ask whether it is.
                    match entry.is_in_tail() {
                        true => set_aside.lock().put(entry),
                        false => accepted = Some(entry),
                    }
                    return (record, None);
                }
                let (sender, receiver) = oneshot::channel();
                commit = Some(receiver);
                let router = Arc::downgrade(self);
                let when_done: WhenDone = Box::new(move |result| {
                    let outcome = match result {
                        Ok(()) => {
                            if let Some(router) = router.upgrade() {
                                router.accept_stored(entry);
                            }
                            Ok(())
                        }
                        Err(error) => {
                            forget_store(&mut entry);
                            Err(Box::new((entry, error)))
                        }
                    };
                    // Whoever waited may have lost interest.
                    let _ = sender.send(outcome);
                });
                (record, Some(when_done))
            },
        )?;
        match accepted {
            Some(entry) => self.accept_stored(entry),
            None if !awaited => self.look_at_tail(),
            None => {}
        }
        Ok(commit.map_or(Storing::Accepted, Storing::Waits))
    }

    /// A message of the store goes its way. The bound of the store is the one that holds for it.
    fn accept_stored(&self, mut entry: Entry) {
        if self.lifecycle.is_closed() {
            leave_in_store(entry);
            return;
        }
        if entry.is_in_tail() {
            if let Some(store) = &self.store {
                store.set_aside.lock().put(entry);
            }
            self.look_at_tail();
            return;
        }
        if let Target::Peer(peer) = entry.target {
            // Above the bound of the link, if need be, and held whoever the peer is: it is not refused.
            if self.to_peer(peer, &mut entry, Bound::Unlimited).is_err() {
                self.table().outbox.hold(peer, entry);
            }
            return;
        }
        if self.round_robin(&mut entry, Courtesy::None).is_ok() {
            return;
        }
        let mut table = self.table();
        if self.lifecycle.is_closed() {
            drop(table);
            leave_in_store(entry);
            return;
        }
        table.withdraw_closed();
        table.outbox.push_back(entry);
        self.settle(&mut table);
    }

    /// A dead letter is a message of the store once more, and goes its way.
    pub(crate) fn accept_redriven(&self, record: Record, stored: Stored) {
        let (now, wall) = (clock::now(), clock::wall());
        self.accept_stored(restored(record, stored, now, wall));
    }

    /// The turn of a message has come that waited in the store alone.
    fn accept_paged(&self, record: Record, stored: Stored) {
        let Some(store) = &self.store else { return };
        let place = stored.place();
        let known = store.set_aside.lock().take(place);
        let entry = match known {
            Some(mut entry) => {
                entry.extras.get_or_insert_default().stored = Some(stored);
                entry
            }
            // Its time is over, and it is about to leave the store.
            None if record.expires.is_some() => return,
            None => restored(record, stored, clock::now(), clock::wall()),
        };
        self.accept_stored(entry);
    }

    /// The turn of a message has come that cannot be read. If it is in memory, that is enough.
    fn accept_unreadable(&self, place: u64) {
        let known = (self.store.as_ref()).and_then(|store| store.set_aside.lock().take(place));
        if let Some(mut entry) = known
            && let Some(extras) = &mut entry.extras
            && extras.stored.as_mut().is_some_and(Stored::page_in)
        {
            self.accept_stored(entry);
        }
    }

    /// From now on what waits in the store alone comes into memory when there is room.
    pub(crate) fn take_pages(self: &Arc<Self>) {
        if let Some(store) = &self.store {
            let router = Arc::downgrade(self);
            store.journal.take_pages(Box::new(move |paged| {
                let Some(router) = router.upgrade() else {
                    return;
                };
                match paged {
                    Paged::Message(record, stored) => router.accept_paged(record, stored),
                    Paged::Unreadable(place) => router.accept_unreadable(place),
                    Paged::End => router.look_at_tail(),
                }
            }));
        }
    }

    /// If nothing waits in memory, what waits in the store alone is to come.
    pub(super) fn page_in(&self) {
        if let Some(store) = &self.store
            && store.journal.has_tail()
        {
            store.journal.page_in();
        }
    }

    /// Something has come into the tail, or out of it. If nothing waits in memory, its turn has come. The table is locked for that, so that
    /// whoever hands on the last that waits in memory finds the tail, or is found.
    fn look_at_tail(&self) {
        let Some(store) = &self.store else { return };
        if self.lifecycle.is_closed() {
            let left: Vec<_> = store.set_aside.lock().take_all().collect();
            left.into_iter().for_each(leave_in_store);
            return;
        }
        let waits = self.table().outbox.has_mode_messages();
        if !waits {
            self.page_in();
        }
    }

    /// True if messages wait in the store alone.
    pub(super) fn has_tail(&self) -> bool {
        (self.store.as_ref()).is_some_and(|store| store.journal.has_tail())
    }

    /// Takes the messages that wait in the store, and are no longer worth sending.
    pub(super) fn take_expired_in_tail(&self, now: Instant) -> Vec<Entry> {
        let store = self.store.as_ref();
        store.map_or_else(Vec::new, |store| store.set_aside.lock().take_expired(now))
    }

    /// The messages of an earlier start go first.
    pub(crate) fn restore(&mut self, opened: OpenedOutbox) {
        let OpenedOutbox {
            journal,
            settings,
            records,
            window,
            ..
        } = opened;
        let (now, wall) = (clock::now(), clock::wall());
        if let (Some(dedupe), Some((store, known))) = (self.receiving.dedupe_mut(), window) {
            dedupe.keep_in(store, known, wall);
        }
        let mut set_aside = SetAside::default();
        let mut table = self.table();
        for (place, record) in records {
            let waits_until = record.peer.and_then(|_| {
                let until = record.accepted.saturating_add(millis(settings.absent));
                now.checked_add(left_of(record.accepted, until, wall))
            });
            let stored = journal.restored(place, &record, waits_until);
            let entry = restored(record, stored, now, wall);
            match entry.target {
                Target::Peer(peer) => table.outbox.hold(peer, entry),
                Target::Mode if entry.is_in_tail() => set_aside.put(entry),
                Target::Mode | Target::Copy | Target::Service => table.outbox.push_back(entry),
            }
        }
        let backlog = table.outbox.has_mode_messages();
        self.waiting.backlog.store(backlog, Ordering::Release);
        drop(table);
        let events = Arc::clone(&self.events);
        journal.watch_failures(Box::new(move |failure| {
            events.announce(&match failure {
                Some(error) => SocketEvent::OutboxFailing { error },
                None => SocketEvent::OutboxRecovered,
            });
        }));
        self.store = Some(Box::new(MessageStore {
            journal,
            settings,
            set_aside: Mutex::new(set_aside),
        }));
    }

    /// The messages of the store, in their order, at most so many.
    pub(crate) async fn stored_messages(
        &self,
        limit: usize,
    ) -> Result<Vec<PendingMessage>, StoreError> {
        let Some(store) = &self.store else {
            return Ok(Vec::new());
        };
        let records = store.journal.list(limit).await?;
        Ok(records.into_iter().map(PendingMessage::from).collect())
    }

    /// True if the socket has a store.
    pub(crate) fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// True if the dedupe window of the socket is kept in the store.
    pub(crate) fn stores_window(&self) -> bool {
        (self.receiving.dedupe()).is_some_and(DedupeWindows::are_stored)
    }

    /// Messages that the dedupe window remembers.
    pub(crate) fn dedupe_messages(&self) -> usize {
        (self.receiving.dedupe()).map_or(0, DedupeWindows::remembered)
    }

    /// Figures of the store, if there is one.
    pub(crate) fn store_figures(&self) -> Option<JournalFigures> {
        self.store.as_ref().map(|store| store.journal.figures())
    }

    /// The socket has ended: the store is closed once it has what it was given.
    pub(crate) fn close_store(&self) {
        if let Some(store) = &self.store {
            store.journal.close();
        }
    }

    /// How long [`store_closed`](Self::store_closed) may take.
    pub(crate) fn store_closes_within(&self) -> Duration {
        match &self.store {
            Some(_) => STORE_CLOSES_WITHIN,
            None => Duration::ZERO,
        }
    }

    /// Waits until the store is closed, so that another socket may have it.
    pub(crate) async fn store_closed(&self) {
        if let Some(store) = &self.store {
            store.journal.closed().await;
        }
    }
}

/// A message that was found in the store.
fn restored(record: Record, stored: Stored, now: Instant, wall: u64) -> Entry {
    let target = record.peer.map_or(Target::Mode, Target::Peer);
    let mut entry = Entry::new(target, DeliveryGuarantee::AtLeastOnce, record.payload);
    let extras = entry.extras.get_or_insert_default();
    extras.id = Some(record.id);
    extras.envelope = record.envelope;
    extras.stored = Some(stored);
    extras.expires = record
        .expires
        .and_then(|expires| now.checked_add(left_of(record.accepted, expires, wall)));
    entry
}

/// The time that is left until `end`, and never more than there was at the beginning, whatever happened to the clock.
fn left_of(begin: u64, end: u64, wall: u64) -> Duration {
    let all = end.saturating_sub(begin);
    Duration::from_millis(end.saturating_sub(wall).min(all))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The message goes back to its sender as it came.
fn forget_store(entry: &mut Entry) {
    if let Some(extras) = &mut entry.extras {
        extras.id = None;
        extras.stored = None;
    }
}

/// The socket is closed: the message waits for the next start, and its receipt ends.
fn leave_in_store(entry: Entry) {
    if let Some(receipt) = entry.extras.and_then(|extras| extras.receipt) {
        receipt.resolve(Err(ReceiptError::Closed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_start_gives_a_message_more_time_than_was_asked_for() {
        let left = |wall| left_of(1000, 1600, wall).as_millis();
        assert_eq!([1000, 1500, 1600, 9999].map(left), [600, 100, 0, 0]);
        // The clock was set back since.
        assert_eq!([999, 0].map(left), [600, 600]);
    }
}
