//! Where a socket binds or connects to, as a URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::scheme::{DEFAULT_PORT, Scheme};

/// An address that a socket binds or connects to, as a URL.
///
/// | written as | means |
/// |---|---|
/// | `tcp://host:port`, `host:port` | plain TCP |
/// | `tls://host:port` | TLS over TCP |
/// | `ws://host:port/path?query` | WebSocket over TCP |
/// | `wss://host:port/path?query` | WebSocket over TLS |
/// | `unix:///path/to/socket` | a Unix-domain socket, by absolute path |
/// | `mem://name` | inside this process, by name |
///
/// A host is an IPv4 address, an IPv6 address in brackets or a name, which is resolved anew at
/// each attempt. A port that is not written is 25000, for `ws` 80 and for `wss` 443, as in any
/// WebSocket URL. Port 0 lets the system choose when binding. The default is
/// `tcp://127.0.0.1:25000`.
///
/// A link-local IPv6 address needs the zone that it is in: `[fe80::1%eth0]`, with a plain `%`.
///
/// A query often holds a token, so it is not shown: `ws://host:80/path?…`. There is no place for a user and
/// a password; a bind end that wants them gets a header, see
/// [`ConnectOptions::header`](crate::ConnectOptions::header).
///
/// ```
/// use actix_aiomsg::Endpoint;
///
/// let endpoint: Endpoint = "tcp://[::1]:4000".parse()?;
/// assert_eq!(endpoint.host(), Some("::1"));
/// assert_eq!(endpoint.port(), Some(4000));
/// assert_eq!(Endpoint::default().to_string(), "tcp://127.0.0.1:25000");
/// # Ok::<(), actix_aiomsg::transport::ParseEndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    place: Location,
    /// Written with `dns+`: the host is a name whose addresses are followed.
    follows_dns: bool,
}

/// The part of an endpoint behind `://`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Location {
    /// `path` is empty for `tcp` and `tls`. For `ws` and `wss` it starts with a slash, and ends with the
    /// query if there is one.
    Network {
        host: String,
        port: u16,
        path: String,
    },
    /// An absolute path for `unix`, a name for `mem`.
    Local(String),
}

impl Endpoint {
    pub(super) const fn new(scheme: Scheme, place: Location) -> Self {
        Self {
            scheme,
            place,
            follows_dns: false,
        }
    }

    pub(super) const fn following_dns(mut self, follows_dns: bool) -> Self {
        self.follows_dns = follows_dns;
        self
    }

    /// True of an endpoint that is written with `dns+`, as `dns+tcp://workers.example:25000`: a connect end dials all
    /// addresses of the name and follows them as they change.
    #[must_use]
    pub const fn follows_dns(&self) -> bool {
        self.follows_dns
    }

    /// The part before `://`.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, an IPv6 address without its brackets; none for `unix` and `mem`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Location::Network { host, .. } => Some(host),
            Location::Local(_) => None,
        }
    }

    /// The port; none for `unix` and `mem`.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match &self.place {
            Location::Network { port, .. } => Some(*port),
            Location::Local(_) => None,
        }
    }

    /// The path: of the request for `ws` and `wss`, without its query, and of the socket file for `unix`.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match (&self.place, self.scheme) {
            (Location::Network { path, .. }, _) if path.is_empty() => None,
            (Location::Network { path, .. }, _) => path.split('?').next(),
            (Location::Local(path), Scheme::Unix) => Some(path),
            (Location::Local(_), _) => None,
        }
    }

    /// The query of a `ws` or `wss` endpoint, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        match &self.place {
            Location::Network { path, .. } => Some(path.split_once('?')?.1),
            Location::Local(_) => None,
        }
    }

    /// The path and the query that a WebSocket upgrade asks for.
    pub(crate) fn request_target(&self) -> &str {
        match &self.place {
            Location::Network { path, .. } if !path.is_empty() => path,
            Location::Network { .. } | Location::Local(_) => "/",
        }
    }

    /// The name of a `mem` endpoint.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match (&self.place, self.scheme) {
            (Location::Local(name), Scheme::Memory) => Some(name),
            (Location::Local(_) | Location::Network { .. }, _) => None,
        }
    }

    /// The same endpoint with another port; `unix` and `mem` have none and stay as they are.
    #[must_use]
    pub fn with_port(mut self, new: u16) -> Self {
        match &mut self.place {
            Location::Network { port, .. } => *port = new,
            Location::Local(_) => {}
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

    /// The endpoint of one peer at an address that this endpoint's name has. TLS and HTTP go by the name, so it stays where
    /// they are used, as they are for any scheme whose options have TLS (`keeps_name`); labels with underscores are those of a
    /// service, which no certificate is for.
    #[cfg(feature = "dns")]
    pub(crate) fn found_at(&self, address: SocketAddr, keeps_name: bool) -> Self {
        let Location::Network { host, path, .. } = &self.place else {
            return address.into();
        };
        if self.scheme == Scheme::Tcp && !keeps_name {
            return address.into();
        }
        let mut name = host.trim_end_matches('.');
        while let Some((label, rest)) = name.split_once('.')
            && label.starts_with('_')
        {
            name = rest;
        }
        let place = Location::Network {
            host: name.to_owned(),
            port: address.port(),
            path: path.clone(),
        };
        Self::new(self.scheme, place)
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

    /// The same, whatever its zone.
    pub(super) fn zoned_ip(&self) -> Option<IpAddr> {
        self.host()?.split('%').next()?.parse().ok()
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
            place: Location::Network {
                host,
                port: address.port(),
                path: String::new(),
            },
            follows_dns: false,
        }
    }
}

/// Shows all but the query, which may hold a token.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dns = if self.follows_dns { "dns+" } else { "" };
        write!(f, "{dns}{}://", self.scheme)?;
        match &self.place {
            Location::Network { host, port, path } => {
                let (path, query) = match path.split_once('?') {
                    Some((path, _)) => (path, "?…"),
                    None => (&path[..], ""),
                };
                if host.contains(':') {
                    write!(f, "[{host}]:{port}{path}{query}")
                } else {
                    write!(f, "{host}:{port}{path}{query}")
                }
            }
            Location::Local(place) => f.write_str(place),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
