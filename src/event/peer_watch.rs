//! Watching one peer, as a monitor watches an actor.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::peer::{DownReason, Party};
use crate::id::Identity;
use crate::sync::Mutex;

/// The connection of a watched peer has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerDown {
    /// The peer.
    pub peer: Identity,
    /// Why it ended; [`NotConnected`](DownReason::NotConnected) if there was none.
    pub reason: DownReason,
    /// The side that ended it.
    pub by: Party,
}

/// Resolves, once, when the connection of a peer has ended.
///
/// # Cancel safety
///
/// Dropping it ends the watch.
#[derive(Debug)]
pub struct PeerWatch {
    peer: Identity,
    down: Option<oneshot::Receiver<PeerDown>>,
}

impl PeerWatch {
    pub(crate) const fn not_connected(peer: Identity) -> Self {
        Self { peer, down: None }
    }

    fn ended(&self, reason: DownReason) -> PeerDown {
        PeerDown {
            peer: self.peer,
            reason,
            by: Party::Us,
        }
    }
}

impl Future for PeerWatch {
    type Output = PeerDown;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PeerDown> {
        match &mut self.down {
            None => Poll::Ready(self.ended(DownReason::NotConnected)),
            Some(down) => {
                let down = std::task::ready!(Pin::new(down).poll(cx));
                Poll::Ready(down.unwrap_or_else(|_| self.ended(DownReason::SocketClosed)))
            }
        }
    }
}

/// Watches by peer.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_peer: Mutex<HashMap<Identity, Vec<oneshot::Sender<PeerDown>>>>,
}

impl Watchers {
    pub(crate) fn add(&self, peer: Identity) -> PeerWatch {
        let (sender, receiver) = oneshot::channel();
        let mut by_peer = self.by_peer.lock();
        let watchers = by_peer.entry(peer).or_default();
        // Watches that were dropped make room for new ones.
        watchers.retain(|watcher| !watcher.is_closed());
        watchers.push(sender);
        PeerWatch {
            peer,
            down: Some(receiver),
        }
    }

    pub(crate) fn tell(&self, down: &PeerDown) {
        let watchers = self.by_peer.lock().remove(&down.peer).unwrap_or_default();
        for watcher in watchers {
            // Nobody waits any more.
            let _ = watcher.send(down.clone());
        }
    }
}
