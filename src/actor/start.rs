//! Starts the actors of a socket, and ends them when the socket has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};

use super::children::Children;
use super::restarts::{vital, watched};
use super::socket::SocketActor;
use crate::routing::{SocketCore, SocketPhase};
use crate::supervise::Child;

/// How long a closed socket's own actor has to answer who waits for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Starts the actors of a socket.
pub(crate) fn start_socket(core: &Arc<SocketCore>, arbiters: Vec<Arbiter>) -> Addr<SocketActor> {
    let children = Children::start(core, arbiters);
    let (own, below) = (Arc::clone(core), Rc::clone(&children));
    let socket = move || SocketActor::new(Arc::clone(&own), Rc::clone(&below));
    let socket = vital(watched(core, "socket", socket), core).spawn();
    let addr = socket.addr();
    actix_rt::spawn(end_with_socket(Arc::clone(core), children, socket));
    addr
}

/// Ends the actors of a socket when the socket has ended, however it did, and says what is lost
/// when nobody ended it.
async fn end_with_socket(
    core: Arc<SocketCore>,
    children: Rc<Children>,
    socket: Child<SocketActor>,
) {
    let mut guard = LossReport {
        core: Arc::clone(&core),
        told: false,
    };
    let mut state = core.state();
    // The core holds the sender, so that this does not fail.
    let _ = state
        .wait_for(|state| state.phase == SocketPhase::Closed)
        .await;
    guard.told = true;
    children.stop().await;
    // After a close it stops by itself, when everyone who waited for the close has an answer.
    let _ = tokio::time::timeout(FAREWELL, socket.ended()).await;
    socket.stop().await;
    core.end_announcements();
    children.stop_arbiters();
}

/// Notices when the system stops before the socket is closed. Nothing is polled any more then, so
/// that what was accepted and not written is lost, as the end of the socket reports.
struct LossReport {
    core: Arc<SocketCore>,
    told: bool,
}

impl Drop for LossReport {
    fn drop(&mut self) {
        if self.told || self.core.is_closed() {
            return;
        }
        self.core
            .end("the system stopped before the socket was closed");
    }
}
