//! Unix-domain sockets: binding one over what an earlier process left, and removing it again.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use super::options::BindOptions;
use super::socket_file::{SocketFile, is_abandoned};
use crate::address::PeerAddress;

/// Attempts for the directory that another process is binding in, and the pause between them:
/// one second in all.
const LOCK_ATTEMPTS: usize = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Listens on a socket file, which it removes when it is dropped.
#[derive(Debug)]
pub(super) struct UnixAcceptor {
    listener: UnixListener,
    file: SocketFile,
}

impl UnixAcceptor {
    /// Binds `path`. A socket file on which nobody listens is replaced; anything else that stands
    /// there is `AddrInUse`.
    pub(super) async fn bind(path: &Path, options: &BindOptions) -> io::Result<Self> {
        let lock = lock_directory_of(path).await?;
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
                fs::remove_file(path)?;
                socket.bind(&address)?;
            }
            done => done?,
        }
        let file = SocketFile::bound_at(path)?;
        // Until it listens nobody gets in, so the permissions leave no gap.
        let listening = set_mode(path, options.unix_mode)
            .and_then(|()| socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX)))
            .and_then(|()| UnixListener::from_std(std::os::unix::net::UnixListener::from(socket)));
        drop(lock);
        Ok(Self {
            listener: listening?,
            file,
        })
    }

    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(UnixStream, PeerAddress)>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        let peer = peer_of(&stream, self.file.path());
        Poll::Ready(Ok((stream, peer)))
    }
}

/// Connects to the socket at `path`; the answer names the process that listens there.
pub(super) async fn connect(path: &Path) -> io::Result<(UnixStream, PeerAddress)> {
    let stream = UnixStream::connect(path).await?;
    let peer = peer_of(&stream, path);
    Ok((stream, peer))
}

fn peer_of(stream: &UnixStream, path: &Path) -> PeerAddress {
    let peer = stream.peer_cred().ok();
    PeerAddress::Unix {
        path: path.into(),
        user: peer.as_ref().map(tokio::net::unix::UCred::uid),
        process: peer.as_ref().and_then(tokio::net::unix::UCred::pid),
    }
}

/// Keeps two processes that both find a stale file from removing each other's new one: between
/// `bind` and `listen` a live socket looks stale. The lock is on the directory itself and leaves
/// nothing behind; a directory that may not be read is used without it.
async fn lock_directory_of(path: &Path) -> io::Result<Option<File>> {
    let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) else {
        return Ok(None);
    };
    for _ in 0..LOCK_ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn set_mode(path: &Path, mode: Option<u32>) -> io::Result<()> {
    match mode {
        Some(mode) => fs::set_permissions(path, Permissions::from_mode(mode)),
        None => Ok(()),
    }
}
