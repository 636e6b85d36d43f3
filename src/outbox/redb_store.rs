//! The store of an outbox as a file of redb.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError,
    TableHandle,
};

use super::store::{Change, OutboxStore, Table};
use crate::error::{OutboxError, StoreError};
use crate::id::MessageId;

/// The first bytes of every file of redb.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Memory for pages of the file, which are read when the outbox is opened and hardly ever later.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The smallest file that is looked at, because most of it may be free.
pub(super) const COMPACT_FROM: u64 = 16 * 1024 * 1024;

/// Bytes in use above which a file stays as it is: moving them takes time, while a socket waits for it.
const COMPACT_MOST: u64 = 256 * 1024 * 1024;

type Definition<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// Opens the database: the file, or in tests what stands for it.
type Opener = Box<dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send>;

/// A store in a database of redb.
pub(crate) struct RedbStore {
    opener: Opener,
    /// `None` after an error, until it is opened again.
    database: Option<Database>,
}

const fn definition(table: Table) -> Definition<'static> {
    TableDefinition::new(table.name())
}

impl RedbStore {
    /// Opens the file, or creates it. Every page is checked unless `check` says otherwise.
    pub(crate) fn open(path: &Path, check: bool) -> Result<Self, OutboxError> {
        let store = path.display().to_string();
        look_at(path).map_err(|error| error.of(&store))?;
        let file = DatabaseFile::new(path);
        let opener = Box::new(move |builder: &Builder| file.open(builder));
        let mut opened = Self::open_with(opener, check, &store)?;
        let size = || fs::metadata(path).map_or(0, |metadata| metadata.len());
        let compacted = opened.compact(&store, size);
        compacted.map_err(|error| OutboxError::Failed { store, error })?;
        Ok(opened)
    }

    /// Opens a database that `opener` finds.
    pub(crate) fn open_with(opener: Opener, check: bool, store: &str) -> Result<Self, OutboxError> {
        let database = open_database(&opener, check, store).map_err(|error| error.of(store))?;
        Ok(Self {
            opener,
            database: Some(database),
        })
    }

    /// Makes the file smaller, if most of it is free and little is to be moved for that. A file that cannot be made smaller is used as it
    /// is, once it is opened again.
    pub(super) fn compact(
        &mut self,
        outbox: &str,
        size: impl Fn() -> u64,
    ) -> Result<(), StoreError> {
        let before = size();
        let Some(database) = self.database.as_mut().filter(|_| before >= COMPACT_FROM) else {
            return Ok(());
        };
        let in_use = match bytes_in_use(database) {
            Ok(in_use) => in_use,
            Err(error) => {
                tracing::debug!(%error, "it is not known how much of an outbox is free");
                return self.reopen();
            }
        };
        if in_use > before / 2 || in_use > COMPACT_MOST {
            return Ok(());
        }
        let compacted = guarded(|| database.compact().map_err(|error| error.to_string()));
        let after = size();
        match compacted.flatten() {
            Ok(_) => {
                tracing::info!(
                    outbox,
                    before,
                    after,
                    "most of the file of an outbox was free: it is smaller now"
                );
                Ok(())
            }
            Err(error) => {
                tracing::debug!(
                    outbox,
                    error,
                    "the file of an outbox stays as large as it is"
                );
                // After an error it does nothing more.
                self.reopen()
            }
        }
    }

    fn database(&self) -> Result<&Database, StoreError> {
        let database = self.database.as_ref();
        database.ok_or_else(|| StoreError::new("the store is not open after an earlier error"))
    }
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

impl OutboxStore for RedbStore {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut transaction = self.database()?.begin_write().map_err(StoreError::new)?;
        // A file that power cuts and something else have changed is then refused, and never taken for the
        // state before its last commit.
        transaction.set_two_phase_commit(true);
        for &name in Table::ALL {
            let concerns = |change: &&Change<'_>| match change {
                Change::Put { table, .. } | Change::Remove { table, .. } => *table == name,
            };
            let mut here = changes.iter().filter(concerns).peekable();
            if here.peek().is_none() {
                continue;
            }
            let mut table = transaction
                .open_table(definition(name))
                .map_err(StoreError::new)?;
            for change in here {
                match change {
                    Change::Put { key, value, .. } => table.insert(key, value).map(drop),
                    Change::Remove { key, .. } => table.remove(key).map(drop),
                }
                .map_err(StoreError::new)?;
            }
        }
        transaction.commit().map_err(StoreError::new)
    }

    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let transaction = self.database()?.begin_read().map_err(StoreError::new)?;
        let table = match transaction.open_table(definition(table)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(StoreError::new(error)),
        };
        for entry in table.range(from..).map_err(StoreError::new)? {
            let (key, value) = entry.map_err(StoreError::new)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        // The lock of the file is free only when the old database is gone.
        self.database = None;
        let database = (self.opener)(&builder()).map_err(StoreError::new)?;
        self.database = Some(database);
        Ok(())
    }
}

/// Bytes of the file that hold something.
fn bytes_in_use(database: &Database) -> Result<u64, StoreError> {
    let transaction = database.begin_write().map_err(StoreError::new)?;
    let stats = transaction.stats().map_err(StoreError::new)?;
    transaction.abort().map_err(StoreError::new)?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}

