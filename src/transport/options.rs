//! Options of a single `bind` or `connect`.

use std::net::SocketAddr;
use std::time::Duration;

use super::request_headers::RequestHeaders;
use crate::address::{Endpoint, Scheme, UnusableEndpoint};

/// The connect timeout of a socket that sets none (WIRE §7.4).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// TCP options of a connection, whichever end of it is ours.
#[derive(Clone, Debug)]
pub(crate) struct TcpOptions {
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) unsent_limit: u32,
}

impl TcpOptions {
    /// More than that would leave the processor's cache before it is sent to a peer that is slower
    /// than we are, and would be lost with the connection without having been on its way.
    const UNSENT_LIMIT: u32 = 64 * 1024;

    const fn new() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            unsent_limit: Self::UNSENT_LIMIT,
        }
    }
}

/// The setters that the options of both ends have for TCP.
macro_rules! tcp_setters {
    () => {
        /// Lets TCP hold a small write back until the peer has acknowledged what was sent before
        /// (Nagle's algorithm). By default small writes leave at once (`TCP_NODELAY`).
        #[must_use]
        pub fn nagle(mut self) -> Self {
            self.tcp.nodelay = false;
            self
        }

        /// After how long without traffic TCP itself probes the peer; off by default, because the
        /// heartbeats of WIRE §5 find dead peers sooner.
        #[must_use]
        pub fn keepalive(mut self, idle: Duration) -> Self {
            self.tcp.keepalive = Some(idle);
            self
        }

        /// Limits the bytes that the system takes and cannot send yet (`TCP_NOTSENT_LOWAT`); 64 KiB by
        /// default. What is on its way to the peer does not count, so that long distances cost no rate; a
        /// peer that does not keep up is noticed here, where queues have bounds, and not megabytes later.
        /// On a link of more than 10 Gbit/s a higher limit may be faster. Linux and Android; without
        /// effect elsewhere.
        #[must_use]
        pub fn unsent_limit(mut self, bytes: u32) -> Self {
            self.tcp.unsent_limit = bytes;
            self
        }
    };
}

/// Options of one `bind`.
///
/// ```
/// use std::time::Duration;
/// use actix_aiomsg::BindOptions;
///
/// let options = BindOptions::new().backlog(128).keepalive(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BindOptions {
    pub(crate) backlog: u32,
    pub(crate) unix_mode: Option<u32>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) tcp: TcpOptions,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<super::tls::TlsServer>,
}

impl BindOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            backlog: 4096,
            unix_mode: None,
            allowed_origins: Vec::new(),
            tcp: TcpOptions::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Limits the connections that the system completes and holds before they are accepted; 4,096 by
    /// default. The system may lower it (`net.core.somaxconn` on Linux).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    tcp_setters!();

    /// Admits, of WebSocket peers that name an origin, as every browser does, only those of this
    /// one, for instance `https://app.example`. May be called several times. By default every
    /// origin is admitted, and peers that name none always are (WIRE §8.5). An origin has no path and no wildcard; what no
    /// browser sends is refused by `bind`.
    #[must_use]
    pub fn allowed_origin(mut self, origin: impl Into<String>) -> Self {
        self.allowed_origins.push(origin.into());
        self
    }

    /// The permissions of a Unix-domain socket's file, for instance `0o600` for this user alone.
    /// By default the process's umask decides. Connecting needs permission to write.
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Serves TLS: an [`Arc<rustls::ServerConfig>`](crate::tls::rustls::ServerConfig) as it is, or what
    /// [`Tls`](crate::tls::Tls) builds. Peers that speak plain text are refused, whatever the scheme of
    /// the endpoint. A `tls` or `wss` endpoint needs it.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<super::tls::TlsServer>) -> Self {
        self.tls = Some(tls.into());
        self
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Options of one `connect`.
///
/// ```
/// use std::time::Duration;
/// use actix_aiomsg::ConnectOptions;
///
/// let options = ConnectOptions::new().connect_timeout(Duration::from_secs(3));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) headers: RequestHeaders,
    /// In place of the addresses that the host resolves to.
    pub(crate) addresses: Option<Vec<SocketAddr>>,
    pub(crate) tcp: TcpOptions,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<super::tls::TlsClient>,
}

