//! What a source of peers is.

use std::fmt;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;

use futures_core::Stream;

use crate::address::Endpoint;

/// A peer that a source has found.
///
/// Two of them are the same peer if endpoint and address are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DiscoveredPeer {
    endpoint: Endpoint,
    address: Option<SocketAddr>,
}

impl DiscoveredPeer {
    /// A peer whose endpoint is dialled as `connect` would dial it.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: None,
        }
    }

    /// The peer is dialled at this address, and not at those that the host of the endpoint resolves to. TLS and HTTP go
    /// by the host all the same.
    #[must_use]
    pub const fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The endpoint to be dialled.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The address to be dialled, if it is not for the host of the endpoint to say.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl From<Endpoint> for DiscoveredPeer {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint)
    }
}

impl fmt::Display for DiscoveredPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} at {address}", self.endpoint),
            None => write!(f, "{}", self.endpoint),
        }
    }
}

/// A source could not say who is there. Whoever was there before is taken to be there still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SourceError {
    reason: String,
}

impl SourceError {
    /// An error with this text, which goes into the log and into
    /// [`SocketEvent::DiscoveryFailed`](crate::SocketEvent::DiscoveryFailed).
    pub fn new(reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        Self { reason }
    }
}

/// Resolves to the next whole set of peers.
pub type DiscoverFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<DiscoveredPeer>, SourceError>> + 'a>>;

/// A source of peers, for [`Socket::discover`](crate::Socket::discover).
///
/// ```
/// use actix_aiomsg::discovery::{Discover, SourceError, DiscoverFuture, DiscoveredPeer};
/// use std::time::Duration;
///
/// /// Peers from a file, an endpoint a line, which is read every few seconds.
/// struct FromFile {
///     path: &'static str,
///     is_first: bool,
/// }
///
/// impl Discover for FromFile {
///     fn name(&self) -> String {
///         format!("the file {}", self.path)
///     }
///
///     fn next(&mut self) -> DiscoverFuture<'_> {
///         Box::pin(async move {
///             if !std::mem::take(&mut self.is_first) {
///                 tokio::time::sleep(Duration::from_secs(5)).await;
///             }
///             let text = std::fs::read_to_string(self.path).map_err(SourceError::new)?;
///             let endpoints = text.lines().map(str::parse).collect::<Result<Vec<_>, _>>();
///             let endpoints = endpoints.map_err(SourceError::new)?;
///             Ok(endpoints.into_iter().map(DiscoveredPeer::new).collect())
///         })
///     }
/// }
/// ```
pub trait Discover: Send + 'static {
    /// What the source is, for the log and for events: `the file /etc/peers`. A socket has one source of a name.
    fn name(&self) -> String;

    /// Waits for the next whole set of peers: the first at once, then whenever it has changed or may have. After an
    /// error it is called again when the pause is over.
    ///
    /// # Errors
    ///
    /// When the source cannot tell who is there.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the socket ends or stops following the source, and when it panics; after a panic the
    /// source is asked again.
    fn next(&mut self) -> DiscoverFuture<'_>;
}

impl Discover for Box<dyn Discover> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        (**self).next()
    }
}

struct FromStream<S> {
    name: String,
    sets: Pin<Box<S>>,
}

/// A source that is a stream of whole sets. When the stream ends, the last set stays.
pub fn from_stream<S>(name: impl Into<String>, sets: S) -> impl Discover
where
    S: Stream<Item = Result<Vec<DiscoveredPeer>, SourceError>> + Send + 'static,
{
    FromStream {
        name: name.into(),
        sets: Box::pin(sets),
    }
}

impl<S> Discover for FromStream<S>
where
    S: Stream<Item = Result<Vec<DiscoveredPeer>, SourceError>> + Send + 'static,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async move {
            match poll_fn(|cx| self.sets.as_mut().poll_next(cx)).await {
                Some(set) => set,
                // Not polled again: a stream may panic then.
                None => pending().await,
            }
        })
    }
}
