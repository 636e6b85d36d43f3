//! A bridge as it is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use actix_aiomsg::{Backoff, Socket};
use async_nats::ConnectOptions;

use crate::actor::{self, BridgeHandle};
use crate::event::BridgeEvent;
use crate::route::{Inbound, Outbound};
use crate::session::Session;
use crate::shared::Shared;
use crate::{BridgeError, Peers};

/// Ways in at most; each peer of a route counts.
const MOST_ROUTES: usize = 1024;

/// A bridge between one socket and NATS.
#[must_use = "a bridge does nothing until it is started"]
pub struct Bridge {
    pub(crate) servers: String,
    pub(crate) options: ConnectOptions,
    pub(crate) outbound: Option<Outbound>,
    pub(crate) inbound: Vec<Inbound>,
    pub(crate) window: usize,
    pub(crate) window_bytes: usize,
    pub(crate) ack_timeout: Duration,
    pub(crate) ack_wait: Duration,
    pub(crate) subscription_capacity: usize,
    pub(crate) retry: Backoff,
    pub(crate) waits_for_server: bool,
    pub(crate) events: Option<Recipient<BridgeEvent>>,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("servers", &Addresses(&self.servers))
            .field("outbound", &self.outbound)
            .field("inbound", &self.inbound)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge to one server or, between commas, to those of a cluster: `nats://127.0.0.1:4222`, or `tls://` for TLS.
    ///
    /// Addresses are logged, so that credentials do not belong there, and such an address is refused: [`options`](Self::options) takes them.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            options: ConnectOptions::new(),
            outbound: None,
            inbound: Vec::new(),
            window: 256,
            window_bytes: 4 << 20,
            ack_timeout: Duration::from_secs(5),
            ack_wait: Duration::from_secs(10),
            subscription_capacity: 1024,
            retry: Backoff::exponential(Duration::from_millis(100), Duration::from_secs(5)),
            waits_for_server: false,
            events: None,
        }
    }

    /// Credentials, certificates and whatever else the client takes. The bridge sets its event callback and the capacity of its subscriptions,
    /// lets it reconnect for ever, and has it ask a server that says nothing every 4 s whether it is there: one that has fallen silent is given up within
    /// 12 s, and the next one is dialled.
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Where the messages go that the socket receives. The last call counts.
    pub fn outbound(mut self, route: Outbound) -> Self {
        self.outbound = Some(route);
        self
    }

    /// Adds something that the socket sends.
    pub fn inbound(mut self, route: Inbound) -> Self {
        self.inbound.push(route);
        self
    }

    /// Messages that are on their way at the same time, for each way through a stream: published and not yet acknowledged by JetStream, or sent to
    /// peers and not yet handled. Default: 256; 1 to 8,192.
    ///
    /// With 1, messages of one peer stay in order whatever happens. With more, those that were published before a failed one was known to have failed
    /// may be stored before it.
    pub fn window(mut self, messages: usize) -> Self {
        self.window = messages;
        self
    }

    /// Bytes on their way at the same time, for each way through a stream; one message goes whatever its size. Default: 4 MiB. Of what comes from
    /// a stream, it may be as much more as the server's `max_payload` and 1 MiB.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// How long the bridge waits for JetStream to acknowledge a message before it publishes it again, by the same id, and for a connection that is lost
    /// before messages at most once are given up. Default: 5 s.
    ///
    /// Keep it far below the duplicate window of the stream.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// After how long JetStream sends a message of a stream again if this bridge is gone. Default: 10 s, at least 500 ms. While a peer handles a message the bridge says so
    /// to JetStream, so that handlers may take longer.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// Messages of one subject without a stream that wait for the socket; more are dropped, as NATS does. Default: 1,024. The memory that this can cost is
    /// this times the server's `max_payload`, which is 1 MiB by default.
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        self.subscription_capacity = messages;
        self
    }

    /// The pauses between attempts: of a message that JetStream does not take, and of a bridge that cannot connect. Default: 100 ms, doubled up to 5 s, with
    /// jitter. Once connected, the client dials again by itself.
    pub fn retry(mut self, pauses: Backoff) -> Self {
        self.retry = pauses;
        self
    }

    /// [`start`](Self::start) does not fail if no server is there or JetStream does not answer: the bridge tries until it succeeds. Other errors are still errors.
    pub fn wait_for_server(mut self) -> Self {
        self.waits_for_server = true;
        self
    }

    /// Who hears of what happens.
    pub fn events(mut self, recipient: Recipient<BridgeEvent>) -> Self {
        self.events = Some(recipient);
        self
    }

    /// Connects, makes or checks the streams and consumers, and starts the bridge as a supervised actor in this arbiter.
    ///
    /// The bridge keeps the socket open. It ends when the socket closes, or by [`BridgeHandle::stop`].
    ///
    /// # Errors
    ///
    /// When no server is there, it refuses the credentials, has no JetStream, or a stream has other settings; when a setting of the bridge
    /// cannot be used; and when the socket is closed.
    ///
    /// # Panics
    ///
    /// Outside of an actix system.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, no bridge runs; streams and consumers may have been made.
    pub async fn start(self, socket: &Socket) -> Result<BridgeHandle, BridgeError> {
        self.check()?;
        if socket.health().unready().iter().any(is_closed) {
            return Err(BridgeError::Closed);
        }
        let waits_for_server = self.waits_for_server;
        let shared = Arc::new(Shared::new(self, socket.clone()));
        let session = match Session::open(&shared).await {
            Ok(session) => Some(session),
            Err(BridgeError::Unreachable { .. } | BridgeError::JetStreamDown { .. })
                if waits_for_server =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        Ok(actor::start(shared, session))
    }

    fn check(&self) -> Result<(), BridgeError> {
        let of = |what: &str, value: &dyn fmt::Debug, bounds: &str| {
            Err(BridgeError::configuration(format!(
                "{what} of {value:?}: it is {bounds}"
            )))
        };
        if self.outbound.is_none() && self.inbound.is_empty() {
            return Err(BridgeError::configuration(
                "a bridge wants a way out or a way in: Bridge::outbound, Bridge::inbound",
            ));
        }
        if self.servers.contains('@') {
            return Err(BridgeError::configuration(
                "an address of NATS has a user, a password or a token before its `@`, and addresses are logged: give them by \
                 Bridge::options(ConnectOptions::with_user_and_password(…)), or with_token",
            ));
        }
        if !(1..=8192).contains(&self.window) {
            return of("a window", &self.window, "1 to 8192");
        }
        if !(1..=1 << 30).contains(&self.window_bytes) {
            return of("window_bytes", &self.window_bytes, "1 byte to 1 GiB");
        }
        if !(1..=65_536).contains(&self.subscription_capacity) {
            let capacity = self.subscription_capacity;
            return of("a subscription_capacity", &capacity, "1 to 65536");
        }
        let hour = Duration::from_secs(3600);
        if !(Duration::from_millis(100)..=hour).contains(&self.ack_timeout) {
            return of("an ack_timeout", &self.ack_timeout, "100ms to 1h");
        }
        if !(Duration::from_millis(500)..=hour).contains(&self.ack_wait) {
            return of("an ack_wait", &self.ack_wait, "500ms to 1h");
        }
        if let Some(route) = &self.outbound {
            route.check()?;
        }
        let mut routes = 0;
        for route in &self.inbound {
            route.check()?;
            routes += route
                .peers
                .as_ref()
                .map_or(1, |peers| Peers::iter(peers).count());
        }
        if routes > MOST_ROUTES {
            return of("ways in", &routes, "1024 at most, one for each peer");
        }
        Ok(())
    }
}

/// Addresses of servers as `{:?}` shows them: nothing that stands before an `@`.
struct Addresses<'a>(&'a str);

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('@') {
            Some((_, host)) => write!(f, "\"…@{host}\""),
            None => write!(f, "{:?}", self.0),
        }
    }
}

fn is_closed(unready: &actix_aiomsg::health::Unready) -> bool {
    matches!(unready, actix_aiomsg::health::Unready::Closed { .. })
}
