//! The journal over a store that fails on demand.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::journal::{Journal, JournalRefusal, Stored, WhenDone};
use super::letter_index::DeadLetterBounds;
use super::record::{Record, place_of};
use super::settings::Outbox;
use super::store::{Change, OutboxStore, Table};
use crate::error::StoreError;
use crate::id::MessageId;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Tables {
    tables: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Changes of messages of each commit that succeeded.
    commits: Vec<usize>,
    pub(super) reopened: usize,
    pub(super) fails: bool,
    panics: bool,
    /// Commits with more bytes fail.
    room: Option<usize>,
    /// True while commits stand still.
    pub(super) stands: bool,
    pub(super) standing: usize,
    /// Messages and letters after each commit.
    pub(super) counts: Vec<(usize, usize)>,
    /// Commits that were tried.
    pub(super) attempts: usize,
    /// True if the next commit is made, and says that it failed.
    pub(super) lies: bool,
    /// Commits that succeed before one fails.
    pub(super) fails_after: Option<usize>,
    /// True while nothing can be read, until it is opened again.
    unreadable: bool,
}

impl Tables {
    pub(super) fn count(&self, table: Table) -> usize {
        self.tables
            .keys()
            .filter(|(name, _)| *name == table)
            .count()
    }
}

/// A store that tests look into.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<(Mutex<Tables>, Condvar)>);

impl Memory {
    pub(super) fn set(&self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    pub(super) fn until(&self, holds: impl Fn(&Tables) -> bool) {
        let mut tables = self.0.0.lock();
        while !holds(&tables) {
            let timeout = self.0.1.wait_for(&mut tables, PATIENCE);
            assert!(!timeout.timed_out(), "waited too long");
        }
    }

    fn places(&self) -> Vec<u64> {
        let tables = self.0.0.lock();
        let keys = tables
            .tables
            .keys()
            .filter(|(table, _)| *table == Table::Messages);
        keys.map(|(_, key)| place_of(key).unwrap()).collect()
    }
}

impl OutboxStore for Memory {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut tables = self.0.0.lock();
        while tables.stands {
            tables.standing = changes.len();
            self.0.1.notify_all();
            self.0.1.wait(&mut tables);
        }
        tables.standing = 0;
        tables.attempts += 1;
        self.0.1.notify_all();
        assert!(!tables.panics, "on demand");
        let fails_now = tables.fails_after == Some(0);
        tables.fails_after = tables.fails_after.and_then(|left| left.checked_sub(1));
        let bytes: usize = changes.iter().map(Change::bytes).sum();
        let is_full = tables.room.is_some_and(|room| bytes > room);
        if tables.fails || fails_now || is_full {
            return Err(StoreError::new("the disk is full"));
        }
        for change in changes {
            match *change {
                Change::Put { table, key, value } => {
                    tables.tables.insert((table, key.to_vec()), value.to_vec());
                }
                Change::Remove { table, key } => {
                    tables.tables.remove(&(table, key.to_vec()));
                }
            }
        }
        tables.commits.push(changes.len());
        let counts = (tables.count(Table::Messages), tables.count(Table::Letters));
        tables.counts.push(counts);
        self.0.1.notify_all();
        match std::mem::take(&mut tables.lies) {
            true => Err(StoreError::new("the disk was slow")),
            false => Ok(()),
        }
    }

    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let tables = self.0.0.lock();
        if tables.unreadable {
            return Err(StoreError::new("the disk is gone"));
        }
        for ((name, key), value) in tables.tables.range((table, from.to_vec())..) {
            if *name != table {
                break;
            }
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.set(|tables| {
            tables.reopened += 1;
            tables.unreadable = false;
        });
        Ok(())
    }
}

fn open(memory: &Memory, messages: usize) -> Journal {
    open_with(memory, messages, None)
}

pub(super) fn open_with(
    memory: &Memory,
    messages: usize,
    bounds: Option<DeadLetterBounds>,
) -> Journal {
    let outbox = Outbox::with_store("memory", memory.clone()).capacity(messages, 1024 * 1024);
    let opened = outbox.open(None, bounds, false).unwrap();
    // The commit that made the store is none of the tests'.
    memory.set(|tables| tables.commits.clear());
    opened.journal
}

fn record(id: MessageId) -> Record {
    Record {
        id,
        peer: None,
        accepted: 0,
        expires: None,
        envelope: bytes::Bytes::new(),
        payload: "hello".into(),
    }
}

