//! The connect end: from an endpoint to a connection that is ready for its first frame.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::TransportError;
use super::meta::{ConnectionMeta, Established};
use super::options::ConnectOptions;
use super::stream::ByteStream;
use super::{memory, resolve, tcp, websocket};
use crate::address::{Endpoint, PeerAddress, Scheme, TransportKind};

/// A connection that stands, before the handshakes below the first frame.
#[derive(Debug)]
pub(crate) struct Connected {
    stream: ByteStream,
    meta: ConnectionMeta,
}

/// Connects to `endpoint`: resolves its host anew and tries each address in turn. The connect timeout
/// is for each address.
///
/// # Errors
///
/// [`TransportError`], of the last address if several were tried; its variant names the step that
/// failed.
///
/// # Cancel safety
///
/// Dropping the future closes what was connected.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Connected, TransportError> {
    let (stream, meta) = match endpoint.scheme() {
        Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss => dial_tcp(endpoint, options).await?,
        Scheme::Unix => dial_unix(endpoint).await?,
        Scheme::Memory => dial_memory(endpoint, options).await?,
    };
    Ok(Connected { stream, meta })
}

impl Connected {
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
            let upgraded = websocket::connect(stream, endpoint).await?;
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

/// Both steps, without a handshake timeout.
#[cfg(test)]
pub(crate) async fn dial(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Established, TransportError> {
    let connected = connect(endpoint, options).await?;
    connected.establish(endpoint, options).await
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

async fn dial_tcp(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let (stream, local, remote) = connect_tcp(endpoint, options).await?;
    let io = || TransportError::io("setting up the TCP stream");
    tcp::tune(&stream, &options.tcp).map_err(io())?;
    let (local, remote) = (PeerAddress::Socket(local), PeerAddress::Socket(remote));
    let meta = ConnectionMeta {
        remote,
        local,
        transport: TransportKind::Tcp,
        certificates: None,
        request: None,
    };
    Ok((ByteStream::Tcp(stream), meta))
}

/// A stream, with the address of its own end and the one that was dialled.
async fn connect_tcp(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(TcpStream, SocketAddr, SocketAddr), TransportError> {
    let addresses = resolve::resolve(endpoint)
        .await
        .map_err(|source| TransportError::Resolve {
            endpoint: endpoint.clone(),
            source,
        })?;
    let mut last = None;
    for address in addresses {
        let remote = PeerAddress::Socket(address);
        last = Some(
            match timeout(options.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => match stream.local_addr() {
                    Ok(local) if is_self_connected(&stream, local, address) => {
                        refuse(endpoint, remote)(io::ErrorKind::ConnectionRefused.into())
                    }
                    Ok(local) => return Ok((stream, local, address)),
                    Err(source) => refuse(endpoint, remote)(source),
                },
                Ok(Err(source)) => refuse(endpoint, remote)(source),
                Err(_) => TransportError::ConnectTimeout {
                    endpoint: endpoint.clone(),
                    address: remote,
                    timeout: options.connect_timeout,
                },
            },
        );
    }
    Err(last.expect("a resolved name has an address"))
}

/// Dialling a free local port again and again ends with TCP choosing that very port for our own
/// end: the stream is connected to itself, and keeps the bind end from ever taking its port.
fn is_self_connected(stream: &TcpStream, local: SocketAddr, dialled: SocketAddr) -> bool {
    local.port() == dialled.port() && stream.peer_addr().is_ok_and(|peer| peer == local)
}

#[cfg(unix)]
async fn dial_unix(endpoint: &Endpoint) -> Result<(ByteStream, ConnectionMeta), TransportError> {
    let path = std::path::Path::new(endpoint.path().unwrap_or_default());
    let local = PeerAddress::Unix {
        path: path.into(),
        user: None,
        process: None,
    };
    let (stream, remote) = super::unix::connect(path)
        .await
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
    let stream = memory::connect(name, options.connect_timeout)
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
