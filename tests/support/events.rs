//! What tests ask of the kit's probes of events.

use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{
    Identity,
    event::{Party, RefusalReason},
};

/// Listens to a socket's peers.
pub fn peer_events(socket: &Socket) -> Probe<PeerEvent> {
    let (recipient, peers) = Probe::recipient();
    socket.peer_events(recipient);
    peers
}

/// A probe of peers.
pub trait PeerProbe {
    /// Skips to the next peer that is up.
    async fn up(&mut self) -> Identity;

    /// Skips to the next peer that is down.
    async fn down(&mut self) -> Identity;

    /// Why the next connection ended, and who began it.
    async fn end(&mut self) -> (DownReason, Party);
}

impl PeerProbe for Probe<PeerEvent> {
    async fn up(&mut self) -> Identity {
        let up = |event| match event {
            PeerEvent::Up { peer, .. } => Some(peer),
            _ => None,
        };
        self.find(up).await.expect("a peer that is up")
    }

    async fn down(&mut self) -> Identity {
        let down = |event| match event {
            PeerEvent::Down { peer, .. } => Some(peer),
            _ => None,
        };
        self.find(down).await.expect("a peer that is down")
    }

    async fn end(&mut self) -> (DownReason, Party) {
        let down = |event| match event {
            PeerEvent::Down { reason, by, .. } => Some((reason, by)),
            _ => None,
        };
        self.find(down).await.expect("a peer that is down")
    }
}

/// A probe of what sockets tell.
pub trait SocketProbe {
    /// Why the next connection was refused.
    async fn refusal(&mut self) -> RefusalReason;

    /// Why the next attempt to dial failed.
    async fn dial_failure(&mut self) -> RefusalReason;
}

impl SocketProbe for Probe<SocketEvent> {
    async fn refusal(&mut self) -> RefusalReason {
        let refused = |event| match event {
            SocketEvent::HandshakeRefused { reason, .. } => Some(reason),
            _ => None,
        };
        self.find(refused).await.expect("a refusal")
    }

    async fn dial_failure(&mut self) -> RefusalReason {
        let failed = |event| match event {
            SocketEvent::DialFailed { reason, .. } => Some(reason),
            _ => None,
        };
        self.find(failed).await.expect("a failed attempt")
    }
}

/// A TLS refusal without its details, to compare with.
pub fn without_detail(mut reason: RefusalReason) -> RefusalReason {
    if let RefusalReason::Tls { detail, .. } = &mut reason {
        detail.clear();
    }
    reason
}
