//! Reports and decisions of the socket actor about its children: listeners, dialers and connections.

use std::sync::Arc;

use actix::{Context, Handler, Message, MessageResult, ResponseFuture};

use super::report::SocketReport;
use super::socket::SocketActor;
use crate::address::Endpoint;
use crate::connection::connections::ConnectionPanicked;
use crate::error::{Closed, DisconnectError, DiscoveryError, StopConnectingError, UnbindError};
use crate::event::SocketEvent;
use crate::id::Identity;

/// Asks for the state of the socket's actors and connections.
#[derive(Debug)]
pub(crate) struct Inspect;

impl Message for Inspect {
    type Result = SocketReport;
}

impl Handler<Inspect> for SocketActor {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.children.inspect())
    }
}

/// End the connection of a peer.
#[derive(Debug)]
pub(crate) struct Disconnect(pub(crate) Identity);

impl Message for Disconnect {
    type Result = Result<(), DisconnectError>;
}

impl Handler<Disconnect> for SocketActor {
    type Result = ResponseFuture<Result<(), DisconnectError>>;

    fn handle(&mut self, Disconnect(peer): Disconnect, _: &mut Context<Self>) -> Self::Result {
        let ended = self.core.router.watch(peer);
        let begun = self.children.connections().disconnect(peer);
        Box::pin(async move {
            if !begun {
                return Err(DisconnectError::NotConnected(peer));
            }
            ended.await;
            Ok(())
        })
    }
}

/// Stop listening.
#[derive(Debug)]
pub(crate) struct Unbind(pub(crate) Endpoint);

impl Message for Unbind {
    type Result = Result<(), UnbindError>;
}

impl Handler<Unbind> for SocketActor {
    type Result = ResponseFuture<Result<(), UnbindError>>;

    fn handle(&mut self, Unbind(endpoint): Unbind, _: &mut Context<Self>) -> Self::Result {
        let stopping = self.children.unbind(&endpoint);
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let Some(stopping) = stopping else {
                return Err(match core.lifecycle.is_open() {
                    true => UnbindError::NotBound(endpoint),
                    false => Closed.into(),
                });
            };
            stopping.await;
            tracing::info!(%endpoint, "not listening any more");
            let stopped = SocketEvent::ListenerStopped { endpoint };
            core.events.announce(&stopped);
            Ok(())
        })
    }
}

/// Stop dialling.
#[derive(Debug)]
pub(crate) struct StopConnecting(pub(crate) Endpoint);

impl Message for StopConnecting {
    type Result = Result<(), StopConnectingError>;
}

impl Handler<StopConnecting> for SocketActor {
    type Result = ResponseFuture<Result<(), StopConnectingError>>;

    fn handle(&mut self, stop: StopConnecting, _: &mut Context<Self>) -> Self::Result {
        let StopConnecting(endpoint) = stop;
        let stopping = self.children.stop_connecting(&endpoint);
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let Some(stopping) = stopping else {
                return Err(match core.lifecycle.is_open() {
                    true => StopConnectingError::NotConnecting(endpoint),
                    false => Closed.into(),
                });
            };
            stopping.await;
            tracing::info!(%endpoint, "not dialling any more");
            let stopped = SocketEvent::DialerStopped { endpoint };
            core.events.announce(&stopped);
            Ok(())
        })
    }
}

/// Follow the source of this name no more.
#[derive(Debug)]
pub(crate) struct StopDiscovering(pub(crate) String);

impl Message for StopDiscovering {
    type Result = Result<(), DiscoveryError>;
}

impl Handler<StopDiscovering> for SocketActor {
    type Result = ResponseFuture<Result<(), DiscoveryError>>;

    fn handle(&mut self, stop: StopDiscovering, _: &mut Context<Self>) -> Self::Result {
        let StopDiscovering(name) = stop;
        let stopping = self.children.stop_discovery(&name);
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let Some(stopping) = stopping else {
                return Err(match core.lifecycle.is_open() {
                    true => DiscoveryError::NotFollowed(name),
                    false => Closed.into(),
                });
            };
            stopping.await;
            tracing::info!(source = name, "not following the source of peers any more");
            Ok(())
        })
    }
}

impl Handler<ConnectionPanicked> for SocketActor {
    type Result = ();

    fn handle(&mut self, panicked: ConnectionPanicked, _: &mut Context<Self>) {
        self.children.note_crash();
        let ConnectionPanicked {
            peer,
            address,
            role,
            stage,
            message,
        } = panicked;
        self.core.events.announce(&SocketEvent::ConnectionFailed {
            peer,
            address,
            role,
            stage,
            reason: message.to_string(),
        });
    }
}
