//! An outbox is opened: what the store is, whose it is, and what waits in it.

use std::ops::ControlFlow;

use super::record::{Record, cost, place_of};
use super::store::{Change, OutboxStore, Table};
use super::tail::{Residence, Tail};
use super::window::KnownMessage;
use crate::error::{OutboxError, StoreError};
use crate::id::Identity;

/// The latest layout of a store that is known. It says how tables are used; each record has a layout of its own.
const FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"actix-aiomsg outbox";
const IDENTITY_KEY: &[u8] = b"identity";

/// Messages between two lines of the log while a large store is read.
const PROGRESS_EVERY: usize = 100_000;

/// Content of a store that was opened.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) identity: Identity,
    /// Messages by their places, in order, which are to be in memory.
    pub(crate) records: Vec<(u64, Record)>,
    /// Those that are not.
    pub(super) tail: Tail,
    /// All of them, and what they cost.
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// Records that cannot be read; they stay in the store, apart from the others.
    pub(crate) damaged: usize,
    /// The first place behind all that were ever seen.
    pub(crate) next_place: u64,
}

impl Content {
    fn add(&mut self, place: u64, record: Record) {
        self.messages += 1;
        let payload = record.payload.len() + record.envelope.len();
        self.bytes += cost(payload);
        let by_mode = record.peer.is_none();
        let in_tail = by_mode && self.tail.admit(place, cost(payload)) == Residence::Tail;
        // One whose time ends may do that before its turn comes.
        if !in_tail || record.expires.is_some() {
            self.records.push((place, record));
        }
    }

    /// No new message gets this place, unless that is none that a store of ours can have come to.
    fn skip(&mut self, place: Option<u64>) {
        if let Some(place) = place.filter(|place| *place < u64::MAX / 2) {
            self.next_place = self.next_place.max(place + 1);
        }
    }
}

/// Reads a store, or makes a new one of an empty one. It is to belong to `wanted`, if that is given. Messages by the send mode take
/// so many bytes of memory.
pub(crate) fn open(
    store: &mut dyn OutboxStore,
    name: &str,
    wanted: Option<Identity>,
    head: usize,
) -> Result<Content, OutboxError> {
    let failed = |error: StoreError| OutboxError::Failed {
        store: name.to_owned(),
        error,
    };
    let identity = match identity_of(store, name)? {
        Some(identity) => identity,
        None => create(store, wanted).map_err(failed)?,
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != identity) {
        return Err(OutboxError::OtherIdentity {
            store: name.to_owned(),
            stored: identity,
            wanted,
        });
    }
    read_messages(store, name, identity, head).map_err(failed)
}

