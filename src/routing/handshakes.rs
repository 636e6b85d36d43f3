//! Handshakes in progress: bounded, so that strangers who say nothing do not fill the socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::SocketCore;
use crate::sync::Mutex;

/// The handshakes of accepted connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// The place of one handshake, which it gives up when this is dropped.
#[derive(Debug)]
pub(crate) struct HandshakePlace {
    core: Arc<SocketCore>,
    number: u64,
    displaced: oneshot::Receiver<()>,
}

impl SocketCore {
    /// A place for one more handshake. There always is one: at the limit the oldest has to go, and
    /// the second part says so.
    pub(crate) fn begin_handshake(self: &Arc<Self>) -> (HandshakePlace, bool) {
        let (displace, displaced) = oneshot::channel();
        let number = self.next_serial();
        let mut waiting = self.handshakes.waiting.lock();
        let oldest = (waiting.len() >= self.limits().max_handshakes)
            .then(|| waiting.pop_first())
            .flatten();
        waiting.insert(number, displace);
        drop(waiting);
        let full = oldest.is_some();
        if let Some((_, displace)) = oldest {
            // It may have finished in this moment.
            let _ = displace.send(());
        }
        let place = HandshakePlace {
            core: Arc::clone(self),
            number,
            displaced,
        };
        (place, full)
    }
}

impl HandshakePlace {
    /// Resolves when a newer handshake needs the place.
    pub(crate) async fn displaced(&mut self) {
        // An error cannot be: whoever takes the sender away uses it.
        let _ = (&mut self.displaced).await;
    }
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        self.core.handshakes.waiting.lock().remove(&self.number);
    }
}
