//! What a store of an outbox has to do, as a test of yours.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::error::StoreError;
use crate::outbox::{Change, OutboxStore, Table};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// Checks that a store does what [`OutboxStore`] asks for. `open` opens it: empty at the first time, and later with what the
/// one before it, which is dropped by then, had committed.
///
/// It cannot cut the power: whether a commit outlives that is for the store's author to show.
///
/// # Panics
///
/// When the store does something else, with what was expected.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::ops::ControlFlow;
/// use std::sync::{Arc, Mutex};
///
/// use actix_aiomsg::error::StoreError;
/// use actix_aiomsg::outbox::{Change, OutboxStore, Table};
/// use actix_aiomsg::testing::check_outbox_store;
///
/// /// Survives its socket, and nothing else.
/// #[derive(Clone, Default)]
/// struct InMemory(Arc<Mutex<BTreeMap<(&'static str, Vec<u8>), Vec<u8>>>>);
///
/// impl OutboxStore for InMemory {
///     fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
///         let mut tables = self.0.lock().unwrap();
///         for change in changes {
///             match *change {
///                 Change::Put { table, key, value } => {
///                     tables.insert((table.name(), key.to_vec()), value.to_vec());
///                 }
///                 Change::Remove { table, key } => {
///                     tables.remove(&(table.name(), key.to_vec()));
///                 }
///             }
///         }
///         Ok(())
///     }
///
///     fn read(
///         &mut self,
///         table: Table,
///         from: &[u8],
///         visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
///     ) -> Result<(), StoreError> {
///         let tables = self.0.lock().unwrap();
///         let entries = tables.range((table.name(), from.to_vec())..);
///         for ((_, key), value) in entries.take_while(|((name, _), _)| *name == table.name()) {
///             if visit(key, value).is_break() {
///                 break;
///             }
///         }
///         Ok(())
///     }
///
///     fn reopen(&mut self) -> Result<(), StoreError> {
///         Ok(())
///     }
/// }
///
/// let memory = InMemory::default();
/// check_outbox_store(|| memory.clone());
/// ```
pub fn check_outbox_store<S: OutboxStore>(mut open: impl FnMut() -> S) {
    let mut store = open();
    let mut model: BTreeMap<Table, Content> = BTreeMap::new();
    agrees(&mut store, &model, "a new store is empty");
    for round in 0..60u32 {
        let changes = changes(round);
        let borrowed: Vec<Change<'_>> = changes.iter().map(Owned::as_change).collect();
        store.commit(&borrowed).expect("a commit succeeds");
        changes
            .into_iter()
            .for_each(|change| change.make(&mut model));
        match round % 3 {
            0 => agrees(&mut store, &model, "what was committed is there"),
            1 => {
                drop(store);
                store = open();
                agrees(
                    &mut store,
                    &model,
                    "what was committed is there in the next store",
                );
            }
            _ => {
                store.reopen().expect("a store that works opens again");
                agrees(
                    &mut store,
                    &model,
                    "what was committed is there after a reopening",
                );
            }
        }
    }
    begins_anywhere(&mut store, &model);
    store.commit(&[]).expect("no changes can be committed");
    let mut visits = 0;
    let stopped = store.read(Table::Messages, &[], &mut |_, _| {
        visits += 1;
        ControlFlow::Break(())
    });
    stopped.expect("a read that is stopped succeeds");
    assert_eq!(visits, 1, "a read ends when its visitor breaks");
}

/// A change of its own.
struct Owned {
    table: Table,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Owned {
    fn as_change(&self) -> Change<'_> {
        let (table, key) = (self.table, self.key.as_slice());
        match &self.value {
            Some(value) => Change::Put { table, key, value },
            None => Change::Remove { table, key },
        }
    }

    fn make(self, model: &mut BTreeMap<Table, Content>) {
        let table = model.entry(self.table).or_default();
        match self.value {
            Some(value) => drop(table.insert(self.key, value)),
            None => drop(table.remove(&self.key)),
        }
    }
}

