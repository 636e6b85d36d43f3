//! The thread that has the store.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::{Addition, Listing, Shared, WhenDone, Work};
use super::record::{Record, key_of, place_of};
use super::store::{Change, OutboxStore, Table};
use crate::clock;
use crate::error::StoreError;

/// How soon after a failure the store is tried again, if no message asks for it before.
const RETRY: Duration = Duration::from_secs(1);

/// Attempts at the last commit of a socket that closes.
const LAST_ATTEMPTS: usize = 3;

pub(super) struct Writer {
    store: Box<dyn OutboxStore>,
    shared: Arc<Shared>,
    /// What was to be committed and is not, without what failed for good.
    left: Work,
    /// True if the store has to be opened again first.
    broken: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        store: Box<dyn OutboxStore>,
        shared: Arc<Shared>,
    ) -> Result<(), StoreError> {
        let writer = Self {
            store,
            shared,
            left: Work::default(),
            broken: false,
        };
        let thread = std::thread::Builder::new().name("aiomsg-outbox".to_owned());
        thread
            .spawn(move || writer.run())
            .map(drop)
            .map_err(StoreError::new)
    }

    fn run(mut self) {
        let mut retry: Option<Instant> = None;
        loop {
            let goes_on = self.shared.next(retry, &mut self.left);
            self.work();
            retry = (!self.left.is_empty()).then(|| clock::machine() + RETRY);
            if !goes_on {
                break;
            }
        }
        for _ in 1..LAST_ATTEMPTS {
            self.work();
        }
        if !self.left.is_empty() {
            let (unstored, kept) = (self.left.additions.len(), self.left.removals.len());
            tracing::warn!(
                unstored,
                kept,
                "an outbox was closed while it could not store: messages are lost, or will be sent once more"
            );
        }
        let Self { store, shared, .. } = self;
        // Whoever waits for the end may open it at once.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(store)));
        shared.note_end();
    }

    /// Commits what there is to commit.
    fn work(&mut self) {
        let mut work = std::mem::take(&mut self.left);
        cancel_out(&mut work);
        let listings = std::mem::take(&mut work.listings);
        if work.is_empty() {
            self.answer(listings);
            return;
        }
        match self.commit(&work) {
            Ok(()) => {
                self.shared.note_commit();
                self.answer(listings);
                for addition in work.additions {
                    if let Some(when_done) = addition.when_done {
                        tell(when_done, Ok(()));
                    }
                }
            }
            Err(error) => {
                self.shared.note_failure(&error);
                for listing in listings {
                    // Whoever asked may have lost interest.
                    let _ = listing.found.send(Err(error.clone()));
                }
                self.handle_failure(work, &error);
            }
        }
    }

    /// Tells who asked which messages are stored.
    fn answer(&mut self, listings: Vec<Listing>) {
        for Listing { limit, found } in listings {
            let mut records = Vec::new();
            let store = &mut self.store;
            let read = catch_unwind(AssertUnwindSafe(|| {
                store.read(Table::Messages, &mut |key, value| {
                    if records.len() >= limit {
                        return ControlFlow::Break(());
                    }
                    let place = place_of(key);
                    records.extend(place.and_then(|place| Record::decode(place, value).ok()));
                    ControlFlow::Continue(())
                })
            }));
            let read = read.unwrap_or_else(|_| Err(StoreError::new("the store panicked")));
            // Whoever asked may have lost interest.
            let _ = found.send(read.map(|()| records));
        }
    }

    /// Those that wait are told. It is not known whether their messages are in the store: they are taken out of it, when
    /// that is possible.
    fn handle_failure(&mut self, work: Work, error: &StoreError) {
        let waits = |addition: &Addition| addition.when_done.is_some();
        let (failed, others): (Vec<_>, Vec<_>) = work.additions.into_iter().partition(waits);
        self.shared.give_up(&failed);
        self.left.additions = others;
        self.left.removals = work.removals;
        self.left
            .removals
            .extend(failed.iter().map(|addition| addition.place));
        for when_done in failed.into_iter().filter_map(|addition| addition.when_done) {
            tell(when_done, Err(error.clone()));
        }
    }

    fn commit(&mut self, work: &Work) -> Result<(), StoreError> {
        let additions: Vec<_> = work
            .additions
            .iter()
            .map(|addition| key_of(addition.place))
            .collect();
        let removals: Vec<_> = work.removals.iter().map(|place| key_of(*place)).collect();
        let records = work.additions.iter();
        let records: Vec<_> = records
            .map(|addition| addition.record.encode(addition.place))
            .collect();
        let table = Table::Messages;
        let keyed = additions.iter().zip(&records);
        let puts = keyed.map(|(key, value)| Change::Put { table, key, value });
        let removes = removals.iter().map(|key| Change::Remove { table, key });
        let changes: Vec<Change<'_>> = puts.chain(removes).collect();
        let store = &mut self.store;
        let broken = self.broken;
        let result = catch_unwind(AssertUnwindSafe(|| {
            if broken {
                store.reopen()?;
            }
            store.commit(&changes)
        }));
        let result = result.unwrap_or_else(|_| Err(StoreError::new("the store panicked")));
        self.broken = result.is_err();
        result
    }
}

/// A panic of whoever is told ends nothing for the others.
fn tell(when_done: WhenDone, result: Result<(), StoreError>) {
    let _ = catch_unwind(AssertUnwindSafe(move || when_done(result)));
}

/// Messages that are acknowledged before they are stored need not be stored. They may be in the store all the same, after an
/// error: what is to be removed stays as it is.
fn cancel_out(work: &mut Work) {
    let first = work.additions.first().map(|addition| addition.place);
    if first.is_none() || work.removals.iter().max().copied() < first {
        return;
    }
    work.removals.sort_unstable();
    let removals = &work.removals;
    let is_needed = |addition: &Addition| {
        addition.when_done.is_some() || removals.binary_search(&addition.place).is_err()
    };
    work.additions.retain(is_needed);
}