/// Why a database is not opened.
enum Refusal {
    Locked,
    Foreign(String),
    Damaged(String),
    Failed(String),
}

impl Refusal {
    fn of(self, store: &str) -> OutboxError {
        let store = store.to_owned();
        match self {
            Self::Locked => OutboxError::Locked { store },
            Self::Foreign(detail) => OutboxError::Foreign { store, detail },
            Self::Damaged(detail) => OutboxError::Damaged { store, detail },
            Self::Failed(problem) => OutboxError::Failed {
                store,
                error: StoreError::new(problem),
            },
        }
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            DatabaseError::UpgradeRequired(version) => {
                Self::Foreign(format!("it is a redb file of version {version}"))
            }
            DatabaseError::Storage(StorageError::Corrupted(detail)) => Self::Damaged(detail),
            DatabaseError::Storage(StorageError::Io(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Refuses what is no outbox at first sight, without opening it for writing.
fn look_at(path: &Path) -> Result<(), Refusal> {
    let failed = |error: io::Error| Refusal::Failed(error.to_string());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Refusal::Foreign("it is not a file".to_owned()));
    }
    let mut head = Vec::new();
    let limit = MAGIC.len() as u64;
    Read::take(&mut file, limit)
        .read_to_end(&mut head)
        .map_err(failed)?;
    if head.is_empty() {
        return Ok(());
    }
    if head != MAGIC {
        return Err(Refusal::Foreign("it does not begin as one".to_owned()));
    }
    drop(file);
    // One that was not closed in order, or is damaged, cannot be read so; it is looked at when it is open.
    guarded(|| match builder().open_read_only(path) {
        Ok(database) => check_tables(&database),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(Refusal::Locked),
        Err(_) => Ok(()),
    })
    .unwrap_or(Ok(()))
}

/// Refuses the database of another program.
fn check_tables(database: &impl ReadableDatabase) -> Result<(), Refusal> {
    let failed = |error: &dyn ToString| Refusal::Failed(error.to_string());
    let transaction = database.begin_read().map_err(|error| failed(&error))?;
    let tables = transaction.list_tables().map_err(|error| failed(&error))?;
    let mut names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    names.sort();
    let ours = |name: &String| Table::ALL.iter().any(|table| table.name() == name);
    let has_meta = names.iter().any(|name| name == Table::Meta.name());
    if names.is_empty() || (has_meta && names.iter().all(ours)) {
        return Ok(());
    }
    Err(Refusal::Foreign(format!(
        "it is a redb file with the tables {}",
        names.join(", ")
    )))
}

fn open_database(opener: &Opener, check: bool, store: &str) -> Result<Database, Refusal> {
    let mut builder = builder();
    builder.set_check_integrity_on_open(check);
    let name = store.to_owned();
    builder.set_repair_callback(move |session| {
        let percent = (session.progress() * 100.0) as u32;
        tracing::info!(
            outbox = name,
            percent,
            "an outbox that was not closed is recovered"
        );
    });
    let opened = guarded(|| {
        let database = opener(&builder)?;
        check_tables(&database)?;
        Ok(database)
    });
    // Damage that its checks have not found.
    opened.unwrap_or_else(|text| Err(Refusal::Damaged(text)))
}

/// The result of `work`, or the text of its panic: some damage is found by assertions alone.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("its content contradicts itself").to_owned()
    })
}

/// The file at a path, once it was opened: after an error no other one is opened in its place, and none is made. A volume may have gone,
/// and what stands there now is not ours.
struct DatabaseFile {
    path: PathBuf,
    opened: OnceLock<FileId>,
}

impl DatabaseFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            opened: OnceLock::new(),
        }
    }

    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        if self.opened.get().is_none() && !self.path.exists() {
            create_file(builder, &self.path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let id = id_of(&file)?;
        if *self.opened.get_or_init(|| id) != id {
            return Err(io::Error::other("another file is in its place").into());
        }
        builder.create_with_backend(FileBackend::new(file)?)
    }
}

/// What tells a file from others, as far as the system says it.
#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
fn id_of(file: &File) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
type FileId = ();

#[cfg(not(unix))]
fn id_of(_: &File) -> io::Result<FileId> {
    Ok(())
}

/// Makes an empty database, which has its name only once it is one: a power cut in between would leave a file that is
/// none.
fn create_file(builder: &Builder, path: &Path) -> Result<(), DatabaseError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", MessageId::random()));
    let new = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    // Messages are nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = (options.open(&new).map_err(DatabaseError::from))
        .and_then(|file| builder.create_with_backend(FileBackend::new(file)?))
        .and_then(Database::close);
    let named = made.and_then(|()| match fs::hard_link(&new, path) {
        Ok(()) => Ok(()),
        // Somebody else was faster, and theirs is opened.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links.
        Err(_) => fs::rename(&new, path).map_err(DatabaseError::from),
    });
    // After a rename it is gone already.
    let _ = fs::remove_file(&new);
    named?;
    Ok(sync_directory_of(path)?)
}

/// A new file outlives a power cut only once its directory does.
#[cfg(unix)]
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory_of(_: &Path) -> io::Result<()> {
    Ok(())
}
