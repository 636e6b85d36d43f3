//! The connect end: from an endpoint to a connection that is ready for its first frame.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::error::TransportError;
use super::meta::{ConnectionMeta, Established};
use super::options::ConnectOptions;
use super::stream::ByteStream;
use super::tcp_race::{AttemptFailure, Attempted, TcpRace};
use super::{memory, resolve, tcp, websocket};
use crate::address::{Endpoint, PeerAddress, Scheme, TransportKind};
use crate::clock;

/// One address of an endpoint, tried up to the connection that everything travels in.
#[derive(Debug)]
pub(crate) struct Try {
    /// The place that was tried.
    pub(crate) address: PeerAddress,
    /// When it began.
    pub(crate) since: Instant,
    /// The connection, or the reason why there is none.
    pub(crate) result: Result<Connected, TransportError>,
}

/// A connection that stands, before the handshakes below the first frame.
#[derive(Debug)]
pub(crate) struct Connected {
    stream: ByteStream,
    meta: ConnectionMeta,
}

/// All addresses of an endpoint, one dial of them.
///
/// TCP attempts at the addresses of a name are raced; each has the connect timeout for itself.
pub(crate) struct Dial<'a> {
    endpoint: &'a Endpoint,
    options: &'a ConnectOptions,
    route: DialRoute,
}

enum DialRoute {
    Tcp(TcpRace),
    /// A place of this machine, until it has been tried.
    Local,
    Tried,
}

