//! The schemes of endpoints.

use std::fmt;

/// The port of an endpoint of scheme `tcp` or `tls` that names none (WIRE §9).
pub const DEFAULT_PORT: u16 = 25_000;

/// The scheme of an endpoint: the transport of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// `tcp://host:port`, plain TCP. The bind end serves WebSocket peers on the same port.
    Tcp,
    /// `tls://host:port`, TLS over TCP. The bind end serves `wss` peers on the same port.
    Tls,
    /// `ws://host:port/path`, WebSocket over TCP. To a bind end it is the same as `tcp`.
    Ws,
    /// `wss://host:port/path`, WebSocket over TLS. To a bind end it is the same as `tls`.
    Wss,
    /// `unix:///path`, a Unix-domain stream socket.
    Unix,
    /// `mem://name`, inside this process.
    Memory,
}

impl Scheme {
    /// The name as it is written before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
            Self::Memory => "mem",
        }
    }

    /// True if the scheme itself asks for TLS.
    pub(crate) const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub(super) const fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Tcp | Self::Tls | Self::Unix | Self::Memory => DEFAULT_PORT,
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [
            Self::Tcp,
            Self::Tls,
            Self::Ws,
            Self::Wss,
            Self::Unix,
            Self::Memory,
        ]
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
