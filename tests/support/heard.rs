//! What a recipient of events has heard, for a test to go through.

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::{
    Identity,
    event::{Party, RefusalReason},
};
use tokio::sync::mpsc;

use super::within_patience;

/// What was told and has not been looked at, in order.
pub struct Heard<M> {
    pub told: mpsc::UnboundedReceiver<M>,
}

/// An actor that hears events of one kind.
pub struct Ear<M> {
    told: mpsc::UnboundedSender<M>,
}

/// Starts an actor that hears events of one kind.
pub fn ear<M>() -> (Recipient<M>, Heard<M>)
where
    M: Message<Result = ()> + Send + Unpin + 'static,
    Context<Ear<M>>: ToEnvelope<Ear<M>, M>,
{
    let (sender, told) = mpsc::unbounded_channel();
    let ear = Ear { told: sender }.start();
    (ear.recipient(), Heard { told })
}

/// Listens to a socket's peers.
pub fn peer_events(socket: &Socket) -> Heard<PeerEvent> {
    let (recipient, peers) = ear();
    socket.peer_events(recipient);
    peers
}

impl<M: std::fmt::Debug> Heard<M> {
    /// The next event.
    pub async fn next(&mut self) -> M {
        within_patience("an event", self.told.recv())
            .await
            .expect("the ear lives")
    }

    /// Skips to the next event that `wanted` accepts, and yields what it makes of it.
    pub async fn find<R>(&mut self, what: &str, mut wanted: impl FnMut(M) -> Option<R>) -> R {
        let finding = async {
            loop {
                let event = self.told.recv().await.expect("the ear lives");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        within_patience(what, finding).await
    }

    /// Everything that has been heard and not looked at.
    pub fn rest(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

impl Heard<PeerEvent> {
    /// Skips to the next peer that is up.
    pub async fn up(&mut self) -> Identity {
        let up = |event| match event {
            PeerEvent::Up { peer, .. } => Some(peer),
            _ => None,
        };
        self.find("a peer that is up", up).await
    }

    /// Skips to the next peer that is down.
    pub async fn down(&mut self) -> Identity {
        let down = |event| match event {
            PeerEvent::Down { peer, .. } => Some(peer),
            _ => None,
        };
        self.find("a peer that is down", down).await
    }

    /// Why the next connection ended, and who began it.
    pub async fn end(&mut self) -> (DownReason, Party) {
        let down = |event| match event {
            PeerEvent::Down { reason, by, .. } => Some((reason, by)),
            _ => None,
        };
        self.find("a peer that is down", down).await
    }
}

/// A TLS refusal without its details, to compare with.
pub fn without_detail(mut reason: RefusalReason) -> RefusalReason {
    if let RefusalReason::Tls { detail, .. } = &mut reason {
        detail.clear();
    }
    reason
}

impl Heard<SocketEvent> {
    /// Why the next connection was refused.
    pub async fn refusal(&mut self) -> RefusalReason {
        let refused = |event| match event {
            SocketEvent::HandshakeRefused { reason, .. } => Some(reason),
            _ => None,
        };
        self.find("a refusal", refused).await
    }

    /// Why the next attempt to dial failed.
    pub async fn dial_failure(&mut self) -> RefusalReason {
        let failed = |event| match event {
            SocketEvent::DialFailed { reason, .. } => Some(reason),
            _ => None,
        };
        self.find("a failed attempt", failed).await
    }
}

impl<M: Unpin + 'static> Actor for Ear<M> {
    type Context = Context<Self>;
}

impl<M> Handler<M> for Ear<M>
where
    M: Message<Result = ()> + Unpin + 'static,
{
    type Result = ();

    fn handle(&mut self, event: M, _: &mut Self::Context) {
        // A test that has ended listens no more.
        let _ = self.told.send(event);
    }
}
