//! The thread that has the store.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::{Addition, Listing, Shared, WhenDone, Work};
use super::letter::Letter;
use super::letter_ids;
use super::letter_index::LetterIndex;
use super::record::{Record, key_of, place_of};
use super::store::{Change, OutboxStore, Table};
use super::window::WindowEntry;
use crate::clock;
use crate::error::StoreError;

/// How soon after a failure the store is tried again, if no message asks for it before.
const RETRY: Duration = Duration::from_secs(1);

/// What is stored to see whether the store works again has this key, and at most so many bytes.
const PROBE_KEY: &[u8] = b"probe";
const LARGEST_PROBE: usize = 1024 * 1024;

/// The longest time between two looks at the age of dead letters.
const LETTER_SWEEP: Duration = Duration::from_secs(60);

/// Attempts at the last commit of a socket that closes.
const LAST_ATTEMPTS: usize = 3;

pub(super) struct Writer {
    store: Box<dyn OutboxStore>,
    pub(super) shared: Arc<Shared>,
    /// The dead letters of the store, if it is to keep any.
    pub(super) letters: Option<LetterIndex>,
    /// What was to be committed and is not, without what failed for good.
    pub(super) left: Work,
    /// True if the store has to be opened again first.
    broken: bool,
    /// The bytes of the largest commit that failed since one as large succeeded: a full disk has room for less.
    unproven: usize,
    /// Places of messages whose senders were told that they are not stored, and that may be in the store all the same.
    doubtful: Vec<u64>,
}

impl Writer {
    /// Starts the thread, of a store with these dead letters.
    pub(super) fn start(
        store: Box<dyn OutboxStore>,
        shared: Arc<Shared>,
        letters: Option<LetterIndex>,
    ) -> Result<(), StoreError> {
        let writer = Self {
            store,
            shared,
            letters,
            left: Work::default(),
            broken: false,
            unproven: 0,
            doubtful: Vec::new(),
        };
        writer.note_letters(0, 0);
        let thread = std::thread::Builder::new().name("aiomsg-outbox".to_owned());
        thread
            .spawn(move || writer.run())
            .map(drop)
            .map_err(StoreError::new)
    }

