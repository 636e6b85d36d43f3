//! Where a socket binds or connects to, as a URL.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::endpoint_error::ParseEndpointError;

/// The port of an endpoint of scheme `tcp` or `tls` that names none (WIRE §9).
pub const DEFAULT_PORT: u16 = 25_000;

/// What the bytes of a connection travel in.
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

    /// Whether the scheme itself asks for TLS.
    pub(crate) const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Tcp | Self::Tls | Self::Unix | Self::Memory => DEFAULT_PORT,
        }
    }

    fn parse(name: &str) -> Option<Self> {
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

/// Where a socket binds or connects to.
///
/// | written as | means |
/// |---|---|
/// | `tcp://host:port`, `host:port` | plain TCP |
/// | `tls://host:port` | TLS over TCP |
/// | `ws://host:port/path` | WebSocket over TCP |
/// | `wss://host:port/path` | WebSocket over TLS |
/// | `unix:///path/to/socket` | a Unix-domain socket, by absolute path |
/// | `mem://name` | inside this process, by name |
///
/// A host is an IPv4 address, an IPv6 address in brackets or a name, which is resolved anew at
/// each attempt. A port that is not written is 25000, for `ws` 80 and for `wss` 443, as in any
/// WebSocket URL. Port 0 lets the system choose when binding. The default is
/// `tcp://127.0.0.1:25000`.
///
/// ```
/// use actix_aiomsg::Endpoint;
///
/// let endpoint: Endpoint = "tcp://[::1]:4000".parse()?;
/// assert_eq!(endpoint.host(), Some("::1"));
/// assert_eq!(endpoint.port(), Some(4000));
/// assert_eq!(Endpoint::default().to_string(), "tcp://127.0.0.1:25000");
/// # Ok::<(), actix_aiomsg::ParseEndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    place: Place,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Place {
    /// `path` is empty for `tcp` and `tls`, and starts with a slash for `ws` and `wss`.
    Network {
        host: String,
        port: u16,
        path: String,
    },
    /// An absolute path for `unix`, a name for `mem`.
    Local(String),
}

impl Endpoint {
    /// The part before `://`.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, an IPv6 address without its brackets; none for `unix` and `mem`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Network { host, .. } => Some(host),
            Place::Local(_) => None,
        }
    }

    /// The port; none for `unix` and `mem`.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match &self.place {
            Place::Network { port, .. } => Some(*port),
            Place::Local(_) => None,
        }
    }

    /// The path: of the request for `ws` and `wss`, of the socket file for `unix`.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match (&self.place, self.scheme) {
            (Place::Network { path, .. }, _) if path.is_empty() => None,
            (Place::Network { path, .. }, _) => Some(path),
            (Place::Local(path), Scheme::Unix) => Some(path),
            (Place::Local(_), _) => None,
        }
    }

    /// The name of a `mem` endpoint.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match (&self.place, self.scheme) {
            (Place::Local(name), Scheme::Memory) => Some(name),
            (Place::Local(_) | Place::Network { .. }, _) => None,
        }
    }

    /// The same endpoint with another port; `unix` and `mem` have none and stay as they are.
    #[must_use]
    pub fn with_port(mut self, new: u16) -> Self {
        match &mut self.place {
            Place::Network { port, .. } => *port = new,
            Place::Local(_) => {}
        }
        self
    }

    /// The same endpoint as it is when TLS is spoken there.
    #[cfg(feature = "tls")]
    pub(crate) fn secured(mut self) -> Self {
        self.scheme = match self.scheme {
            Scheme::Tcp | Scheme::Tls => Scheme::Tls,
            Scheme::Ws | Scheme::Wss => Scheme::Wss,
            local @ (Scheme::Unix | Scheme::Memory) => local,
        };
        self
    }

    /// The value of the HTTP header `Host`: the port goes without saying if it is the scheme's.
    pub(crate) fn http_host(&self) -> String {
        let host = self.host().unwrap_or_default();
        // A zone means something on this machine alone.
        let host = host.split('%').next().unwrap_or(host);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        match self.port() {
            Some(port) if port != self.scheme.default_port() => format!("{host}:{port}"),
            Some(_) | None => host,
        }
    }

    /// The host as an address, if it is one and needs no name resolution.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host()?.parse().ok()
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)).into()
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip().to_string(),
        };
        Self {
            scheme: Scheme::Tcp,
            place: Place::Network {
                host,
                port: address.port(),
                path: String::new(),
            },
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Network { host, port, path } if host.contains(':') => {
                write!(f, "{}://[{host}]:{port}{path}", self.scheme)
            }
            Place::Network { host, port, path } => {
                write!(f, "{}://{host}:{port}{path}", self.scheme)
            }
            Place::Local(place) => write!(f, "{}://{place}", self.scheme),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseEndpointError::Empty);
        }
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Tcp, text),
            Some((name, rest)) => {
                let unknown = || ParseEndpointError::Scheme {
                    scheme: name.into(),
                };
                (Scheme::parse(name).ok_or_else(unknown)?, rest)
            }
        };
        let place = match scheme {
            Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss => parse_network(scheme, rest)?,
            Scheme::Unix => parse_socket_path(rest)?,
            Scheme::Memory => parse_name(rest)?,
        };
        Ok(Self { scheme, place })
    }
}

