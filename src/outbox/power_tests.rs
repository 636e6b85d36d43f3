//! The file of an outbox on a disk that loses its power: what was not synced is forgotten in part, and out of order.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Builder, StorageBackend};

use super::opening;
use super::redb_store::{COMPACT_FROM, RedbStore};
use super::store::{Change, OutboxStore, Table};
use super::tail::HEAD_BYTES;
use crate::error::OutboxError;

/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;

/// Chance, from one seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[derive(Debug)]
enum Pending {
    Length(u64),
    Sector { offset: usize, bytes: Vec<u8> },
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length as usize, 0),
            Self::Sector { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Medium {
    /// What a read finds.
    seen: Vec<u8>,
    /// What a power cut leaves for sure.
    synced: Vec<u8>,
    pending: Vec<Pending>,
    /// Operations until the power is cut.
    left: Option<usize>,
    /// True if the power is back after one operation.
    blinks: bool,
    syncs: usize,
}

impl Medium {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => {
                self.left = self.left.filter(|_| !self.blinks);
                Err(io::Error::other("there is no power"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Medium>>);

impl Disk {
    /// The power comes back: of what was not synced some is there, in an order that the disk chose.
    fn restart(&self, dice: &mut Dice, left: Option<usize>) {
        let mut medium = self.0.lock();
        let mut pending = std::mem::take(&mut medium.pending);
        let mut content = medium.synced.clone();
        while !pending.is_empty() {
            let at = dice.below(pending.len());
            let operation = pending.swap_remove(at);
            if dice.below(2) == 0 {
                continue;
            }
            operation.apply(&mut content);
        }
        medium.seen = content.clone();
        medium.synced = content;
        medium.left = left;
    }

    fn syncs(&self) -> usize {
        self.0.lock().syncs
    }

    fn open(&self) -> Result<RedbStore, OutboxError> {
        let disk = self.clone();
        let opener = Box::new(move |builder: &Builder| builder.create_with_backend(disk.clone()));
        RedbStore::open_with(opener, true, "a disk")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let medium = self.0.lock();
        let offset = offset as usize;
        let found = medium.seen.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut medium = self.0.lock();
        medium.operate()?;
        medium.seen.resize(length as usize, 0);
        medium.pending.push(Pending::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut medium = self.0.lock();
        medium.operate()?;
        let pending = std::mem::take(&mut medium.pending);
        pending
            .iter()
            .for_each(|operation| operation.apply(&mut medium.synced));
        medium.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut medium = self.0.lock();
        medium.operate()?;
        let offset = offset as usize;
        let end = offset + data.len();
        if medium.seen.len() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        medium.seen[offset..end].copy_from_slice(data);
        let mut at = offset;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            let bytes = data[at - offset..next - offset].to_vec();
            medium.pending.push(Pending::Sector { offset: at, bytes });
            at = next;
        }
        Ok(())
    }
}

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

fn content(store: &mut RedbStore) -> Content {
    let mut content = Content::new();
    let read = store.read(Table::Messages, &[], &mut |key, value| {
        content.insert(key.to_owned(), value.to_owned());
        ControlFlow::Continue(())
    });
    read.expect("what was opened is read");
    content
}

/// Power cuts of this run: `AIOMSG_SCALE` says how much of the full figure is wanted.
fn wanted() -> u64 {
    match std::env::var("AIOMSG_SCALE") {
        Ok(scale) => 500 * scale.parse::<u64>().expect("a whole number"),
        Err(_) => 100,
    }
}

/// A key and its value.
type Record = (Vec<u8>, Vec<u8>);

/// Changes as an outbox makes them: messages at the end, and removals, mostly at the front.
fn change(model: &Content, next: &mut u64, dice: &mut Dice) -> (Vec<Record>, Vec<Vec<u8>>) {
    let puts = (0..dice.below(8)).map(|_| {
        *next += 1;
        let length = [10, 100, 3000, 20_000][dice.below(4)];
        (next.to_be_bytes().to_vec(), vec![dice.next() as u8; length])
    });
    let puts: Vec<_> = puts.collect();
    let count = dice.below(8);
    let removals = model.keys().take(count).cloned().collect();
    (puts, removals)
}

#[test]
fn whenever_the_power_is_cut_what_was_committed_is_there_and_nothing_in_part() {
    let wanted = wanted();
    let (mut cuts, mut in_doubt, mut commits, mut seed) = (0, 0, 0, 0);
    let (mut syncs, mut all_syncs) = (0, 0);
    while cuts < wanted {
        seed += 1;
        let dice = &mut Dice(seed);
        // A file has its name only once it is made.
        let disk = Disk::default();
        let mut store = disk.open().expect("a disk with power");
        opening::open(&mut store, "a disk", None, HEAD_BYTES).expect("a new store");
        drop(store);
        let (mut model, mut next): (Content, u64) = (Content::new(), 0);
        // The same disk loses its power again and again, also while it is being recovered from the last time.
        for _ in 0..10 {
            let left = dice.below(150);
            disk.restart(dice, Some(left));
            let Ok(mut store) = disk.open() else {
                cuts += 1;
                continue;
            };
            assert_eq!(content(&mut store), model, "seed {seed}");
            loop {
                let (puts, removals) = change(&model, &mut next, dice);
                let mut after = model.clone();
                after.extend(puts.iter().cloned());
                removals.iter().for_each(|key| drop(after.remove(key)));
                let table = Table::Messages;
                let puts = puts
                    .iter()
                    .map(|(key, value)| Change::Put { table, key, value });
                let removes = removals.iter().map(|key| Change::Remove { table, key });
                let changes: Vec<_> = puts.chain(removes).collect();
                let before = disk.syncs();
                if store.commit(&changes).is_ok() {
                    commits += 1;
                    let synced = disk.syncs() - before;
                    assert!(synced >= 2, "a commit is in two phases");
                    syncs += synced;
                    model = after;
                    continue;
                }
                drop(store);
                cuts += 1;
                // The change that was under way is there as a whole, or not at all.
                disk.restart(dice, None);
                let mut store = disk.open().expect("a disk with power");
                let found = content(&mut store);
                if found == after && after != model {
                    in_doubt += 1;
                    model = after;
                }
                assert_eq!(found, model, "seed {seed}");
                break;
            }
        }
        disk.restart(dice, None);
        let mut store = disk.open().expect("a disk with power");
        assert_eq!(content(&mut store), model, "seed {seed}");
        drop(store);
        all_syncs += disk.syncs();
    }
    println!(
        "{cuts} power cuts, {commits} commits by {syncs} syncs of {all_syncs}, {in_doubt} that were cut and are there"
    );
    assert!(in_doubt > 0 && commits > wanted);
}

#[test]
fn a_file_that_cannot_be_made_smaller_is_used_as_it_is() {
    for left in [0, 3] {
        let disk = Disk::default();
        let mut store = disk.open().expect("a disk with power");
        let value = vec![7; 10_000];
        let keys: Vec<_> = (0..20_u64).map(u64::to_be_bytes).collect();
        let table = Table::Messages;
        let puts = keys.iter().map(|key| Change::Put {
            table,
            key,
            value: &value,
        });
        store.commit(&puts.collect::<Vec<_>>()).unwrap();
        let removes = keys[1..].iter().map(|key| Change::Remove { table, key });
        store.commit(&removes.collect::<Vec<_>>()).unwrap();
        let before = content(&mut store);
        {
            let mut medium = disk.0.lock();
            medium.left = Some(left);
            medium.blinks = true;
        }
        store.compact("a disk", || COMPACT_FROM).unwrap();
        assert_eq!(disk.0.lock().left, None, "it has failed");
        assert_eq!(content(&mut store), before);
        let (key, value) = (&keys[1], &value);
        store.commit(&[Change::Put { table, key, value }]).unwrap();
        assert_eq!(content(&mut store).len(), 2);
    }
}
