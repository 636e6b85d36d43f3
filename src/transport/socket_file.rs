//! Files of Unix sockets: whether somebody listens at one, and who removes it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Tells a file from others at its path: device, inode and when it was made, because the numbers of removed files are given again.
type FileKey = (u64, u64, i64, i64);

/// A socket file of ours, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    file: FileKey,
}

impl SocketFile {
    /// The file that has just been bound.
    pub(crate) fn bound_at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            file: file_of(path)?,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if file_of(&self.path).is_ok_and(|file| file == self.file) {
            // Whoever made the directory may have removed it already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_of(path: &Path) -> io::Result<FileKey> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// True for a socket file whose listener is gone. It does not wait for anybody.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && probe(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose backlog is full would make a blocking connect wait.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    /// A listener that nobody serves, with room for hardly anybody.
    fn bound(name: &str) -> (Socket, PathBuf) {
        let name = format!("aiomsg-file-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        (listener, path)
    }

    #[test]
    fn a_listener_whose_backlog_is_full_is_neither_abandoned_nor_waited_for() {
        let (_listener, path) = bound("full");
        let file = SocketFile::bound_at(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            match socket.connect(&SockAddr::unix(&path).unwrap()) {
                Ok(()) => waiting.push(socket),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(!is_abandoned(file.path()));
    }

    #[test]
    fn what_a_dead_listener_left_is_abandoned_and_only_our_own_file_is_removed() {
        let (listener, path) = bound("left");
        let file = SocketFile::bound_at(&path).unwrap();
        assert!(!is_abandoned(&path));
        drop(listener);
        assert!(is_abandoned(&path));
        // It is kept by another name, so that its number is not given again.
        let kept = path.with_extension("kept");
        fs::rename(&path, &kept).unwrap();
        fs::write(&path, "of somebody else").unwrap();
        assert!(!is_abandoned(&path), "it is no socket");
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::remove_file(&kept).unwrap();
    }
}
