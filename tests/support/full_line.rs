//! A line that is full, because its peer does not read.

use std::time::Duration;

use actix_aiomsg::prelude::*;
use tokio::time::timeout;

/// A send that takes longer waits for room.
const FULL: Duration = Duration::from_millis(200);

/// Sends large messages to a peer until the kernel is full, and the link has no room for another one. Each begins with its
/// number and a space. Yields how many they are.
pub async fn send_until_full(socket: &Socket, peer: Identity) -> usize {
    let text = |number| format!("{number} {:60000}", "");
    let mut sent = 0;
    while let Ok(done) = timeout(FULL, socket.send_to(peer, text(sent))).await {
        done.expect("it is open");
        sent += 1;
    }
    sent
}