async fn resolve(endpoint: &Endpoint, limit: Duration) -> Result<Vec<SocketAddr>, TransportError> {
    let resolved = timeout(limit, resolve::resolve(endpoint)).await;
    let late = |_| {
        let text = format!("the resolver did not answer within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    };
    resolved.unwrap_or_else(late).map_err(|source| {
        let endpoint = endpoint.clone();
        TransportError::Resolve { endpoint, source }
    })
}

impl<'a> Dial<'a> {
    /// Resolves the host of `endpoint` anew, within `limit`. The addresses of `last` are tried after all others.
    ///
    /// # Errors
    ///
    /// [`TransportError::Resolve`].
    pub(crate) async fn begin(
        endpoint: &'a Endpoint,
        options: &'a ConnectOptions,
        limit: Duration,
        last: &[PeerAddress],
    ) -> Result<Self, TransportError> {
        let route = match endpoint.scheme() {
            Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss => {
                let addresses = match &options.addresses {
                    Some(addresses) => addresses.clone(),
                    None => resolve(endpoint, limit).await?,
                };
                let last: Vec<_> = last.iter().filter_map(PeerAddress::socket_addr).collect();
                DialRoute::Tcp(TcpRace::new(addresses, &last, options.tcp_timeout()))
            }
            Scheme::Unix | Scheme::Memory => DialRoute::Local,
        };
        Ok(Self {
            endpoint,
            options,
            route,
        })
    }

    /// The places that have not been tried to the end, as a list.
    pub(crate) fn places(&self) -> String {
        match &self.route {
            DialRoute::Tcp(race) => race.places(),
            DialRoute::Local | DialRoute::Tried => self.endpoint.to_string(),
        }
    }

    /// The next address that connects or fails; `None` when all have been tried. What is to follow a connection
    /// is done before this is called again: meanwhile no other address is dialled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up a local connection, and no TCP attempt.
    pub(crate) async fn next(&mut self) -> Option<Try> {
        match &mut self.route {
            DialRoute::Tcp(race) => {
                let attempted = race.next().await?;
                Some(self.tried_tcp(attempted))
            }
            DialRoute::Local => {
                self.route = DialRoute::Tried;
                Some(self.try_local().await)
            }
            DialRoute::Tried => None,
        }
    }

    fn tried_tcp(&self, attempted: Attempted) -> Try {
        let address = PeerAddress::Socket(attempted.address);
        let result = match attempted.result {
            Ok((stream, local)) => tcp::tune(&stream, &self.options.tcp)
                .map_err(TransportError::io("setting up the TCP stream"))
                .map(|()| Connected {
                    stream: ByteStream::Tcp(stream),
                    meta: ConnectionMeta {
                        remote: address.clone(),
                        local: PeerAddress::Socket(local),
                        transport: TransportKind::Tcp,
                        certificates: None,
                        request: None,
                    },
                }),
            Err(AttemptFailure::Refused(source)) => {
                let source = explain_unspecified(attempted.address, source);
                Err(refuse(self.endpoint, address.clone())(source))
            }
            Err(AttemptFailure::TimedOut) => Err(TransportError::ConnectTimeout {
                endpoint: self.endpoint.clone(),
                address: address.clone(),
                timeout: self.options.tcp_timeout(),
            }),
        };
        Try {
            address,
            since: attempted.since,
            result,
        }
    }

    async fn try_local(&self) -> Try {
        let since = clock::now();
        let address = match self.endpoint.scheme() {
            Scheme::Unix => PeerAddress::of_path(self.endpoint.path().unwrap_or_default()),
            _ => PeerAddress::Memory(self.endpoint.name().unwrap_or_default().into()),
        };
        let connected = match self.endpoint.scheme() {
            Scheme::Unix => dial_unix(self.endpoint).await,
            _ => dial_memory(self.endpoint, self.options).await,
        };
        Try {
            address,
            since,
            result: connected.map(|(stream, meta)| Connected { stream, meta }),
        }
    }
}

impl Connected {
    /// The address of the peer.
    pub(crate) const fn remote(&self) -> &PeerAddress {
        &self.meta.remote
    }

    /// TLS and the WebSocket upgrade, where the endpoint or the options ask for them. They wait for the
    /// peer as long as the peer likes: call it under the handshake timeout.
    ///
    /// # Errors
    ///
    /// [`TransportError`]; its variant names the step that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn establish(
        self,
        endpoint: &Endpoint,
        options: &ConnectOptions,
    ) -> Result<Established, TransportError> {
        let (mut stream, mut meta) = secure(self.stream, self.meta, endpoint, options).await?;
        if let Scheme::Ws | Scheme::Wss = endpoint.scheme() {
            let upgraded = websocket::connect(stream, endpoint, &options.headers).await?;
            stream = ByteStream::WebSocket(Box::new(upgraded));
            meta.transport = meta.transport.upgraded();
        }
        Ok(Established {
            stream,
            already_read: Bytes::new(),
            meta,
        })
    }
}

/// All steps, without a handshake timeout, at the first address that connects.
#[cfg(test)]
pub(crate) async fn dial(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Established, TransportError> {
    let mut dial = Dial::begin(endpoint, options, Duration::from_secs(10), &[]).await?;
    let mut last = None;
    while let Some(tried) = dial.next().await {
        match tried.result {
            Ok(connected) => return connected.establish(endpoint, options).await,
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("an endpoint has an address"))
}

/// TLS, if the scheme or the options ask for it.
#[cfg(feature = "tls")]
async fn secure(
    stream: ByteStream,
    mut meta: ConnectionMeta,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let tls = match &options.tls {
        Some(tls) => tls.clone(),
        None if endpoint.scheme().is_secure() => super::tls::system_client().await?,
        None => return Ok((stream, meta)),
    };
    let (stream, certificates) = super::tls::connect(stream, &tls, endpoint.host()).await?;
    meta.transport = TransportKind::Tls;
    meta.certificates = certificates;
    Ok((stream, meta))
}

#[cfg(not(feature = "tls"))]
async fn secure(
    stream: ByteStream,
    meta: ConnectionMeta,
    endpoint: &Endpoint,
    _: &ConnectOptions,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    match endpoint.scheme() {
        scheme if scheme.is_secure() => Err(TransportError::unsupported()),
        _ => Ok((stream, meta)),
    }
}

#[cfg(unix)]
async fn dial_unix(endpoint: &Endpoint) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let path = std::path::Path::new(endpoint.path().unwrap_or_default());
    let local = PeerAddress::of_path(path);
    let (stream, remote) = super::unix::connect(path)
        .await
        .map_err(|error| explain_unix(path, error))
        .map_err(refuse(endpoint, local.clone()))?;
    let meta = ConnectionMeta {
        remote,
        local,
        transport: TransportKind::Unix,
        certificates: None,
        request: None,
    };
    Ok((ByteStream::Unix(stream), meta))
}

/// The system says of a file or a folder what it says of a socket that nobody listens at.
#[cfg(unix)]
fn explain_unix(path: &std::path::Path, error: io::Error) -> io::Error {
    use std::os::unix::fs::FileTypeExt;

    let found = std::fs::metadata(path).map(|found| found.file_type());
    match error.kind() {
        io::ErrorKind::ConnectionRefused if found.is_ok_and(|found| !found.is_socket()) => {
            io::Error::new(error.kind(), "something that is no socket is there")
        }
        _ => error,
    }
}

#[cfg(not(unix))]
async fn dial_unix(_: &Endpoint) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    Err(TransportError::unsupported())
}

async fn dial_memory(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let name = endpoint.name().unwrap_or_default();
    let remote = PeerAddress::Memory(name.into());
    let stream = memory::connect(name, options.tcp_timeout())
        .await
        .map_err(refuse(endpoint, remote.clone()))?;
    let meta = ConnectionMeta {
        local: remote.clone(),
        remote,
        transport: TransportKind::Memory,
        certificates: None,
        request: None,
    };
    Ok((ByteStream::Memory(stream), meta))
}

/// Whoever listens at all addresses of another machine is not found at what stands for them.
fn explain_unspecified(address: SocketAddr, error: io::Error) -> io::Error {
    match address.ip() {
        ip if ip.is_unspecified() => {
            let advice = "means this very machine here; name the host of the bind end";
            io::Error::new(error.kind(), format!("{error}; {ip} {advice}"))
        }
        _ => error,
    }
}

/// For `map_err`: the system's refusal to connect to `address`.
fn refuse(endpoint: &Endpoint, address: PeerAddress) -> impl FnOnce(io::Error) -> TransportError {
    let endpoint = endpoint.clone();
    move |source| TransportError::Connect {
        endpoint,
        address,
        source,
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
