//! The socket file of an endpoint: for its owner alone, in a directory for its owner alone.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::error::InspectionError;
use crate::transport::{SocketFile, is_abandoned};

/// Bytes of a path that every system takes: addresses have 104 or 108, with a zero behind them.
const PATH_BYTES: usize = 100;

/// Listens at `path`. A socket file on which nobody listens is replaced; anything else that stands there is left.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), InspectionError> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_BYTES {
        let path = path.to_owned();
        return Err(InspectionError::TooLong { path, length });
    }
    let io = |source| InspectionError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_private(directory).map_err(io)?;
    let owner = private_owner(directory, io)?;
    // Nobody else is in this directory. Two processes of one user that begin at the same moment wait for each other.
    let lock = fs::File::open(directory).map_err(io)?;
    lock.lock().map_err(io)?;
    remove_stale(path)?;
    let listener = UnixListener::bind(path).map_err(io)?;
    let file = SocketFile::bound_at(path).map_err(io)?;
    let ours = fs::symlink_metadata(path).map_err(io)?.uid();
    if ours != owner {
        return Err(open_directory(
            directory,
            "belongs to another user".to_owned(),
        ));
    }
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    drop(lock);
    Ok((listener, file))
}

fn make_private(directory: &Path) -> io::Result<()> {
    if directory.exists() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// The owner of a directory that nobody else can enter.
fn private_owner(
    directory: &Path,
    io: impl Fn(io::Error) -> InspectionError,
) -> Result<u32, InspectionError> {
    let found = fs::metadata(directory).map_err(&io)?;
    if !found.is_dir() {
        return Err(io(io::ErrorKind::NotADirectory.into()));
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("can be entered or read by others (its mode is {mode:o})");
        return Err(open_directory(directory, problem));
    }
    Ok(found.uid())
}

fn open_directory(directory: &Path, problem: String) -> InspectionError {
    InspectionError::OpenDirectory {
        directory: directory.to_owned(),
        problem,
    }
}

/// Removes what a process has left that is gone.
fn remove_stale(path: &Path) -> Result<(), InspectionError> {
    let path = path.to_owned();
    let Ok(found) = fs::symlink_metadata(&path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(InspectionError::NoSocketFile { path });
    }
    if !is_abandoned(&path) {
        return Err(InspectionError::InUse { path });
    }
    fs::remove_file(&path).map_err(|source| InspectionError::Io { path, source })
}