/// The message and the outcome, once it is known.
type Told = mpsc::Receiver<(Stored, Result<(), StoreError>)>;

/// A message for whose commit somebody waits.
fn add(journal: &Journal) -> Result<Told, JournalRefusal> {
    let (sender, told) = mpsc::channel();
    journal.add(5, true, None, true, move |stored, id| {
        let when_done: WhenDone = Box::new(move |result| sender.send((stored, result)).unwrap());
        (record(id), Some(when_done))
    })?;
    Ok(told)
}

/// A message for which nobody waits.
pub(super) fn add_unawaited(journal: &Journal) -> Result<Stored, JournalRefusal> {
    let mut message = None;
    journal.add(5, true, None, false, |stored, id| {
        message = Some(stored);
        (record(id), None)
    })?;
    Ok(message.expect("it was taken"))
}

fn outcome(told: &Told) -> (Stored, Result<(), StoreError>) {
    told.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn what_comes_while_a_commit_is_at_work_is_one_commit_afterwards() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    memory.set(|tables| tables.stands = true);
    let first = add(&journal).unwrap();
    memory.until(|tables| tables.standing == 1);
    let others: Vec<_> = (0..99).map(|_| add(&journal).unwrap()).collect();
    memory.set(|tables| tables.stands = false);
    for told in std::iter::once(&first).chain(&others) {
        outcome(told).1.unwrap();
    }
    memory.until(|tables| tables.commits == [1, 99]);
    assert_eq!(journal.figures().commits, 2);
    assert_eq!(memory.places(), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_is_removed_leaves_the_store_within_the_window() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let (stored, result) = outcome(&add(&journal).unwrap());
    result.unwrap();
    assert_eq!(memory.places(), [0]);
    stored.remove();
    assert_eq!(journal.figures().messages, 0);
    memory.until(|tables| tables.commits.len() == 2);
    assert!(memory.places().is_empty());
}

#[test]
fn what_nobody_waits_for_is_committed_too_and_need_not_be_if_it_is_removed_first() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let kept = add_unawaited(&journal).unwrap();
    add_unawaited(&journal).unwrap().remove();
    memory.until(|tables| !tables.commits.is_empty());
    assert_eq!(memory.places(), [0]);
    drop(kept);
    assert_eq!(
        memory.places(),
        [0],
        "whoever forgets a message has not removed it"
    );
}

#[test]
fn a_full_journal_takes_messages_again_when_others_are_removed() {
    let memory = Memory::default();
    let journal = open(&memory, 2);
    let messages: Vec<_> = (0..2).map(|_| outcome(&add(&journal).unwrap()).0).collect();
    assert!(matches!(add(&journal), Err(JournalRefusal::Full)));
    messages.into_iter().for_each(Stored::remove);
    outcome(&add(&journal).unwrap()).1.unwrap();
}

#[test]
fn when_the_store_fails_whoever_waits_is_told_and_later_messages_are_stored() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let kept = add_unawaited(&journal).unwrap();
    memory.until(|tables| tables.commits.len() == 1);
    memory.set(|tables| tables.fails = true);
    let (_, result) = outcome(&add(&journal).unwrap());
    assert_eq!(result.unwrap_err().to_string(), "the disk is full");
    assert!(journal.figures().failing);
    assert!(matches!(
        add_unawaited(&journal),
        Err(JournalRefusal::Failing(_))
    ));
    assert_eq!(
        journal.figures().messages,
        1,
        "the failed one takes no room"
    );
    kept.remove();
    memory.set(|tables| tables.fails = false);
    let (_, result) = outcome(&add(&journal).unwrap());
    result.unwrap();
    memory.until(|tables| tables.reopened > 0);
    assert!(!journal.figures().failing);
    assert_eq!(
        memory.places(),
        [2],
        "neither the removed one nor the one that failed"
    );
}

#[test]
fn what_could_not_be_stored_while_the_store_failed_costs_nothing_later_and_is_taken_out_if_it_is_there()
 {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    memory.set(|tables| tables.fails = true);
    for _ in 0..100 {
        outcome(&add(&journal).unwrap()).1.unwrap_err();
    }
    memory.set(|tables| {
        tables.fails = false;
        tables.lies = true;
    });
    // This commit is made, and nobody knows.
    outcome(&add(&journal).unwrap()).1.unwrap_err();
    outcome(&add(&journal).unwrap()).1.unwrap();
    assert_eq!(memory.places(), [101]);
    // One message, its end, and another message, in two commits or three.
    memory.set(|tables| assert_eq!(tables.commits.iter().sum::<usize>(), 3));
}

