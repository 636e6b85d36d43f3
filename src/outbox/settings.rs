//! What may be chosen for an outbox, and its opening.

#[cfg(feature = "outbox")]
use std::path::PathBuf;
use std::time::Duration;

use super::journal::Journal;
use super::journal_start::JournalStart;
use super::letter_desk::index_letters;
use super::letter_index::{DeadLetterBounds, LetterIndex};
use super::opening;
use super::record::Record;
use super::store::OutboxStore;
use super::tail::HEAD_BYTES;
use super::window::KnownMessage;
use super::window_store::WindowStore;
use super::writer::Writer;
use crate::error::OutboxError;
use crate::id::Identity;
use crate::limits::{Capacity, Overflow};

const MIB: usize = 1024 * 1024;

/// The moment at which a message that an outbox keeps is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// When it is committed: it outlives the process and the machine's power from then on. It is sent then, too.
    #[default]
    Commit,
    /// At once. It is committed within 50 ms or, under load, with the commit after the one that is at work, and what
    /// was accepted within that time is lost if the process dies.
    Eventually,
}

/// An outbox that outlives the process: it keeps each message that is sent at least once until it is acknowledged, or
/// a dead letter, and the identity of the socket. See `docs/DURABILITY.md`.
///
/// Of what waits for the send mode, 8 MiB are in memory, and the rest is in the store alone until its turn comes. Messages by
/// identity, and those with a time-to-live or a receipt, are in memory as well, with some 500 bytes each beside their payloads.
#[derive(Debug)]
#[must_use = "an outbox does nothing until a socket is started with it"]
pub struct Outbox {
    source: Source,
    settings: OutboxSettings,
    capacity: Capacity,
    /// The identity that it is to have, whichever it had.
    adopter: Option<Identity>,
}

/// Settings that hold for the life of a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxSettings {
    pub(crate) durability: Durability,
    pub(crate) overflow: Overflow,
    pub(crate) absent: Duration,
}

enum Source {
    #[cfg(feature = "outbox")]
    File { path: PathBuf, check: bool },
    Store {
        name: String,
        store: Box<dyn OutboxStore>,
    },
}

/// An outbox that is open, and the messages that it held.
#[derive(Debug)]
pub(crate) struct OpenedOutbox {
    pub(crate) journal: Journal,
    pub(crate) settings: OutboxSettings,
    pub(crate) identity: Identity,
    pub(crate) records: Vec<(u64, Record)>,
    /// The way of the socket's dedupe window into the store, and what the last start had in it; `None` where it has none.
    pub(crate) window: Option<(WindowStore, Vec<KnownMessage>)>,
}

