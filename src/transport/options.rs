//! What a single `bind` or `connect` may choose.

use std::time::Duration;

/// How one endpoint is bound.
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
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
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
            nodelay: true,
            keepalive: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How many connections the system completes and holds before they are accepted; 4,096 by
    /// default. The system may lower it (`net.core.somaxconn` on Linux).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); true by default.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// After how long without traffic TCP itself probes the peer; off by default, because the
    /// heartbeats of WIRE §5 find dead peers sooner.
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = Some(idle);
        self
    }

    /// Admits, of WebSocket peers that name an origin, as every browser does, only those of this
    /// one, for instance `https://app.example`. May be called several times. By default every
    /// origin is admitted, and peers that name none always are (WIRE §8.5).
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

    /// Serves TLS: an [`Arc<rustls::ServerConfig>`](crate::rustls::ServerConfig) as it is, or what
    /// [`Tls`](crate::Tls) builds. Peers that speak plain text are refused, whatever the scheme of
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

/// How one endpoint is connected to.
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
    pub(crate) connect_timeout: Duration,
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<super::tls::TlsClient>,
}

impl ConnectOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            nodelay: true,
            keepalive: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How long TCP may take to connect to one address; 1 s by default (WIRE §7.4). A name that
    /// resolves to several addresses has this long for each. TLS, the WebSocket upgrade and HELLO
    /// are the handshake timeout's.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); true by default.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// After how long without traffic TCP itself probes the peer; off by default, because the
    /// heartbeats of WIRE §5 find dead peers sooner.
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = Some(idle);
        self
    }

    /// Connects with TLS: an [`Arc<rustls::ClientConfig>`](crate::rustls::ClientConfig) as it is, or
    /// what [`Tls`](crate::Tls) builds, whatever the scheme of the endpoint. By default `tls` and
    /// `wss` endpoints trust the authorities of the operating system.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<super::tls::TlsClient>) -> Self {
        self.tls = Some(tls.into());
        self
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}