fn parse_network(scheme: Scheme, rest: &str) -> Result<Place, ParseEndpointError> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = parse_request_path(scheme, path)?;
    let (host, port) = split_authority(authority)?;
    let port = port.map_or(Ok(scheme.default_port()), parse_port)?;
    Ok(Place::Network {
        host: host.into(),
        port,
        path,
    })
}

/// What follows the authority: a request target for WebSocket, nothing for the others.
fn parse_request_path(scheme: Scheme, path: &str) -> Result<String, ParseEndpointError> {
    let wrong = || ParseEndpointError::Path { path: path.into() };
    match scheme {
        Scheme::Ws | Scheme::Wss if path.is_empty() => Ok("/".into()),
        Scheme::Ws | Scheme::Wss => {
            // Only what may stand in a request line, so that no endpoint can smuggle a header.
            let legal = path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#');
            if path.starts_with('/') && legal {
                Ok(path.into())
            } else {
                Err(wrong())
            }
        }
        Scheme::Tcp | Scheme::Tls | Scheme::Unix | Scheme::Memory => {
            if matches!(path, "" | "/") {
                Ok(String::new())
            } else {
                Err(wrong())
            }
        }
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), ParseEndpointError> {
    let wrong = || ParseEndpointError::Host {
        host: authority.into(),
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
        if address.parse::<Ipv6Addr>().is_err() || !is_name(zone) {
            return Err(wrong());
        }
        let port = if rest.is_empty() {
            None
        } else {
            Some(rest.strip_prefix(':').ok_or_else(wrong)?)
        };
        return Ok((host, port));
    }
    if authority.bytes().filter(|byte| *byte == b':').count() > 1 {
        return Err(ParseEndpointError::Brackets {
            host: authority.into(),
        });
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // Digits and dots that are no IPv4 address are a slip, not a name.
    let numeric = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_name(host) || (numeric && host.parse::<Ipv4Addr>().is_err()) {
        return Err(ParseEndpointError::Host { host: host.into() });
    }
    Ok((host, port))
}

fn is_name(host: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.chars().all(legal)
}

fn parse_port(port: &str) -> Result<u16, ParseEndpointError> {
    // `u16::from_str` takes a leading plus, which is no port.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let wrong = || ParseEndpointError::Port { port: port.into() };
    port.parse().ok().filter(|_| digits).ok_or_else(wrong)
}

fn parse_socket_path(path: &str) -> Result<Place, ParseEndpointError> {
    let legal = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    if legal {
        Ok(Place::Local(path.into()))
    } else {
        Err(ParseEndpointError::SocketPath { path: path.into() })
    }
}

fn parse_name(name: &str) -> Result<Place, ParseEndpointError> {
    let legal = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if legal {
        Ok(Place::Local(name.into()))
    } else {
        Err(ParseEndpointError::Name { name: name.into() })
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
