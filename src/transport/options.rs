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
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
}

impl BindOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            backlog: 4096,
            nodelay: true,
            keepalive: None,
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
}

impl ConnectOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            nodelay: true,
            keepalive: None,
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
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}