/// Changes of all kinds: new keys, replaced ones, some removed that are there and some that are not, the same key twice, keys
/// of several lengths, values from none to a megabyte.
fn changes(round: u32) -> Vec<Owned> {
    let count = 1 + round % 40;
    let change = |index: u32| {
        let mixed = (round * 40 + index).wrapping_mul(0x9e37_79b9) >> 7;
        let table = Table::ALL[mixed as usize % Table::ALL.len()];
        let key = match mixed % 5 {
            0 => vec![(mixed % 251) as u8; 1 + mixed as usize % 30],
            _ => u64::from(mixed % 300).to_be_bytes().to_vec(),
        };
        let length = match mixed % 97 {
            0 => 1024 * 1024,
            1 => 0,
            other => other as usize * 7,
        };
        let value = (!mixed.is_multiple_of(3)).then(|| vec![mixed as u8; length]);
        Owned { table, key, value }
    };
    let mut changes: Vec<Owned> = (0..count).map(change).collect();
    // The last change of a key is the one that counts.
    let twice = |value| Owned {
        table: Table::Messages,
        key: b"twice".to_vec(),
        value,
    };
    changes.extend([twice(Some(vec![1])), twice(None), twice(Some(vec![2]))]);
    changes
}

fn agrees(store: &mut dyn OutboxStore, model: &BTreeMap<Table, Content>, what: &str) {
    for &table in Table::ALL {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let read: Result<(), StoreError> = store.read(table, &[], &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        read.unwrap_or_else(|error| panic!("{what}: the table {table:?} cannot be read: {error}"));
        let keys = |entries: &[(Vec<u8>, Vec<u8>)]| -> Vec<Vec<u8>> {
            entries.iter().map(|(key, _)| key.clone()).collect()
        };
        let expected = model.get(&table).into_iter().flatten();
        let expected: Vec<_> = expected
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(
            keys(&entries),
            keys(&expected),
            "{what}, in order: keys of {table:?}"
        );
        assert!(entries == expected, "{what}: values of {table:?}");
    }
}

/// A read begins at the key that it is given, whether that is there or not.
fn begins_anywhere(store: &mut dyn OutboxStore, model: &BTreeMap<Table, Content>) {
    let empty = Content::new();
    for &table in Table::ALL {
        let content = model.get(&table).unwrap_or(&empty);
        let mut begins: Vec<Vec<u8>> = content.keys().cloned().collect();
        begins.extend(content.keys().map(|key| [key.as_slice(), &[0]].concat()));
        begins.push(vec![255; 40]);
        for from in begins {
            let mut first = None;
            let read = store.read(table, &from, &mut |key, _| {
                first = Some(key.to_vec());
                ControlFlow::Break(())
            });
            read.unwrap_or_else(|error| panic!("{table:?} cannot be read from a key on: {error}"));
            let expected = content.range(from.clone()..).next();
            assert_eq!(
                first.as_ref(),
                expected.map(|(key, _)| key),
                "a read of {table:?} begins at the key that it is given: {from:?}"
            );
        }
    }
}

#[cfg(all(test, feature = "outbox", not(aiomsg_loom)))]
mod tests {
    use super::*;
    use crate::outbox::RedbStore;

    /// A file that is gone with its test.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new() -> Self {
            let name = format!("aiomsg-store-{}", crate::Identity::random());
            Self(std::env::temp_dir().join(name))
        }

        fn open(&self) -> RedbStore {
            RedbStore::open(&self.0, true).expect("it opens")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // A test that panicked early may not have made it.
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_file_of_an_outbox_is_a_store() {
        let scratch = Scratch::new();
        check_outbox_store(|| scratch.open());
    }

    /// A store that forgets the last change of each commit.
    struct Forgetful(RedbStore);

    impl OutboxStore for Forgetful {
        fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
            self.0.commit(&changes[..changes.len().saturating_sub(1)])
        }

        fn read(
            &mut self,
            table: Table,
            from: &[u8],
            visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
        ) -> Result<(), StoreError> {
            self.0.read(table, from, visit)
        }

        fn reopen(&mut self) -> Result<(), StoreError> {
            self.0.reopen()
        }
    }

    /// A store that begins every read at its first key.
    struct Stubborn(RedbStore);

    impl OutboxStore for Stubborn {
        fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
            self.0.commit(changes)
        }

        fn read(
            &mut self,
            table: Table,
            _: &[u8],
            visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
        ) -> Result<(), StoreError> {
            self.0.read(table, &[], visit)
        }

        fn reopen(&mut self) -> Result<(), StoreError> {
            self.0.reopen()
        }
    }

    #[test]
    #[should_panic(expected = "begins at the key that it is given")]
    fn a_store_that_begins_elsewhere_is_found_out() {
        let scratch = Scratch::new();
        check_outbox_store(|| Stubborn(scratch.open()));
    }

    #[test]
    #[should_panic(expected = "what was committed is there")]
    fn a_store_that_forgets_is_found_out() {
        let scratch = Scratch::new();
        check_outbox_store(|| Forgetful(scratch.open()));
    }
}
