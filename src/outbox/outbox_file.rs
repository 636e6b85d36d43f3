//! The file of an outbox, while no socket has it.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::letter::{KeptLetter, Letter};
use super::letter_desk::next_part;
use super::letter_filter::LetterFilter;
use super::letter_request::Redriven;
use super::opening::identity_of;
use super::pending::PendingMessage;
use super::record::{Record, key_of, place_of};
use super::redb_store::RedbStore;
use super::store::{OutboxStore, Table};
use super::writer::{puts, removes};
use crate::error::{OutboxError, StoreError};
use crate::id::{Identity, MessageId};

/// The file of an [outbox](mod@crate::outbox) that no socket has now, to look into and to repair. While this value is there, no socket
/// can have it.
///
/// Its methods block, and hold one message at a time in memory.
#[derive(Debug)]
pub struct OutboxFile {
    store: RedbStore,
    identity: Identity,
}

impl OutboxFile {
    /// Opens the file at `path`. Every page is checked, and a file that was not closed in order is recovered.
    ///
    /// # Errors
    ///
    /// When it is [not there](OutboxError::Missing), [in use](OutboxError::Locked), [something else](OutboxError::Foreign),
    /// [of a later version](OutboxError::Newer) or [damaged](OutboxError::Damaged), or [cannot be looked at](OutboxError::Failed).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let found = std::fs::metadata(path).map_err(|error| not_found(&name, &error))?;
        let empty = || OutboxError::Foreign {
            store: path.display().to_string(),
            detail: "it is empty".to_owned(),
        };
        // The library makes a database of an empty file, which is to stay as it is.
        if found.is_file() && found.len() == 0 {
            return Err(empty());
        }
        let mut store = RedbStore::open(path, true)?;
        let identity = identity_of(&mut store, &name)?.ok_or_else(empty)?;
        Ok(Self { store, identity })
    }

    /// The identity of its socket.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Shows each message that waits for its acknowledgement, in the order of the commits, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn for_each_message(
        &mut self,
        mut visit: impl FnMut(PendingMessage) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.read(Table::Messages, &[], &mut |key, value| {
            let place = place_of(key);
            match place.and_then(|place| Record::decode(place, value).ok()) {
                Some(record) => visit(record.into()),
                None => ControlFlow::Continue(()),
            }
        })
    }

    /// Shows each dead letter that is meant, oldest first, until `visit` breaks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn for_each_letter(
        &mut self,
        filter: &LetterFilter,
        mut visit: impl FnMut(KeptLetter) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let from = key_of(filter.first());
        self.store.read(Table::Letters, &from, &mut |key, value| {
            let Some(id) = place_of(key) else {
                return ControlFlow::Continue(());
            };
            if filter.is_behind(id) {
                return ControlFlow::Break(());
            }
            match Letter::decode(id, value) {
                Ok(letter) if filter.takes(id, &letter) => visit(letter.kept(id)),
                Ok(_) | Err(_) => ControlFlow::Continue(()),
            }
        })
    }

    /// Records that cannot be read: those that a start has set aside, and others.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn damaged(&mut self) -> Result<usize, StoreError> {
        let mut damaged = 0;
        self.store.read(Table::Damaged, &[], &mut |_, _| {
            damaged += 1;
            ControlFlow::Continue(())
        })?;
        self.store.read(Table::Messages, &[], &mut |key, value| {
            let place = place_of(key);
            let record = place.and_then(|place| Record::decode(place, value).ok());
            damaged += usize::from(record.is_none());
            ControlFlow::Continue(())
        })?;
        self.store.read(Table::Letters, &[], &mut |key, value| {
            let letter = place_of(key).and_then(|id| Letter::decode(id, value).ok());
            damaged += usize::from(letter.is_none());
            ControlFlow::Continue(())
        })?;
        Ok(damaged)
    }

    /// Makes messages of the letters that are meant, for the next start to send: each stops being a letter in the commit in which it is a
    /// message. What the socket had received, or was to tell a [service](crate::service), stays and is [`left`](Redriven::left): only the
    /// socket can deliver it, or find an instance for it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written: some letters may be messages then.
    pub fn redrive(&mut self, filter: &LetterFilter) -> Result<Redriven, StoreError> {
        let (mut filter, mut redriven) = (filter.clone(), Redriven::default());
        let mut next = self.next_place()?;
        loop {
            let part = next_part(&mut self.store, &mut filter)?;
            if part.is_empty() {
                return Ok(redriven);
            }
            let all = part.len();
            let ours = part.into_iter().filter(|(_, letter)| letter.is_storable());
            let (messages, gone): (Vec<_>, Vec<_>) = (next..)
                .zip(ours)
                .map(|(place, (id, letter))| {
                    let record = letter.again(MessageId::random());
                    ((key_of(place), record.encode(place)), key_of(id))
                })
                .unzip();
            if !gone.is_empty() {
                let changes =
                    puts(Table::Messages, &messages).chain(removes(Table::Letters, &gone));
                self.store.commit(&changes.collect::<Vec<_>>())?;
            }
            next += gone.len() as u64;
            redriven.sent += gone.len();
            redriven.left += all - gone.len();
        }
    }

    /// Throws away the letters that are meant, and says how many they were.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written: some letters may be gone then.
    pub fn purge(&mut self, filter: &LetterFilter) -> Result<usize, StoreError> {
        let (mut filter, mut purged) = (filter.clone(), 0);
        loop {
            let part = next_part(&mut self.store, &mut filter)?;
            if part.is_empty() {
                return Ok(purged);
            }
            let keys: Vec<_> = part.iter().map(|(id, _)| key_of(*id)).collect();
            let changes = removes(Table::Letters, &keys);
            self.store.commit(&changes.collect::<Vec<_>>())?;
            purged += part.len();
        }
    }

    /// The place behind all messages.
    fn next_place(&mut self) -> Result<u64, StoreError> {
        let mut next = 0;
        for table in [Table::Messages, Table::Damaged] {
            self.store.read(table, &[], &mut |key, _| {
                let place = place_of(key).filter(|place| *place < u64::MAX / 2);
                next = next.max(place.map_or(0, |place| place + 1));
                ControlFlow::Continue(())
            })?;
        }
        Ok(next)
    }
}

/// Why there is nothing to be seen at the path `name`.
fn not_found(name: &str, error: &io::Error) -> OutboxError {
    let store = name.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => OutboxError::Missing { store },
        _ => OutboxError::Failed {
            store,
            error: StoreError::new(error),
        },
    }
}