/// Makes a store belong to `identity`, if it is one of ours and belonged to another. Anything else is left to [`open`].
pub(crate) fn adopt(
    store: &mut dyn OutboxStore,
    name: &str,
    identity: Identity,
) -> Result<(), OutboxError> {
    let adopted = match read_meta(store) {
        Ok(Meta::Nothing) => create(store, Some(identity)).map(drop),
        Ok(Meta::Stored {
            format: FORMAT,
            identity: Some(before),
        }) if before != identity => {
            tracing::info!(outbox = name, %before, %identity, "an outbox is taken over under a new identity");
            store.commit(&[Change::Put {
                table: Table::Meta,
                key: IDENTITY_KEY,
                value: identity.as_bytes(),
            }])
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    adopted.map_err(|error| OutboxError::Failed {
        store: name.to_owned(),
        error,
    })
}

/// Whose store it is; `None` if it is empty.
pub(super) fn identity_of(
    store: &mut dyn OutboxStore,
    name: &str,
) -> Result<Option<Identity>, OutboxError> {
    let meta = read_meta(store).map_err(|error| OutboxError::Failed {
        store: name.to_owned(),
        error,
    })?;
    match meta {
        Meta::Nothing => Ok(None),
        Meta::Stored {
            format: FORMAT,
            identity: Some(identity),
        } => Ok(Some(identity)),
        Meta::Stored { format, .. } if format > FORMAT => Err(OutboxError::Newer {
            store: name.to_owned(),
            format,
            known: FORMAT,
        }),
        Meta::Stored { .. } | Meta::Foreign => Err(OutboxError::Foreign {
            store: name.to_owned(),
            detail: "it does not say what it is".to_owned(),
        }),
    }
}

enum Meta {
    Nothing,
    Foreign,
    Stored {
        format: u32,
        identity: Option<Identity>,
    },
}

fn read_meta(store: &mut dyn OutboxStore) -> Result<Meta, StoreError> {
    let (mut entries, mut format, mut identity) = (0, None, None);
    store.read(Table::Meta, &[], &mut |key, value| {
        entries += 1;
        match key {
            FORMAT_KEY => format = value.try_into().ok().map(u32::from_be_bytes),
            IDENTITY_KEY => identity = Identity::try_from(value).ok(),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(match format {
        Some(format) => Meta::Stored { format, identity },
        None if entries == 0 => Meta::Nothing,
        None => Meta::Foreign,
    })
}

fn create(store: &mut dyn OutboxStore, wanted: Option<Identity>) -> Result<Identity, StoreError> {
    let identity = wanted.unwrap_or_else(Identity::random);
    let put = |key, value| Change::Put {
        table: Table::Meta,
        key,
        value,
    };
    let format = FORMAT.to_be_bytes();
    store.commit(&[
        put(FORMAT_KEY, &format),
        put(IDENTITY_KEY, identity.as_bytes()),
    ])?;
    Ok(identity)
}

fn read_messages(
    store: &mut dyn OutboxStore,
    name: &str,
    identity: Identity,
    head: usize,
) -> Result<Content, StoreError> {
    let mut content = Content {
        identity,
        records: Vec::new(),
        tail: Tail::new(head),
        messages: 0,
        bytes: 0,
        damaged: 0,
        next_place: 0,
    };
    let mut damaged: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    store.read(Table::Messages, &[], &mut |key, value| {
        let place = place_of(key);
        content.skip(place);
        let record = place.and_then(|place| Some((place, Record::decode(place, value).ok()?)));
        match record {
            Some((place, record)) => content.add(place, record),
            None => damaged.push((key.to_owned(), value.to_owned())),
        }
        if content.messages.is_multiple_of(PROGRESS_EVERY) && content.messages > 0 {
            let messages = content.messages;
            tracing::info!(outbox = name, messages, "an outbox is being read");
        }
        ControlFlow::Continue(())
    })?;
    set_aside(store, Table::Messages, &damaged)?;
    content.damaged = damaged.len();
    store.read(Table::Damaged, &[], &mut |key, _| {
        // Its place is not given to another message, which might have to be set aside as well.
        content.skip(place_of(key));
        ControlFlow::Continue(())
    })?;
    Ok(content)
}

/// Reads what the dedupe window of the last start knew, the oldest first, and says how many entries cannot be read.
pub(crate) fn read_window(
    store: &mut dyn OutboxStore,
) -> Result<(Vec<KnownMessage>, usize), StoreError> {
    let mut known: Vec<KnownMessage> = Vec::new();
    let mut damaged: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    store.read(Table::Window, &[], &mut |key, value| {
        match KnownMessage::decode(key, value) {
            Some(message) => known.push(message),
            None => damaged.push((key.to_owned(), value.to_owned())),
        }
        ControlFlow::Continue(())
    })?;
    known.sort_by_key(|message| message.wall);
    set_aside(store, Table::Window, &damaged)?;
    Ok((known, damaged.len()))
}

fn set_aside(
    store: &mut dyn OutboxStore,
    table: Table,
    damaged: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), StoreError> {
    if damaged.is_empty() {
        return Ok(());
    }
    let changes = damaged.iter().flat_map(|(key, value)| {
        let put = Change::Put {
            table: Table::Damaged,
            key,
            value,
        };
        let remove = Change::Remove { table, key };
        [put, remove]
    });
    store.commit(&changes.collect::<Vec<_>>())
}
