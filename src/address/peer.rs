//! Where a peer is, and what its connection travels in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The transport of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TransportKind {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP or over a local stream.
    WebSocket,
    /// WebSocket over TLS.
    Wss,
    /// A Unix-domain stream socket.
    Unix,
    /// A pipe inside this process.
    Memory,
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::WebSocket => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
            Self::Memory => "mem",
        })
    }
}

/// The address of one end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// An IP address and a port, for everything that runs over TCP.
    Socket(SocketAddr),
    /// A Unix-domain socket; for both ends the path that the bind end listens on.
    #[non_exhaustive]
    Unix {
        /// The path that the bind end listens on.
        path: PathBuf,
        /// The user whom the process at that end ran as, where the system tells.
        user: Option<u32>,
        /// The process at that end, where the system tells.
        process: Option<i32>,
    },
    /// An in-memory endpoint; for both ends the name that the bind end listens on.
    Memory(String),
    /// A web server accepted the connection and does not know where it came from, as behind a
    /// Unix-domain socket.
    Unknown,
}

impl PeerAddress {
    /// The IP address and port, for a connection that runs over TCP.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) => Some(*address),
            Self::Unix { .. } | Self::Memory(_) | Self::Unknown => None,
        }
    }

    /// Key of the address's owner: the IPv4 address, or the network of an IPv6 address. One owner
    /// may have more IPv6 addresses than there is memory.
    pub(crate) fn network(&self) -> Option<u64> {
        Some(match self.socket_addr()?.ip().to_canonical() {
            // No IPv6 network has such a prefix.
            IpAddr::V4(address) => 0xffff << 32 | u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        })
    }

    /// A Unix-domain socket of which only the path is known.
    pub(crate) fn of_path(path: impl Into<PathBuf>) -> Self {
        Self::Unix {
            path: path.into(),
            user: None,
            process: None,
        }
    }

    /// The same place without the process that was found there: our own end.
    pub(crate) fn without_process(&self) -> Self {
        match self {
            Self::Unix { path, .. } => Self::of_path(path),
            Self::Socket(_) | Self::Memory(_) | Self::Unknown => self.clone(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix {
                path,
                process: Some(process),
                ..
            } => {
                write!(f, "unix://{} (process {process})", path.display())
            }
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
            Self::Memory(name) => write!(f, "mem://{name}"),
            Self::Unknown => f.write_str("an unknown address"),
        }
    }
}

impl TransportKind {
    /// The kind of transport once WebSocket was agreed on over this one.
    pub(crate) const fn upgraded(self) -> Self {
        match self {
            Self::Tls | Self::Wss => Self::Wss,
            Self::Tcp | Self::WebSocket | Self::Unix | Self::Memory => Self::WebSocket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_owner_are_one_network() {
        let network = |address: &str| PeerAddress::Socket(address.parse().unwrap()).network();
        assert_eq!(network("[2001:db8::1]:1"), network("[2001:db8::f:2]:3"));
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
        assert_eq!(network("10.0.0.1:1"), network("[::ffff:10.0.0.1]:2"));
        assert_ne!(network("10.0.0.1:1"), network("10.0.0.2:1"));
        assert_ne!(network("0.0.0.1:1"), network("[::1]:1"));
        assert_eq!(PeerAddress::Memory("a".into()).network(), None);
    }
}
