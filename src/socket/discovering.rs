//! Peers that a source finds.

use super::handle::Socket;
use crate::actor::discovery::DiscoveryTarget;
use crate::actor::socket::FollowSource;
use crate::actor::supervision::StopDiscovering;
#[cfg(feature = "dns")]
use crate::address::Endpoint;
use crate::discovery::Discover;
#[cfg(feature = "dns")]
use crate::discovery::Dns;
#[cfg(feature = "dns")]
use crate::error::ConnectError;
use crate::error::{Closed, DiscoveryError};
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
    pub async fn discover(&self, source: impl Discover) -> Result<(), DiscoveryError> {
        self.discover_with(source, ConnectOptions::default()).await
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
    pub async fn discover_with(
        &self,
        source: impl Discover,
        options: ConnectOptions,
    ) -> Result<(), DiscoveryError> {
        let config = &self.core().config;
        let target = DiscoveryTarget {
            name: source.name(),
            source: Box::new(source),
            options: options.or_connect_timeout(config.connect_timeout),
            reconnect: config.reconnect.clone(),
        };
        let following = self.handle.actor.send(FollowSource(target)).await;
        following.unwrap_or(Err(Closed.into()))
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
    pub async fn stop_discovering(&self, name: impl Into<String>) -> Result<(), DiscoveryError> {
        let stop = StopDiscovering(name.into());
        let stopped = self.handle.actor.send(stop).await;
        stopped.unwrap_or(Err(Closed.into()))
    }

    /// Follows the addresses of a name. That it is followed already is no error.
    #[cfg(feature = "dns")]
    pub(super) async fn follow_dns(
        &self,
        endpoint: Endpoint,
        options: ConnectOptions,
    ) -> Result<(), ConnectError> {
        let source = Dns::new(endpoint)?;
        #[cfg(feature = "tls")]
        let source = source.with_tls(options.tls.is_some());
        match self.discover_with(source, options).await {
            Ok(()) => Ok(()),
            Err(DiscoveryError::Followed(source)) => {
                tracing::info!(source, "the name is followed already");
                Ok(())
            }
            Err(DiscoveryError::Closed(_) | DiscoveryError::NotFollowed(_)) => Err(Closed.into()),
        }
    }
}
