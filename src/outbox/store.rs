//! What an outbox asks of its store: ordered tables of bytes, changed by several entries at a time or not at all.

use std::ops::ControlFlow;

use crate::error::StoreError;

/// A table of a store: its entries are ordered by their keys, byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// What the file is: its format, and the identity of its socket.
    Meta,
    /// Messages whose acknowledgement is due.
    Messages,
    /// Messages that the socket has received: what it has in hand, and what became of the last ones.
    Window,
    /// Records that could not be read, as they were found.
    Damaged,
    /// Dead letters that are kept.
    Letters,
}

impl Table {
    /// All tables.
    pub const ALL: &'static [Self] = &[
        Self::Meta,
        Self::Messages,
        Self::Window,
        Self::Damaged,
        Self::Letters,
    ];

    /// The name of the table, which never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Messages => "messages",
            Self::Window => "window",
            Self::Damaged => "damaged",
            Self::Letters => "letters",
        }
    }
}

/// A change of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The entry is added, or replaces the one of the same key.
    Put {
        /// The table that it belongs to.
        table: Table,
        /// Its key.
        key: &'a [u8],
        /// Its content.
        value: &'a [u8],
    },
    /// The entry is removed, if it is there.
    Remove {
        /// The table that it belongs to.
        table: Table,
        /// Its key.
        key: &'a [u8],
    },
}

impl Change<'_> {
    /// What it adds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Remove { .. } => 0,
        }
    }
}

/// Keeps the messages of an outbox. The one that comes with this crate is a file of redb
/// ([`Outbox::new`](super::Outbox::new), feature `outbox`).
///
/// One thread at a time uses it, which may block. `testing::check_outbox_store` (feature `test-util`) checks what is asked here.
/// A method that panics is taken for one that failed.
pub trait OutboxStore: Send + 'static {
    /// Makes all the changes, in their order, or none of them. When it returns, they outlive the machine's
    /// power.
    ///
    /// # Errors
    ///
    /// When the store cannot say that all of them are made. They may be made nevertheless.
    /// [`reopen`](Self::reopen) is called before anything else then.
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError>;

    /// Visits the entries of a table whose keys are not before `from`, in the order of their keys, until `visit` breaks. All
    /// keys are behind an empty `from`.
    ///
    /// # Errors
    ///
    /// When the table cannot be read to its end.
    #[expect(
        clippy::type_complexity,
        reason = "a visitor of a key and a value, which is named nowhere else"
    )]
    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Begins again after an error, with what was committed.
    ///
    /// # Errors
    ///
    /// When that is not possible now. It is called again later.
    fn reopen(&mut self) -> Result<(), StoreError>;
}
