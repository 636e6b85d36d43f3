//! The connections of a socket: listeners and dialers that begin and end, the list of its peers, and the end of a connection.

#[cfg(feature = "dns")]
use super::following::follow_dns;
use super::following::stop_following;
use super::handle::Socket;
use crate::Endpoint;
use crate::actor::SocketReport;
use crate::actor::dialer::DialTarget;
use crate::actor::socket::{Bind, Connect};
use crate::actor::supervision::{Disconnect, Inspect, StopConnecting, Unbind};
use crate::address::ToEndpoint;
use crate::connection::ConnectedPeer;
use crate::error::{
    BindError, Closed, ConnectError, DisconnectError, DiscoveryError, StopConnectingError,
    UnbindError,
};
use crate::id::Identity;
use crate::transport::{BindOptions, ConnectOptions};

impl Socket {
    /// Listens at an endpoint and yields it with the port that was chosen. `()` stands for
    /// `tcp://127.0.0.1:25000`. A socket may bind many endpoints, and connect to others.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one, is taken, or the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it may or may not have begun to listen.
    pub fn bind<E: ToEndpoint>(
        &self,
        endpoint: E,
    ) -> impl Future<Output = Result<Endpoint, BindError>> + use<E> {
        self.bind_with(endpoint, BindOptions::default())
    }

    /// [`bind`](Self::bind), with options of its own.
    ///
    /// # Errors
    ///
    /// As those of `bind`.
    ///
    /// # Cancel safety
    ///
    /// As that of `bind`.
    pub fn bind_with<E: ToEndpoint>(
        &self,
        endpoint: E,
        options: BindOptions,
    ) -> impl Future<Output = Result<Endpoint, BindError>> + use<E> {
        let (actor, endpoint) = (self.handle.actor.clone(), endpoint.to_endpoint());
        async move {
            let endpoint = endpoint?;
            if let Err(reason) = endpoint.check_bind() {
                return Err(BindError::Unusable { endpoint, reason });
            }
            let bound = actor.send(Bind { endpoint, options }).await;
            bound.unwrap_or(Err(Closed.into()))
        }
    }

    /// Connects to an endpoint, and goes on doing so for the socket's life. `()` stands for
    /// `tcp://127.0.0.1:25000`. It does not wait for the peer: what is sent before it comes waits
    /// in the outbox.
    ///
    /// One call for each endpoint is enough, also when connections end. A further call for the same endpoint starts
    /// no second dialer and leaves the connection as it is; its options hold from the next attempt on.
    ///
    /// An endpoint with `dns+`, as `dns+tcp://workers.example:25000`, stands for all addresses of the name, which are
    /// followed as they change; see [`discovery`](crate::discovery). It needs the feature `dns`.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one, when it can never work ([`ConnectError::Unusable`] says why), or when the
    /// socket is closed. That nobody answers is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it may or may not have begun to dial.
    pub fn connect<E: ToEndpoint>(
        &self,
        endpoint: E,
    ) -> impl Future<Output = Result<(), ConnectError>> + use<E> {
        self.connect_with(endpoint, ConnectOptions::default())
    }

    /// [`connect`](Self::connect), with options of its own.
    ///
    /// # Errors
    ///
    /// As those of `connect`.
    ///
    /// # Cancel safety
    ///
    /// As that of `connect`.
    pub fn connect_with<E: ToEndpoint>(
        &self,
        endpoint: E,
        options: ConnectOptions,
    ) -> impl Future<Output = Result<(), ConnectError>> + use<E> {
        let (actor, endpoint) = (self.handle.actor.clone(), endpoint.to_endpoint());
        let config = &self.core().config;
        let options = options.or_connect_timeout(config.connect_timeout);
        let reconnect = config.reconnect.clone();
        async move {
            let endpoint = endpoint?;
            if let Err(reason) = options.check(&endpoint) {
                return Err(ConnectError::Unusable { endpoint, reason });
            }
            #[cfg(feature = "dns")]
            if endpoint.follows_dns() {
                return follow_dns(&actor, endpoint, options, reconnect).await;
            }
            let target = DialTarget {
                endpoint,
                options,
                reconnect,
            };
            let connected = actor.send(Connect(target)).await;
            Ok(connected.unwrap_or(Err(Closed))?)
        }
    }

