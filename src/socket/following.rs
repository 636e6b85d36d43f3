//! What a socket's actor is told of sources of peers.

use actix::Addr;

use crate::Backoff;
use crate::actor::discovery::DiscoveryTarget;
use crate::actor::socket::{FollowSource, SocketActor};
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

/// Has the socket actor follow a source.
pub(super) async fn follow(
    actor: &Addr<SocketActor>,
    source: impl Discover,
    options: ConnectOptions,
    reconnect: Backoff,
) -> Result<(), DiscoveryError> {
    let target = DiscoveryTarget {
        name: source.name(),
        source: Box::new(source),
        options,
        reconnect,
    };
    let following = actor.send(FollowSource(target)).await;
    following.unwrap_or(Err(Closed.into()))
}

/// Has the socket actor end that.
pub(super) async fn stop_following(
    actor: &Addr<SocketActor>,
    name: String,
) -> Result<(), DiscoveryError> {
    let stopped = actor.send(StopDiscovering(name)).await;
    stopped.unwrap_or(Err(Closed.into()))
}

/// Follows the addresses of a name. That it is followed already is no error.
#[cfg(feature = "dns")]
pub(super) async fn follow_dns(
    actor: &Addr<SocketActor>,
    endpoint: Endpoint,
    options: ConnectOptions,
    reconnect: Backoff,
) -> Result<(), ConnectError> {
    let source = Dns::new(endpoint)?;
    #[cfg(feature = "tls")]
    let source = source.with_tls(options.tls.is_some());
    match follow(actor, source, options, reconnect).await {
        Ok(()) => Ok(()),
        Err(DiscoveryError::Followed(source)) => {
            tracing::info!(source, "the name is followed already");
            Ok(())
        }
        Err(DiscoveryError::Closed(_) | DiscoveryError::NotFollowed(_)) => Err(Closed.into()),
    }
}
