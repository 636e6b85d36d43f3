//! The tail of what waits comes into memory, page by page.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::journal::{Journal, PageTaker, Paged, Shared, State, Stored};
use super::record::{Record, key_of, place_of};
use super::store::Table;
use super::tail::{Page, Residence, weight};
use super::writer::Writer;
use crate::sync::Ordering;

impl Journal {
    /// From now on, and only once, somebody takes what comes into memory.
    pub(crate) fn take_pages(&self, taker: PageTaker) {
        // There is one socket.
        let _ = self.shared.page_taker.set(taker);
        self.shared.ask_for_page(false);
    }

    /// True if messages by the send mode wait that are not in memory.
    #[inline]
    pub(crate) fn has_tail(&self) -> bool {
        self.shared.has_tail.load(Ordering::Acquire)
    }

    /// Nothing by the send mode waits in memory: what waits in the store is to come.
    pub(crate) fn page_in(&self) {
        self.shared.ask_for_page(true);
    }
}

impl Shared {
    fn ask_for_page(&self, has_none: bool) {
        let mut state = self.state.lock();
        let asks = state.tail.ask(has_none);
        state.awaited |= asks;
        drop(state);
        if asks {
            self.work_or_end.notify_one();
        }
    }

    pub(super) fn note_tail(&self, residence: Residence) {
        if residence == Residence::Tail {
            self.has_tail.store(true, Ordering::Release);
        }
    }

    /// No message waits in the store alone any more, if that is so.
    pub(super) fn note_end_of_tail(&self, state: &State) {
        if state.tail.is_done() {
            self.has_tail.store(false, Ordering::Release);
        }
    }

    /// A message of a page, with its place in memory; `None` if it has come to its end.
    fn paged(self: &Arc<Self>, place: u64, record: &Record) -> Option<Stored> {
        let cost = record.cost();
        let is_there = self.state.lock().tail.page_in(place, cost);
        is_there.then(|| Stored {
            place,
            cost,
            residence: Residence::Head,
            shared: Arc::clone(self),
            waits_until: None,
        })
    }

    fn lose(&self, place: u64) {
        let mut state = self.state.lock();
        state.damaged += 1;
        state.tail.lose(place);
    }

    fn end_page(&self, next: u64) {
        let mut state = self.state.lock();
        let (lost, cost) = state.tail.end_page(next);
        state.count_out(lost, cost);
        self.note_end_of_tail(&state);
        drop(state);
        if lost > 0 {
            self.room.notify();
        }
    }

    fn take_paged(&self, paged: Paged) {
        if let Some(take) = self.page_taker.get() {
            take(paged);
        }
    }
}

impl Stored {
    /// The turn of a message has come whose record cannot be read: it is in memory. False if it has come to its end.
    pub(crate) fn page_in(&mut self) -> bool {
        self.residence = Residence::Head;
        let mut state = self.shared.state.lock();
        state.tail.page_in(self.place, self.cost)
    }
}

impl Writer {
    /// Hands the next messages of the tail on. If it cannot read them, it will be asked again.
    pub(super) fn read_page(&mut self, page: Page) {
        if self.is_broken() {
            self.left.page = Some(page);
            return;
        }
        let (mut records, mut weighs, mut next) = (Vec::new(), 0, page.to);
        let read = self.on_store(|store| {
            let from = key_of(page.from);
            store.read(Table::Messages, &from, &mut |key, value| {
                let Some(place) = place_of(key) else {
                    return ControlFlow::Continue(());
                };
                if place >= page.to || weighs >= page.weight {
                    next = place.min(page.to);
                    return ControlFlow::Break(());
                }
                match Record::decode(place, value) {
                    // One by identity is in memory.
                    Ok(record) if record.peer.is_some() => {}
                    Ok(record) => {
                        weighs += weight(record.cost());
                        records.push((place, Some(record)));
                    }
                    Err(_) => records.push((place, None)),
                }
                ControlFlow::Continue(())
            })
        });
        if let Err(error) = read {
            tracing::debug!(%error, "messages that wait in an outbox cannot be read now");
            self.left.page = Some(page);
            return;
        }
        for (place, record) in records {
            if let Some(record) = record {
                if let Some(stored) = self.shared.paged(place, &record) {
                    self.shared.take_paged(Paged::Message(record, stored));
                }
                continue;
            }
            tracing::warn!(
                place,
                "a record of an outbox cannot be read: the next start sets it aside"
            );
            self.shared.lose(place);
            self.shared.take_paged(Paged::Unreadable(place));
        }
        self.shared.end_page(next);
        self.shared.ask_for_page(false);
        // All of it may have found room, while nobody was listened to who said so.
        self.shared.take_paged(Paged::End);
    }
}
