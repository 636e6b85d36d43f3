//! Listening sockets, and what can go wrong with them.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::net::TcpListener;

use super::accept::{Accepted, RawStream};
use super::endpoint::{Endpoint, Scheme};
use super::meta::PeerAddress;
use super::options::BindOptions;
use super::{resolve, tcp};

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
        listeners: Vec<TcpListener>,
        turn: AtomicUsize,
    },
}

impl Acceptor {
    /// Binds `endpoint` and listens. A host that resolves to several addresses is bound on every
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
    pub(crate) async fn listen(endpoint: &Endpoint, options: &BindOptions) -> io::Result<Self> {
        listen(endpoint, options)
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
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same as [`accept`](Self::accept), for a hand-written future. Only the last task that
    /// polled is woken.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.listeners {
            Listeners::Tcp { listeners, turn } => self.poll_tcp(listeners, turn, cx),
        }
    }

    /// Asks each listener once, beginning with another one each time.
    fn poll_tcp(
        &self,
        listeners: &[TcpListener],
        turn: &AtomicUsize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Accepted>> {
        let first = turn.fetch_add(1, Ordering::Relaxed) % listeners.len();
        let (behind, ahead) = listeners.split_at(first);
        for listener in ahead.iter().chain(behind) {
            if let Poll::Ready(result) = listener.poll_accept(cx) {
                return Poll::Ready(result.and_then(|(stream, address)| {
                    let raw = RawStream::Tcp(stream.into_std()?);
                    Ok(Accepted::new(
                        PeerAddress::Socket(address),
                        raw,
                        Arc::clone(&self.options),
                    ))
                }));
            }
        }
        Poll::Pending
    }
}

async fn listen(endpoint: &Endpoint, options: &BindOptions) -> io::Result<Acceptor> {
    let options = Arc::new(options.clone());
    match endpoint.scheme() {
        Scheme::Tcp => {
            let addresses = resolve::resolve(endpoint).await?;
            let listeners = tcp::listen_all(&addresses, options.backlog)?;
            let port = listeners[0].local_addr()?.port();
            let listeners = Listeners::Tcp {
                listeners,
                turn: AtomicUsize::new(0),
            };
            Ok(Acceptor {
                endpoint: endpoint.clone().with_port(port),
                listeners,
                options,
            })
        }
        Scheme::Tls | Scheme::Ws | Scheme::Wss | Scheme::Unix | Scheme::Memory => {
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the scheme is not available in this build",
            ))
        }
    }
}

/// Adds to the system's answer what was tried and what can be done.
fn explain(endpoint: &Endpoint, source: io::Error) -> io::Error {
    let advice = match source.kind() {
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

#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
struct ListenError {
    sentence: String,
    source: io::Error,
}

/// What an error of [`Acceptor::accept`] asks for.
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
    /// Classifies an error of [`Acceptor::accept`].
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

/// Whether descriptors or kernel memory have run out: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
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
