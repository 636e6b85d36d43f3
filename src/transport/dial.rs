//! The connect end: from an endpoint to a connection that is ready for its first frame.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::{Endpoint, Scheme};
use super::error::TransportError;
use super::meta::{ConnectionMeta, Established, PeerAddress, TransportKind};
use super::options::ConnectOptions;
use super::stream::ByteStream;
use super::{resolve, tcp};

/// Connects to `endpoint`: resolves its host anew, tries each address in turn, then does the
/// handshakes below the first frame. The connect timeout is TCP's alone and for each address;
/// everything behind it waits for the peer as long as the peer likes: call it under the handshake
/// timeout.
///
/// # Errors
///
/// [`TransportError`], of the last address if several were tried; its variant names the step that
/// failed.
///
/// # Cancel safety
///
/// Dropping the future closes what was connected.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Established, TransportError> {
    match endpoint.scheme() {
        Scheme::Tcp => {
            let (stream, remote) = connect_tcp(endpoint, options).await?;
            let io = || TransportError::io("setting up the TCP stream");
            tcp::tune(&stream, options.nodelay, options.keepalive).map_err(io())?;
            let local = PeerAddress::Socket(stream.local_addr().map_err(io())?);
            let remote = PeerAddress::Socket(remote);
            Ok(Established {
                stream: ByteStream::Tcp(stream),
                already_read: Bytes::new(),
                meta: ConnectionMeta {
                    remote,
                    local,
                    transport: TransportKind::Tcp,
                },
            })
        }
        scheme @ (Scheme::Tls | Scheme::Ws | Scheme::Wss | Scheme::Unix | Scheme::Memory) => {
            Err(TransportError::Unsupported { scheme })
        }
    }
}

async fn connect_tcp(
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<(TcpStream, SocketAddr), TransportError> {
    let addresses = resolve::resolve(endpoint)
        .await
        .map_err(|source| TransportError::Resolve {
            endpoint: endpoint.clone(),
            source,
        })?;
    let mut last = None;
    for address in addresses {
        match timeout(options.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) if !is_self_connected(&stream) => return Ok((stream, address)),
            Ok(Ok(_)) => {
                let source = io::Error::from(io::ErrorKind::ConnectionRefused);
                last = Some(TransportError::Connect {
                    endpoint: endpoint.clone(),
                    address,
                    source,
                });
            }
            Ok(Err(source)) => {
                last = Some(TransportError::Connect {
                    endpoint: endpoint.clone(),
                    address,
                    source,
                });
            }
            Err(_) => {
                let (endpoint, timeout) = (endpoint.clone(), options.connect_timeout);
                last = Some(TransportError::ConnectTimeout {
                    endpoint,
                    address,
                    timeout,
                });
            }
        }
    }
    Err(last.expect("a resolved name has an address"))
}

/// Dialling a free local port again and again ends with TCP choosing that very port for our own
/// end: the stream is connected to itself, and keeps the bind end from ever taking its port.
fn is_self_connected(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