impl Outbox {
    /// An outbox in a file at `path`, which is made if it is not there. One socket at a time has it.
    #[cfg(feature = "outbox")]
    #[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::of(Source::File { path, check: true })
    }

    /// An outbox in a store of your own. Errors and log lines call it `name`.
    pub fn with_store(name: impl Into<String>, store: impl OutboxStore) -> Self {
        let (name, store) = (name.into(), Box::new(store));
        Self::of(Source::Store { name, store })
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            settings: OutboxSettings {
                durability: Durability::default(),
                overflow: Overflow::Wait,
                absent: Duration::from_secs(24 * 60 * 60),
            },
            capacity: Capacity::new(100_000, 256 * MIB),
            adopter: None,
        }
    }

    /// When messages are accepted, unless their [`Sending`](crate::Sending::durability) says otherwise. Default: when they are
    /// committed.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Messages, and bytes of their payloads and 64 for each, that it keeps. Default: 100,000 messages, 256 MiB. An
    /// empty one takes one message of any size, and what is found at the start stays, however much it is.
    pub fn capacity(mut self, messages: usize, bytes: usize) -> Self {
        self.capacity = Capacity::new(messages, bytes);
        self
    }

    /// What it keeps, to be changed.
    #[cfg(all(feature = "config", feature = "outbox"))]
    pub(crate) fn capacity_mut(&mut self) -> &mut Capacity {
        &mut self.capacity
    }

    /// The policy for a message when the outbox is full: [`Overflow::Wait`], which is the default,
    /// [`Overflow::WaitFor`] or [`Overflow::Fail`]. Those that drop or disconnect are refused at the start, because the outbox is to
    /// lose nothing.
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.settings.overflow = policy;
        self
    }

    /// For how long, since it was accepted and by the wall clock, a message by identity waits for a peer that is not connected,
    /// before it becomes a dead letter. Default: 24 h.
    pub fn absent(mut self, time: Duration) -> Self {
        self.settings.absent = time;
        self
    }

    /// Takes a copied file over: from the start on it belongs to `identity`, whichever socket it belonged to, and that one goes
    /// on with the original. What waits in it is sent by both, under two identities, so that receivers cannot know it as the
    /// same. Where the file belongs to `identity` already, nothing changes. Default: the file keeps its identity.
    pub fn adopt(mut self, identity: Identity) -> Self {
        self.adopter = Some(identity);
        self
    }

    /// If the start checks every page of the file, which takes about as long as to read it. Default: true. Without it, damage
    /// may be found only when it is in the way.
    #[cfg(feature = "outbox")]
    #[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
    pub fn check_at_start(mut self, checks: bool) -> Self {
        if let Source::File { check, .. } = &mut self.source {
            *check = checks;
        }
        self
    }

    /// What is wrong with the settings, if anything is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self.settings.overflow {
            Overflow::Wait | Overflow::WaitFor(_) | Overflow::Fail => {}
            Overflow::DropOldest | Overflow::DropNewest | Overflow::Disconnect => {
                return Some(
                    "an outbox is to lose nothing: when it is full, messages can wait or be refused, and not be dropped",
                );
            }
        }
        (self.capacity.messages == 0).then_some("an outbox must hold at least one message")
    }

    /// Opens it for a socket, which is to have the identity `wanted`, if that is given. Blocks.
    /// It keeps dead letters within these bounds, if there are any, and the dedupe window of a socket that `dedupes`.
    pub(crate) fn open(
        self,
        wanted: Option<Identity>,
        bounds: Option<DeadLetterBounds>,
        dedupes: bool,
    ) -> Result<OpenedOutbox, OutboxError> {
        let (name, mut store): (String, Box<dyn OutboxStore>) = match self.source {
            #[cfg(feature = "outbox")]
            Source::File { path, check } => {
                let store = super::redb_store::RedbStore::open(&path, check)?;
                (path.display().to_string(), Box::new(store))
            }
            Source::Store { name, store } => (name, store),
        };
        if let Some(identity) = self.adopter {
            opening::adopt(&mut *store, &name, identity)?;
        }
        let content = opening::open(&mut *store, &name, wanted, HEAD_BYTES)?;
        let failed = |error| OutboxError::Failed {
            store: name.clone(),
            error,
        };
        let mut letters = bounds.map(LetterIndex::new);
        let damaged_letters = letters
            .as_mut()
            .map_or(Ok(0), |index| index_letters(&mut *store, index))
            .map_err(failed)?;
        let (known, misread) = match dedupes {
            true => opening::read_window(&mut *store).map_err(failed)?,
            false => Default::default(),
        };
        let waiting = content.messages;
        let damaged = content.damaged + damaged_letters + misread;
        if damaged > 0 {
            tracing::warn!(
                outbox = name,
                damaged,
                "messages of an outbox cannot be read: they are set aside in it, and are not sent"
            );
        }
        if waiting > 0 {
            tracing::info!(
                outbox = name,
                waiting,
                "messages of an earlier start wait in the outbox"
            );
        }
        let journal = Journal::new(JournalStart {
            capacity: self.capacity,
            next_place: content.next_place,
            restored: waiting,
            damaged,
            letters: bounds,
            absent: self.settings.absent,
            tail: content.tail,
            restored_bytes: content.bytes,
        });
        Writer::start(store, journal.shared(), letters)
            .map_err(|error| OutboxError::Failed { store: name, error })?;
        let window = dedupes.then(|| (WindowStore::new(journal.shared()), known));
        Ok(OpenedOutbox {
            window,
            journal,
            settings: self.settings,
            identity: content.identity,
            records: content.records,
        })
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            #[cfg(feature = "outbox")]
            Self::File { path, check } => {
                let mut file = f.debug_struct("File");
                file.field("path", path).field("check", check).finish()
            }
            Self::Store { name, .. } => name.fmt(f),
        }
    }
}