#[test]
fn a_store_that_fails_goes_on_by_itself_with_what_it_was_given_before() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    memory.set(|tables| tables.fails = true);
    let _kept = add_unawaited(&journal).unwrap();
    while !journal.figures().failing {
        std::thread::yield_now();
    }
    memory.set(|tables| tables.fails = false);
    memory.until(|tables| tables.commits.len() == 1);
    assert_eq!(memory.places(), [0]);
}

#[test]
fn a_store_works_again_once_it_has_room_for_as_much_as_what_failed() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let (sender, told) = mpsc::channel();
    journal.watch_failures(Box::new(move |failure| {
        sender.send(failure.is_some()).unwrap();
    }));
    let before = memory.0.0.lock().count(Table::Meta);
    memory.set(|tables| tables.room = Some(20));
    outcome(&add(&journal).unwrap()).1.unwrap_err();
    assert!(told.recv_timeout(PATIENCE).unwrap(), "it fails");
    // It is opened again, and less is stored than what failed; then as much is tried, and fails.
    memory.until(|tables| tables.reopened >= 2);
    outcome(&add(&journal).unwrap()).1.unwrap_err();
    assert!(journal.figures().failing);
    assert!(told.try_recv().is_err(), "nothing is told twice");
    memory.set(|tables| tables.room = None);
    assert!(!told.recv_timeout(PATIENCE).unwrap(), "it works");
    assert!(!journal.figures().failing);
    // Nothing is left of what was stored to see whether that works.
    let meta = memory.0.0.lock().count(Table::Meta);
    assert_eq!(meta, before);
    assert!(memory.places().is_empty());
}

#[test]
fn a_store_that_panics_is_one_that_fails() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    memory.set(|tables| tables.panics = true);
    outcome(&add(&journal).unwrap()).1.unwrap_err();
    memory.set(|tables| tables.panics = false);
    outcome(&add(&journal).unwrap()).1.unwrap();
}

#[tokio::test]
async fn a_store_that_could_not_be_read_is_opened_again_by_itself() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let _kept = add_unawaited(&journal).unwrap();
    memory.until(|tables| tables.commits.len() == 1);
    memory.set(|tables| tables.unreadable = true);
    let error = journal.list(10).await.unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
    memory.until(|tables| tables.reopened == 1 && tables.commits.len() == 2);
    assert_eq!(journal.list(10).await.unwrap().len(), 1);
}

#[test]
fn a_journal_that_is_dropped_commits_what_it_was_given() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let _kept: Vec<_> = (0..10).map(|_| add_unawaited(&journal).unwrap()).collect();
    drop(journal);
    memory.until(|tables| !tables.commits.is_empty());
    assert_eq!(memory.places(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_journal_takes_nothing_and_its_store_is_free() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    let _kept = add_unawaited(&journal).unwrap();
    journal.close();
    journal.closed().await;
    assert_eq!(Arc::strong_count(&memory.0), 1, "the store is dropped");
    assert_eq!(memory.places(), [0]);
    assert!(matches!(add(&journal), Err(JournalRefusal::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_does_not_keep_a_socket_from_its_end() {
    let memory = Memory::default();
    let journal = open(&memory, 1000);
    memory.set(|tables| tables.stands = true);
    let _kept = add_unawaited(&journal).unwrap();
    memory.until(|tables| tables.standing == 1);
    journal.close();
    journal.closed().await;
    assert!(memory.places().is_empty());
    memory.set(|tables| tables.stands = false);
    memory.until(|tables| !tables.commits.is_empty());
    assert_eq!(memory.places(), [0]);
}

#[test]
fn ids_of_two_starts_differ_and_places_go_on() {
    let memory = Memory::default();
    let ids = |memory: &Memory| {
        let journal = open(memory, 1000);
        outcome(&add(&journal).unwrap()).1.unwrap();
        drop(journal);
        let tables = memory.0.0.lock();
        let records = tables
            .tables
            .iter()
            .filter(|((table, _), _)| *table == Table::Messages);
        let decode = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| {
            let place = place_of(key).unwrap();
            (place, Record::decode(place, value).unwrap().id)
        };
        records.map(decode).collect::<Vec<_>>()
    };
    ids(&memory);
    let both = ids(&memory);
    let [(0, first), (1, second)] = both[..] else {
        panic!("{both:?}")
    };
    assert_ne!(first.as_bytes()[..8], second.as_bytes()[..8]);
}
