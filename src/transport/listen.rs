//! Listening sockets, and what can go wrong with them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use super::accept::{Accepted, RawStream};
use super::memory::MemoryListener;
use super::options::BindOptions;
use super::resolve;
use super::tcp_listeners::{Listener, ListensAlready, SocketListeners};
#[cfg(unix)]
use super::unix::UnixAcceptor;
use crate::address::{Endpoint, PeerAddress, Scheme};

/// Accepts connections on one endpoint.
///
/// One task at a time may wait for the next connection. Dropping it closes the endpoint.
#[derive(Debug)]
pub(crate) struct Acceptor {
    endpoint: Endpoint,
    listeners: Listeners,
    options: Arc<BindOptions>,
}

#[derive(Debug)]
enum Listeners {
    /// Every address of the host, all on one port; `turn` is which one is asked first.
    Tcp {
        listeners: Vec<Arc<Listener>>,
        turn: AtomicUsize,
    },
    #[cfg(unix)]
    Unix(UnixAcceptor),
    Memory(MemoryListener),
}

impl Acceptor {
    /// Binds `endpoint` and listens, beside the other endpoints of the same socket. A host that resolves to several addresses is bound on every
    /// one that this machine has, all on the same port.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] of the system's kind whose text says what failed, for which endpoint, and
    /// what to do about it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub(crate) async fn listen(
        endpoint: &Endpoint,
        options: &BindOptions,
        ours: &SocketListeners,
    ) -> io::Result<Self> {
        listen(endpoint, options, ours)
            .await
            .map_err(|source| explain(endpoint, source))
    }

    /// The endpoint with the port that was really bound.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// The next connection, which nothing has been read from or written to.
    ///
    /// # Errors
    ///
    /// What the system answers; [`AcceptFault::of`] says what to do about it. The acceptor stays
    /// usable after every error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    #[cfg(test)]
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection, which nothing has been read from or written to. Only the last task that
    /// polled is woken. Errors are those of the system; [`AcceptFault::of`] says what to do about
    /// them, and the acceptor stays usable after each.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.listeners {
            Listeners::Tcp { listeners, turn } => self.poll_tcp(listeners, turn, cx),
            #[cfg(unix)]
            Listeners::Unix(listener) => listener.poll_accept(cx).map(|accepted| {
                let (stream, peer) = accepted?;
                Ok(self.accepted(peer, RawStream::Unix(stream.into_std()?)))
            }),
            Listeners::Memory(listener) => listener.poll_accept(cx).map(|accepted| {
                let peer = PeerAddress::Memory(listener.name().into());
                Ok(self.accepted(peer, RawStream::Memory(accepted?)))
            }),
        }
    }

    /// Asks each listener once, beginning with another one each time.
    fn poll_tcp(
        &self,
        listeners: &[Arc<Listener>],
        turn: &AtomicUsize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Accepted>> {
        let first = turn.fetch_add(1, Ordering::Relaxed) % listeners.len();
        let (behind, ahead) = listeners.split_at(first);
        for listener in ahead.iter().chain(behind) {
            if let Poll::Ready(result) = listener.poll_accept(cx) {
                return Poll::Ready(result.map(|(stream, address)| {
                    self.accepted(PeerAddress::Socket(address), RawStream::Tcp(stream))
                }));
            }
        }
        Poll::Pending
    }

    fn accepted(&self, remote: PeerAddress, raw: RawStream) -> Accepted {
        Accepted::new(remote, raw, Arc::clone(&self.options))
    }
}

async fn listen(
    endpoint: &Endpoint,
    options: &BindOptions,
    ours: &SocketListeners,
) -> io::Result<Acceptor> {
    check_origins(options)?;
    let endpoint = &advertised(endpoint, options)?;
    let (listeners, endpoint) = match endpoint.scheme() {
        Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss => {
            let addresses = resolve::resolve(endpoint).await?;
            let listeners = ours.listen(&addresses, options.backlog)?;
            let port = listeners[0].address().port();
            let turn = AtomicUsize::new(0);
            (
                Listeners::Tcp { listeners, turn },
                endpoint.clone().with_port(port),
            )
        }
        #[cfg(unix)]
        Scheme::Unix => {
            let path = Path::new(endpoint.path().unwrap_or_default());
            (
                Listeners::Unix(UnixAcceptor::bind(path, options).await?),
                endpoint.clone(),
            )
        }
        Scheme::Memory => {
            let name = endpoint.name().unwrap_or_default();
            let listener = MemoryListener::bind(name, options.backlog)?;
            (Listeners::Memory(listener), endpoint.clone())
        }
        #[cfg(not(unix))]
        Scheme::Unix => return Err(unsupported()),
    };
    Ok(Acceptor {
        endpoint,
        listeners,
        options: Arc::new(options.clone()),
    })
}