impl ConnectOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: None,
            headers: RequestHeaders::default(),
            addresses: None,
            tcp: TcpOptions::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Limits the time that TCP may take to connect to one address; by default as the socket's
    /// [`connect_timeout`](crate::SocketBuilder::connect_timeout), 1 s (WIRE §7.4). A name that
    /// resolves to several addresses has this long for each; attempts at them start 250 ms apart. TLS,
    /// the WebSocket upgrade and HELLO are the handshake timeout's.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Dials these addresses in place of what the host of the endpoint resolves to, the preferred one first. TLS and
    /// HTTP go by the host all the same. For endpoints that run over TCP: to try a server before its name leads to it,
    /// or where names are found otherwise than by DNS.
    #[must_use]
    pub fn resolve_to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = Some(addresses.into_iter().collect());
        self
    }

    /// Sends a header with the WebSocket upgrade, for a bind end or a proxy that wants to know who comes:
    /// `Authorization`, or a cookie. May be called several times. For `ws` and `wss` endpoints.
    ///
    /// ```
    /// use actix_aiomsg::ConnectOptions;
    ///
    /// let token = "c2VjcmV0";
    /// let options = ConnectOptions::new().header("Authorization", format!("Bearer {token}"));
    /// assert!(!format!("{options:?}").contains(token));
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.add(name.into(), value.into());
        self
    }

    /// Asks `headers` for more of them at each attempt: for a token that changes while the socket lives. It
    /// must not block. Replaces an earlier closure. For `ws` and `wss` endpoints.
    ///
    /// ```
    /// use actix_aiomsg::ConnectOptions;
    ///
    /// # fn token_of_this_hour() -> String { "c2VjcmV0".into() }
    /// let options = ConnectOptions::new()
    ///     .headers_with(|| [("Authorization", format!("Bearer {}", token_of_this_hour()))]);
    /// ```
    #[must_use]
    pub fn headers_with<F, H, N, V>(mut self, headers: F) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        self.headers.ask(move || {
            let headers = headers().into_iter();
            headers
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        });
        self
    }

    tcp_setters!();

    /// Connects with TLS: an [`Arc<rustls::ClientConfig>`](crate::tls::rustls::ClientConfig) as it is, or
    /// what [`Tls`](crate::tls::Tls) builds, whatever the scheme of the endpoint. By default `tls` and
    /// `wss` endpoints trust the authorities of the operating system.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<super::tls::TlsClient>) -> Self {
        self.tls = Some(tls.into());
        self
    }
}

impl ConnectOptions {
    /// The connect timeout, or else `timeout`.
    pub(crate) fn or_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout.get_or_insert(timeout);
        self
    }

    pub(super) fn tcp_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// Finds out whether `endpoint` can ever be connected to with these options.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), UnusableEndpoint> {
        let scheme = endpoint.scheme();
        endpoint.check_connect()?;
        if self.addresses.as_ref().is_some_and(Vec::is_empty) {
            return Err(UnusableEndpoint::NoAddress);
        }
        for address in self.addresses.iter().flatten() {
            Endpoint::from(*address).check_connect()?;
        }
        if self.tcp_timeout().is_zero() {
            return Err(UnusableEndpoint::NoTimeToConnect);
        }
        if !self.headers.is_empty() && !matches!(scheme, Scheme::Ws | Scheme::Wss) {
            return Err(UnusableEndpoint::HeadersWithoutRequest { scheme });
        }
        #[cfg(feature = "tls")]
        super::tls::check_name(endpoint, self.tls.as_ref())?;
        self.headers.check()
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}
