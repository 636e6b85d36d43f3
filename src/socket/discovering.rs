//! Peers that a source finds.

use super::following::{follow, stop_following};
use super::handle::Socket;
use crate::discovery::Discover;
use crate::error::DiscoveryError;
use crate::transport::ConnectOptions;

impl Socket {
    /// Dials everybody whom a source finds, and follows the source for the socket's life; see
    /// [`discovery`](crate::discovery). It does not wait for the first set. What is found, and that the source does not
    /// answer, is told by [`SocketEvent`](crate::SocketEvent) and in the log.
    ///
    /// # Errors
    ///
    /// When a source of the same name is followed already, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket may or may not follow the source.
    pub fn discover<D: Discover>(
        &self,
        source: D,
    ) -> impl Future<Output = Result<(), DiscoveryError>> + use<D> {
        self.discover_with(source, ConnectOptions::default())
    }

    /// [`discover`](Self::discover), with the options of each connection. A peer that can never be connected to with them is
    /// left out, with a warning.
    ///
    /// # Errors
    ///
    /// As those of `discover`.
    ///
    /// # Cancel safety
    ///
    /// As that of `discover`.
    pub fn discover_with<D: Discover>(
        &self,
        source: D,
        options: ConnectOptions,
    ) -> impl Future<Output = Result<(), DiscoveryError>> + use<D> {
        let config = &self.core().config;
        let options = options.or_connect_timeout(config.connect_timeout);
        let (actor, reconnect) = (self.handle.actor.clone(), config.reconnect.clone());
        async move { follow(&actor, source, options, reconnect).await }
    }

    /// Ends what [`discover`](Self::discover) began with the source of this name. Its peers are dialled no more, and the
    /// connections to them end as [`stop_connecting`](Self::stop_connecting) ends them.
    ///
    /// # Errors
    ///
    /// When no source of this name is followed, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket may or may not have stopped following the source.
    pub fn stop_discovering<N: Into<String>>(
        &self,
        name: N,
    ) -> impl Future<Output = Result<(), DiscoveryError>> + use<N> {
        let (actor, name) = (self.handle.actor.clone(), name.into());
        async move { stop_following(&actor, name).await }
    }
}