    /// Lets in a connection that a web server accepted.
    #[cfg(feature = "actix-web")]
    pub(crate) async fn adopt(
        &self,
        accepted: crate::transport::Accepted,
        path: String,
    ) -> Result<(), crate::actor::socket::NotAdopted> {
        use crate::actor::socket::{Adopt, NotAdopted};
        let adopted = self.handle.actor.send(Adopt { accepted, path }).await;
        adopted.unwrap_or(Err(NotAdopted::Closed))
    }

    /// The peers that are connected now, in the order in which they came: who they are, where, and how
    /// their connections fare. It looks at every connection.
    pub fn peers(&self) -> Vec<ConnectedPeer> {
        self.handle.connections.peers()
    }

    /// The actors and connections of the socket, and how they fare; without any when it is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping it has no effect.
    pub fn inspect(&self) -> impl Future<Output = SocketReport> + use<> {
        let (actor, identity) = (self.handle.actor.clone(), self.identity());
        async move {
            let report = actor.send(Inspect).await;
            report.unwrap_or_else(|_| SocketReport::closed(identity))
        }
    }

    /// Ends the connection of a peer, and resolves when it has ended. The peer is announced as down with
    /// [`DownReason::Disconnected`](crate::event::DownReason::Disconnected), and its queued messages go
    /// where the messages of a peer that died go.
    ///
    /// The connection is made anew by whoever dialled it, this socket or the peer. To keep the peer
    /// away, end the dialer with [`stop_connecting`](Self::stop_connecting), or refuse it with
    /// [`authorize`](crate::SocketBuilder::authorize).
    ///
    /// # Errors
    ///
    /// [`NotConnected`](DisconnectError::NotConnected) when the peer is not connected, and
    /// [`Closed`](DisconnectError::Closed) when the socket's actors are gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the connection may or may not be ended.
    pub fn disconnect(
        &self,
        peer: Identity,
    ) -> impl Future<Output = Result<(), DisconnectError>> + use<> {
        let actor = self.handle.actor.clone();
        async move {
            let disconnected = actor.send(Disconnect(peer)).await;
            disconnected.unwrap_or(Err(Closed.into()))
        }
    }

    /// Ends what [`bind`](Self::bind) began: resolves when the socket listens at the endpoint no more and
    /// its port is free, with a
    /// [`SocketEvent::ListenerStopped`](crate::SocketEvent::ListenerStopped). The endpoint is the one
    /// that `bind` yielded, with its port. Connections that were accepted there stay, those in their
    /// handshake too; peers that dial it later find nobody.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one, the socket does not listen there, or it is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket may or may not have stopped listening.
    pub fn unbind<E: ToEndpoint>(
        &self,
        endpoint: E,
    ) -> impl Future<Output = Result<(), UnbindError>> + use<E> {
        let (actor, endpoint) = (self.handle.actor.clone(), endpoint.to_endpoint());
        async move {
            let unbound = actor.send(Unbind(endpoint?)).await;
            unbound.unwrap_or(Err(Closed.into()))
        }
    }

    /// Ends what [`connect`](Self::connect) began: resolves when the socket dials the endpoint no more,
    /// with a [`SocketEvent::DialerStopped`](crate::SocketEvent::DialerStopped). The endpoint is the one
    /// that was given to `connect`; if that was done several times, all are ended.
    ///
    /// An attempt that is underway is given up. A connection that it made takes nothing more, writes what
    /// it has, and ends, as when the socket closes; the peer is then announced as down with
    /// [`DownReason::Disconnected`](crate::event::DownReason::Disconnected). What the peer has not
    /// acknowledged by then goes where the messages of a peer that died go.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one, the socket does not dial it, or it is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the socket may or may not have stopped dialling.
    pub fn stop_connecting<E: ToEndpoint>(
        &self,
        endpoint: E,
    ) -> impl Future<Output = Result<(), StopConnectingError>> + use<E> {
        let (actor, endpoint) = (self.handle.actor.clone(), endpoint.to_endpoint());
        async move {
            let endpoint = endpoint?;
            if endpoint.follows_dns() {
                return match stop_following(&actor, endpoint.to_string()).await {
                    Ok(()) => Ok(()),
                    Err(DiscoveryError::Closed(_)) => Err(Closed.into()),
                    Err(_) => Err(StopConnectingError::NotConnecting(endpoint)),
                };
            }
            let stopped = actor.send(StopConnecting(endpoint)).await;
            stopped.unwrap_or(Err(Closed.into()))
        }
    }
}
