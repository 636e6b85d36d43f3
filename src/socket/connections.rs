//! The connections of a socket: the list of its peers, and the end of a connection, a listener or a dialer.

use super::handle::Socket;
use crate::actor::SocketReport;
use crate::actor::supervision::{Disconnect, Inspect, StopConnecting, Unbind};
use crate::address::ToEndpoint;
use crate::connection::ConnectedPeer;
use crate::error::{Closed, DisconnectError, DiscoveryError, StopConnectingError, UnbindError};
use crate::id::Identity;

impl Socket {
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
    pub async fn inspect(&self) -> SocketReport {
        let report = self.handle.actor.send(Inspect).await;
        report.unwrap_or_else(|_| SocketReport::closed(self.identity()))
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
    pub async fn disconnect(&self, peer: Identity) -> Result<(), DisconnectError> {
        let disconnected = self.handle.actor.send(Disconnect(peer)).await;
        disconnected.unwrap_or(Err(Closed.into()))
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
    pub async fn unbind(&self, endpoint: impl ToEndpoint) -> Result<(), UnbindError> {
        let unbind = Unbind(endpoint.to_endpoint()?);
        let unbound = self.handle.actor.send(unbind).await;
        unbound.unwrap_or(Err(Closed.into()))
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
    pub async fn stop_connecting(
        &self,
        endpoint: impl ToEndpoint,
    ) -> Result<(), StopConnectingError> {
        let endpoint = endpoint.to_endpoint()?;
        if endpoint.follows_dns() {
            return match self.stop_discovering(endpoint.to_string()).await {
                Ok(()) => Ok(()),
                Err(DiscoveryError::Closed(_)) => Err(Closed.into()),
                Err(_) => Err(StopConnectingError::NotConnecting(endpoint)),
            };
        }
        let stop = StopConnecting(endpoint);
        let stopped = self.handle.actor.send(stop).await;
        stopped.unwrap_or(Err(Closed.into()))
    }
}