    fn run(mut self) {
        let mut retry = self.letters_due();
        loop {
            let goes_on = self.shared.next(retry, &mut self.left);
            let is_retry = retry.is_some_and(|due| due <= clock::machine());
            self.work();
            if is_retry && goes_on && self.unproven > 0 && self.left.is_empty() && !self.broken {
                self.probe();
            }
            let is_done = self.left.is_empty()
                && self.left.page.is_none()
                && !self.broken
                && self.unproven == 0;
            retry = match is_done {
                true => self.letters_due(),
                false => Some(clock::machine() + RETRY),
            };
            if !goes_on {
                break;
            }
        }
        for _ in 1..LAST_ATTEMPTS {
            self.work();
        }
        if !self.left.is_empty() || !self.doubtful.is_empty() {
            let unstored = self.left.additions.len();
            let kept = self.left.removals.len() + self.doubtful.len();
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
        let requests = std::mem::take(&mut work.requests);
        let page = work.page.take();
        let unkept = self.fit_letters(&mut work.letters);
        // They make room, and have come to their end whether they can be removed now or later.
        for &id in &work.letter_removals {
            self.forget_letter(id);
        }
        let discarded = self.letters_to_discard(&work.letters);
        if work.is_empty() && discarded.is_empty() && !self.broken {
            self.note_letters(unkept, 0);
            self.answer(listings);
            self.handle_requests(requests);
            if let Some(page) = page {
                self.read_page(page);
            }
            return;
        }
        let reopened = self.reopen(&mut work);
        let is_tried = reopened.is_ok();
        match reopened.and_then(|()| self.commit(&work, &discarded)) {
            Ok(()) => {
                self.note_commit();
                self.take_over_letters(&work, &discarded);
                self.note_letters(unkept + discarded.len() as u64, 0);
                self.answer(listings);
                self.handle_requests(requests);
                for addition in work.additions {
                    if let Some(when_done) = addition.when_done {
                        tell(when_done, Ok(()));
                    }
                }
                for when_done in work.window.into_iter().filter_map(|it| it.when_done) {
                    // As with messages: a panic ends nothing for the others.
                    let _ = catch_unwind(AssertUnwindSafe(when_done));
                }
                // Behind what was told: whoever was, may have put something aside for it.
                if let Some(page) = page {
                    self.read_page(page);
                }
            }
            Err(error) => {
                self.shared.note_failure(&error);
                for listing in listings {
                    // Whoever asked may have lost interest.
                    let _ = listing.found.send(Err(error.clone()));
                }
                for request in requests {
                    request.fail(error.clone());
                }
                self.note_letters(unkept, 0);
                self.handle_failure(work, &error, is_tried);
                self.left.page = page;
            }
        }
    }

    /// Tells who asked which messages are stored.
    fn answer(&mut self, listings: Vec<Listing>) {
        for Listing { limit, found } in listings {
            let mut records = Vec::new();
            let read = self.on_store(|store| {
                store.read(Table::Messages, &[], &mut |key, value| {
                    if records.len() >= limit {
                        return ControlFlow::Break(());
                    }
                    let place = place_of(key);
                    records.extend(place.and_then(|place| Record::decode(place, value).ok()));
                    ControlFlow::Continue(())
                })
            });
            // Whoever asked may have lost interest.
            let _ = found.send(read.map(|()| records));
        }
    }

    /// Those that wait are told. Where a commit was tried, it is not known whether their messages are in the store: they are looked for, and
    /// taken out of it, when it is open again.
    fn handle_failure(&mut self, work: Work, error: &StoreError, is_tried: bool) {
        let waits = |addition: &Addition| addition.when_done.is_some();
        let (failed, others): (Vec<_>, Vec<_>) = work.additions.into_iter().partition(waits);
        self.shared.give_up(&failed);
        self.left.additions = others;
        self.left.removals = work.removals;
        self.left.letters = work.letters;
        self.left.letter_removals = work.letter_removals;
        self.left.letters_again = work.letters_again;
        self.left.window = work.window;
        if is_tried {
            let places = failed.iter().map(|addition| addition.place);
            self.doubtful.extend(places);
        }
        for when_done in failed.into_iter().filter_map(|addition| addition.when_done) {
            tell(when_done, Err(error.clone()));
        }
    }

    fn commit(&mut self, work: &Work, discarded: &[u64]) -> Result<(), StoreError> {
        let additions = work.additions.iter();
        let additions: Vec<_> = additions
            .map(|addition| {
                (
                    key_of(addition.place),
                    addition.record.encode(addition.place),
                )
            })
            .collect();
        let removals: Vec<_> = work.removals.iter().map(|place| key_of(*place)).collect();
        let next = self.letters.as_ref().map_or(0, LetterIndex::next_id);
        let letters = (next..).zip(&work.letters);
        let letters: Vec<_> = letters
            .map(|(id, letter)| (key_of(id), letter.encode(id)))
            .collect();
        let next = key_of(next + letters.len() as u64);
        let again = work.letters_again.iter();
        let again: Vec<_> = again
            .map(|(id, letter)| (key_of(*id), letter.encode(*id)))
            .collect();
        let gone = work.letter_removals.iter().chain(discarded);
        let gone: Vec<_> = gone.map(|id| key_of(*id)).collect();
        let window: Vec<_> = work.window.iter().flat_map(WindowEntry::all_of).collect();
        let changes = puts(Table::Messages, &additions)
            .chain(removes(Table::Messages, &removals))
            .chain(puts(Table::Letters, &again))
            .chain(puts(Table::Letters, &letters))
            .chain((!letters.is_empty()).then(|| letter_ids::continue_from(&next)))
            .chain(removes(Table::Letters, &gone))
            .chain(window.iter().map(WindowEntry::as_change));
        self.commit_changes(&changes.collect::<Vec<_>>())
    }

    /// Opens the store again after an error. What it has of messages that their senders were told not to be in it is to go.
    fn reopen(&mut self, work: &mut Work) -> Result<(), StoreError> {
        if !self.broken {
            return Ok(());
        }
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.sort_unstable();
        let mut found = Vec::new();
        let result = self.on_store(|store| {
            store.reopen()?;
            let Some(&first) = doubtful.first() else {
                return Ok(());
            };
            store.read(Table::Messages, &key_of(first), &mut |key, _| {
                let place = place_of(key).filter(|place| doubtful.binary_search(place).is_ok());
                found.extend(place);
                ControlFlow::Continue(())
            })
        });
        match &result {
            Ok(()) => work.removals.append(&mut found),
            Err(_) => self.doubtful = doubtful,
        }
        self.broken = result.is_err();
        result
    }

    /// Makes changes in the store.
    pub(super) fn commit_changes(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let result = self.on_store(|store| store.commit(changes));
        self.shared.count_commits(u64::from(result.is_ok()));
        let bytes = changes.iter().map(Change::bytes).sum();
        match result {
            Ok(()) if bytes >= self.unproven.min(LARGEST_PROBE) => self.unproven = 0,
            Ok(()) => {}
            Err(_) => self.unproven = self.unproven.max(bytes).max(1),
        }
        result
    }

    /// Stores as much as what failed, and removes it again: it is not said that the store works until it does.
    fn probe(&mut self) {
        let (table, key) = (Table::Meta, PROBE_KEY);
        let value = vec![0; self.unproven.min(LARGEST_PROBE)];
        let put = Change::Put {
            table,
            key,
            value: &value,
        };
        let stored = self.commit_changes(&[put]);
        let removed = stored.and_then(|()| self.commit_changes(&[Change::Remove { table, key }]));
        match removed {
            Ok(()) => self.note_commit(),
            // If it was stored, the next probe removes it.
            Err(error) => self.shared.note_failure(&error),
        }
    }

    /// Everything is committed. That is not enough after a failure, if it was less than what failed.
    fn note_commit(&self) {
        if self.unproven == 0 {
            self.shared.note_commit();
        }
    }

    /// True if the store has to be opened again first.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Does something with the store, whose panic is an error. After an error it is opened again first.
    pub(super) fn on_store<T>(
        &mut self,
        work: impl FnOnce(&mut dyn OutboxStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = &mut *self.store;
        let result = catch_unwind(AssertUnwindSafe(|| work(store)));
        let result = result.unwrap_or_else(|_| Err(StoreError::new("the store panicked")));
        // It may do nothing more after an error.
        self.broken |= result.is_err();
        result
    }

    /// Drops what there is no room for at all; how many that is.
    fn fit_letters(&self, letters: &mut Vec<Letter>) -> u64 {
        match &self.letters {
            Some(index) => index.fit(letters) as u64,
            None => 0,
        }
    }

    fn letters_to_discard(&self, new: &[Letter]) -> Vec<u64> {
        let index = self.letters.as_ref();
        index.map_or_else(Vec::new, |index| index.to_discard(new, clock::wall()))
    }

    /// When the oldest letter is too old.
    fn letters_due(&self) -> Option<Instant> {
        let end = self.letters.as_ref()?.next_end(clock::wall())?;
        // A clock that was set back is looked at again.
        clock::machine().checked_add(end.min(LETTER_SWEEP))
    }

    /// A letter is to be in the store, whatever a commit that failed has made of it.
    pub(super) fn keep_again(&mut self, id: u64, letter: Letter) {
        self.left.letters_again.push((id, letter));
    }

    /// The letters of a commit are in the store, or gone.
    fn take_over_letters(&mut self, work: &Work, discarded: &[u64]) {
        if let Some(index) = &mut self.letters {
            for letter in &work.letters {
                index.insert(index.next_id(), letter.cost(), letter.buried);
            }
            discarded.iter().for_each(|id| index.remove(*id));
        }
    }
}

/// Keys and values that a table is to have.
pub(super) fn puts(
    table: Table,
    entries: &[([u8; 8], Vec<u8>)],
) -> impl Iterator<Item = Change<'_>> {
    let pairs = entries.iter();
    pairs.map(move |(key, value)| Change::Put { table, key, value })
}

/// Keys that a table is not to have.
pub(super) fn removes(table: Table, keys: &[[u8; 8]]) -> impl Iterator<Item = Change<'_>> {
    keys.iter().map(move |key| Change::Remove { table, key })
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