/// An origin that no browser sends would admit nobody.
fn check_origins(options: &BindOptions) -> io::Result<()> {
    let mut origins = options.allowed_origins.iter();
    let checked = origins.try_for_each(|origin| super::origin::check(origin));
    checked.map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// The endpoint with the scheme that peers have to use: TLS never goes without its configuration,
/// nor a configuration unused.
#[cfg(feature = "tls")]
fn advertised(endpoint: &Endpoint, options: &BindOptions) -> io::Result<Endpoint> {
    match &options.tls {
        Some(_) => Ok(endpoint.clone().secured()),
        None if endpoint.scheme().is_secure() => {
            let reason = "TLS needs a certificate: pass one with BindOptions::tls";
            Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
        }
        None => Ok(endpoint.clone()),
    }
}

#[cfg(not(feature = "tls"))]
fn advertised(endpoint: &Endpoint, _: &BindOptions) -> io::Result<Endpoint> {
    if endpoint.scheme().is_secure() {
        return Err(unsupported());
    }
    Ok(endpoint.clone())
}

#[cfg(not(all(unix, feature = "tls")))]
fn unsupported() -> io::Error {
    let reason = "the scheme is not available in this build";
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

/// Adds to the system's answer what was tried and what can be done.
fn explain(endpoint: &Endpoint, source: io::Error) -> io::Error {
    let path = match endpoint.scheme() {
        Scheme::Unix => endpoint.path().map(Path::new),
        _ => None,
    };
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse if path.is_some_and(holds_no_socket) => {
            "; something that is no socket is there: remove it or choose another path"
        }
        io::ErrorKind::NotFound if path.is_some() => {
            "; its folder is not there, or takes no sockets: create it or choose another path"
        }
        // The error says it.
        io::ErrorKind::AddrInUse if source.get_ref().is_some_and(|e| e.is::<ListensAlready>()) => {
            ""
        }
        // One of this socket, or another.
        io::ErrorKind::AddrInUse if matches!(endpoint.scheme(), Scheme::Unix | Scheme::Memory) => {
            "; a socket listens there already: stop it or choose another endpoint"
        }
        io::ErrorKind::AddrInUse => {
            "; another socket listens there: stop it or choose another endpoint"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: bind 0.0.0.0 or [::] for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "; this process may not: choose a port above 1023 or a path that it may write to"
        }
        _ => "",
    };
    io::Error::new(
        source.kind(),
        ListenError {
            sentence: format!("cannot listen on {endpoint}: {source}{advice}"),
            source,
        },
    )
}

/// Whether a file, a folder or a link stands at the path of a socket.
#[cfg(unix)]
fn holds_no_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    let kind = std::fs::symlink_metadata(path).map(|file| file.file_type());
    kind.is_ok_and(|kind| !kind.is_socket())
}

#[cfg(not(unix))]
const fn holds_no_socket(_: &Path) -> bool {
    false
}

#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
struct ListenError {
    sentence: String,
    source: io::Error,
}

/// Remedy for an error of [`Acceptor::poll_accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFault {
    /// One connection failed before it was accepted: go on at once.
    Connection,
    /// Descriptors or memory have run out: pause, then go on.
    Exhausted,
    /// The listening socket itself is broken: give it up.
    Fatal,
}

impl AcceptFault {
    /// Classifies an error of [`Acceptor::poll_accept`].
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        if is_descriptor_exhaustion(error) {
            return Self::Exhausted;
        }
        match error.kind() {
            Kind::InvalidInput | Kind::Unsupported => Self::Fatal,
            // `EBADF`, `EINVAL` and `ENOTSOCK` have no kind of their own but the first.
            _ if matches!(error.raw_os_error(), Some(9 | 88)) && cfg!(target_os = "linux") => {
                Self::Fatal
            }
            // Linux reports a connection's pending network errors from accept: all of them pass.
            _ => Self::Connection,
        }
    }
}

/// True if descriptors or kernel memory have run out: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
/// More connections will not fail faster, so the accept loop has to pause.
pub(crate) fn is_descriptor_exhaustion(error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::OutOfMemory {
        return true;
    }
    let Some(code) = error.raw_os_error() else {
        return false;
    };
    if cfg!(windows) {
        // WSAEMFILE and WSAENOBUFS.
        return matches!(code, 10024 | 10055);
    }
    let no_buffers = if cfg!(any(target_os = "linux", target_os = "android")) {
        105
    } else {
        55
    };
    // ENOMEM, ENFILE and EMFILE have the same number on every Unix.
    matches!(code, 12 | 23 | 24) || code == no_buffers
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
