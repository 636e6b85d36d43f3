//! What the file of an outbox refuses, and how it says so.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::opening;
use super::record::{Record, key_of};
use super::redb_store::{COMPACT_FROM, RedbStore};
use super::store::{Change, OutboxStore, Table};
use super::tail::HEAD_BYTES;
use crate::error::OutboxError;
use crate::id::{Identity, MessageId};

/// A path that nothing else has, and that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("aiomsg-outbox-{}", MessageId::random());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self) -> Result<RedbStore, OutboxError> {
        RedbStore::open(&self.0, true)
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may be gone.
        let _ = fs::remove_file(&self.0);
    }
}

fn record(text: &'static str) -> Record {
    Record {
        id: MessageId::from_bytes([1; 16]),
        peer: None,
        accepted: 0,
        expires: None,
        envelope: bytes::Bytes::new(),
        payload: text.into(),
    }
}

fn put(store: &mut RedbStore, place: u64, value: &[u8]) {
    let (table, key) = (Table::Messages, &key_of(place));
    store.commit(&[Change::Put { table, key, value }]).unwrap();
}

fn count(store: &mut RedbStore, table: Table) -> usize {
    let mut count = 0;
    let read = store.read(table, &[], &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    read.unwrap();
    count
}

/// A file with two messages.
fn filled() -> Scratch {
    let scratch = Scratch::new();
    drop(filled_at(&scratch));
    scratch
}

fn filled_at(scratch: &Scratch) -> RedbStore {
    let mut store = scratch.open().unwrap();
    opening::open(&mut store, "it", None, HEAD_BYTES).unwrap();
    for (place, text) in [(3, "three"), (4, "four")] {
        put(&mut store, place, &record(text).encode(place));
    }
    store
}

#[test]
fn an_outbox_that_is_in_use_is_refused() {
    let scratch = filled();
    let store = scratch.open().unwrap();
    let refusal = scratch.open().err().unwrap();
    assert!(matches!(refusal, OutboxError::Locked { .. }), "{refusal}");
    drop(store);
    scratch.open().unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_stays_as_it_is() {
    let scratch = Scratch::new();
    fs::write(scratch.path(), "a letter").unwrap();
    let refusal = scratch.open().err().unwrap();
    assert!(matches!(refusal, OutboxError::Foreign { .. }), "{refusal}");
    assert_eq!(scratch.content(), b"a letter");
}

#[test]
fn a_database_of_another_program_is_refused_and_stays_as_it_is() {
    let scratch = Scratch::new();
    let database = redb::Database::create(scratch.path()).unwrap();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("accounts");
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = scratch.content();
    let refusal = scratch.open().err().unwrap();
    assert!(refusal.to_string().contains("accounts"), "{refusal}");
    assert!(matches!(refusal, OutboxError::Foreign { .. }), "{refusal}");
    assert!(scratch.content() == before);
}

#[test]
fn after_an_error_no_other_file_is_taken_for_the_one_that_was_opened_and_none_is_made() {
    let scratch = filled();
    let mut store = scratch.open().unwrap();
    let moved = Scratch::new();
    fs::rename(scratch.path(), moved.path()).unwrap();
    store.reopen().unwrap_err();
    assert!(!scratch.path().exists());
    // Another outbox in its place stays as it is, too.
    drop(filled_at(&scratch));
    let before = scratch.content();
    let error = store.reopen().unwrap_err();
    assert!(error.to_string().contains("another file"), "{error}");
    assert!(scratch.content() == before);
    fs::rename(moved.path(), scratch.path()).unwrap();
    store.reopen().unwrap();
    assert_eq!(count(&mut store, Table::Messages), 2);
}

#[test]
fn a_folder_is_refused() {
    let refusal = RedbStore::open(&std::env::temp_dir(), true).err().unwrap();
    assert!(matches!(refusal, OutboxError::Foreign { .. }), "{refusal}");
}

#[test]
fn an_outbox_of_a_later_version_is_refused() {
    let scratch = filled();
    let mut store = scratch.open().unwrap();
    let (table, key) = (Table::Meta, b"actix-aiomsg outbox".as_slice());
    let value = &7u32.to_be_bytes();
    store.commit(&[Change::Put { table, key, value }]).unwrap();
    let refusal = opening::open(&mut store, "it", None, HEAD_BYTES).unwrap_err();
    assert!(
        matches!(refusal, OutboxError::Newer { format: 7, .. }),
        "{refusal}"
    );
    assert_eq!(count(&mut store, Table::Messages), 2);
}

#[test]
fn an_outbox_keeps_its_identity_and_refuses_another() {
    let scratch = Scratch::new();
    let mut store = scratch.open().unwrap();
    let ours = Identity::from_bytes([5; 16]);
    let theirs = Identity::from_bytes([6; 16]);
    assert_eq!(
        opening::open(&mut store, "it", Some(ours), HEAD_BYTES)
            .unwrap()
            .identity,
        ours
    );
    drop(store);
    let mut store = scratch.open().unwrap();
    assert_eq!(
        opening::open(&mut store, "it", None, HEAD_BYTES)
            .unwrap()
            .identity,
        ours
    );
    assert_eq!(
        opening::open(&mut store, "it", Some(ours), HEAD_BYTES)
            .unwrap()
            .identity,
        ours
    );
    let refusal = opening::open(&mut store, "it", Some(theirs), HEAD_BYTES).unwrap_err();
    assert!(
        matches!(refusal, OutboxError::OtherIdentity { .. }),
        "{refusal}"
    );
}

#[test]
fn a_damaged_record_is_set_aside_and_the_others_are_restored() {
    let scratch = filled();
    let mut store = scratch.open().unwrap();
    let mut bytes = record("five").encode(5);
    bytes[20] ^= 1;
    put(&mut store, 5, &bytes);
    put(&mut store, 6, &record("six").encode(6));
    put(&mut store, 7, b"");
    let content = opening::open(&mut store, "it", None, HEAD_BYTES).unwrap();
    let texts: Vec<_> = content
        .records
        .iter()
        .map(|(place, record)| (*place, &record.payload[..]))
        .collect();
    assert_eq!(texts, [(3, &b"three"[..]), (4, b"four"), (6, b"six")]);
    assert_eq!((content.damaged, content.next_place), (2, 8));
    assert_eq!(count(&mut store, Table::Damaged), 2);
    let content = opening::open(&mut store, "it", None, HEAD_BYTES).unwrap();
    assert_eq!((content.damaged, content.next_place), (0, 8));
    assert_eq!(content.records.len(), 3);
}

#[test]
fn a_damaged_page_is_found_by_the_check_and_the_file_refused() {
    let scratch = filled();
    let mut bytes = scratch.content();
    let at = bytes
        .windows(5)
        .position(|window| window == b"three")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(scratch.path(), &bytes).unwrap();
    let refusal = scratch.open().err().unwrap();
    assert!(matches!(refusal, OutboxError::Damaged { .. }), "{refusal}");
    assert!(scratch.content() == bytes, "it is left as it is");
}

#[test]
fn without_the_check_a_changed_record_is_found_by_its_own_checksum() {
    let scratch = filled();
    let mut bytes = scratch.content();
    let at = bytes
        .windows(5)
        .position(|window| window == b"three")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(scratch.path(), &bytes).unwrap();
    let mut store = RedbStore::open(scratch.path(), false).unwrap();
    let content = opening::open(&mut store, "it", None, HEAD_BYTES).unwrap();
    assert_eq!((content.records.len(), content.damaged), (1, 1));
}

#[test]
fn an_empty_file_becomes_an_outbox() {
    let scratch = Scratch::new();
    fs::write(scratch.path(), b"").unwrap();
    opening::open(&mut scratch.open().unwrap(), "it", None, HEAD_BYTES).unwrap();
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone_and_nothing_else_is_left_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Scratch::new();
    fs::create_dir(folder.path()).unwrap();
    let path = folder.path().join("outbox");
    drop(RedbStore::open(&path, true).unwrap());
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["outbox"]);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::remove_dir_all(folder.path()).unwrap();
}

/// So many messages of a kilobyte, in commits of 500.
fn put_many(store: &mut RedbStore, places: std::ops::Range<u64>) {
    let value = vec![7; 1024];
    for first in places.clone().step_by(500) {
        let keys: Vec<_> = (first..places.end.min(first + 500)).map(key_of).collect();
        let table = Table::Messages;
        let puts = keys.iter().map(|key| Change::Put {
            table,
            key,
            value: &value,
        });
        store.commit(&puts.collect::<Vec<_>>()).unwrap();
    }
}

fn remove_many(store: &mut RedbStore, places: std::ops::Range<u64>) {
    let keys: Vec<_> = places.map(key_of).collect();
    let table = Table::Messages;
    let removes = keys.iter().map(|key| Change::Remove { table, key });
    store.commit(&removes.collect::<Vec<_>>()).unwrap();
}

fn length(scratch: &Scratch) -> u64 {
    fs::metadata(scratch.path()).unwrap().len()
}

#[test]
fn a_file_of_which_most_is_free_is_smaller_at_the_next_start_and_has_what_it_had() {
    let scratch = Scratch::new();
    let mut store = scratch.open().unwrap();
    opening::open(&mut store, "it", None, HEAD_BYTES).unwrap();
    put_many(&mut store, 0..40_000);
    remove_many(&mut store, 0..39_000);
    drop(store);
    let large = length(&scratch);
    assert!(large > COMPACT_FROM, "{large}");
    let mut store = scratch.open().unwrap();
    let small = length(&scratch);
    assert!(small < large / 4, "{small} of {large}");
    assert_eq!(count(&mut store, Table::Messages), 1000);
    put(&mut store, 50_000, b"more");
    drop(store);
    let mut store = scratch.open().unwrap();
    assert_eq!(count(&mut store, Table::Messages), 1001);
}

#[test]
fn a_file_through_which_much_goes_does_not_grow_with_it() {
    let scratch = Scratch::new();
    let mut store = scratch.open().unwrap();
    let mut first = 0;
    for round in 0..30 {
        put_many(&mut store, round * 1000..(round + 1) * 1000);
        remove_many(&mut store, round * 1000..(round + 1) * 1000);
        if round == 2 {
            first = length(&scratch);
        }
    }
    let last = length(&scratch);
    assert!(last <= 2 * first, "{first} and then {last}");
}
