//! Starts the actors of a socket, and ends them when the socket has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};

use super::children::Children;
use super::drain_group::{DrainGroup, EndedBy};
use super::restarts::{vital, watched};
use super::shutdown::{self, DRAIN_AT_END, GOODBYE};
use super::socket::SocketActor;
use crate::connection::connections::Connections;
use crate::core::{Part, SocketCore};
use crate::lifecycle::SocketPhase;
use crate::supervise::{Child, EndListener, listen};

/// Time in which a closed socket's own actor answers the callers that wait for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Starts the actors of a socket. `kept` is dropped when the socket has ended.
pub(crate) fn start_socket(
    connections: &Arc<Connections>,
    arbiters: Vec<Arbiter>,
    kept: impl Sized + 'static,
) -> Addr<SocketActor> {
    let core = connections.core();
    let children = Children::start(connections, arbiters);
    let (own, below) = (Arc::clone(core), Rc::clone(&children));
    let socket = move || SocketActor::new(Arc::clone(&own), Rc::clone(&below));
    let socket = vital(watched(core, "socket", socket), core).spawn();
    let addr = socket.addr();
    connections.report_to(addr.downgrade().recipient());
    let end = listen(core.standing.scope(), DRAIN_AT_END + 2 * GOODBYE);
    let ending = end_with_socket(Arc::clone(core), children, socket, end);
    actix_rt::spawn(async move {
        let _kept = kept;
        ending.await;
    });
    addr
}

/// Ends the actors of a socket when the socket has ended, however it did, and says what is lost
/// when nobody ended it.
async fn end_with_socket(
    core: Arc<SocketCore>,
    children: Rc<Children>,
    socket: Child<SocketActor>,
    mut end: EndListener,
) {
    // All sockets of the program are put in order at the same time.
    let group = DrainGroup::join(&core, EndedBy::Supervision);
    let mut guard = LossReport {
        core: Arc::clone(&core),
        reason: Some("the system stopped before the socket was closed".to_owned()),
    };
    let escalation = tokio::select! {
        biased;
        _ = shutdown::closed_report(&core) => None,
        escalation = end.given_up() => Some(escalation),
    };
    if let Some(escalation) = escalation {
        core.standing
            .note_given_up(Part::Vital, escalation.to_string());
        guard.reason = Some(format!("the program ends: {escalation}"));
        tokio::select! {
            biased;
            _ = shutdown::closed_report(&core) => {}
            () = put_in_order(&core, &children, group) => {}
        }
    } else {
        drop(group);
    }
    drop(end);
    shutdown::closed_report(&core).await;
    guard.reason = None;
    children.stop().await;
    // After a close it stops by itself, when everyone who waited for the close has an answer.
    let _ = tokio::time::timeout(FAREWELL, socket.ended()).await;
    socket.stop().await;
    core.events.end();
    children.stop_arbiters();
}

/// Drains a socket whose program ends, and parts with its peers. The socket is not closed: whoever waits for it does
/// so until the program has ended, and does not take the end for one that it may go on from.
async fn put_in_order(core: &SocketCore, children: &Children, group: DrainGroup) {
    children.stop_accepting();
    shutdown::drain_with(group, children.drain_at_end()).await;
    core.enter(SocketPhase::Closing);
    children.stop_dialling();
    shutdown::part(core, GOODBYE).await;
    let report = core.report();
    if report.is_loss() {
        tracing::warn!(?report, "the program ends over messages of a socket");
    }
}

/// Reports a system that stops before the socket is closed. Nothing is polled any more then: messages that
/// were accepted and not written are lost, as the end of the socket reports.
struct LossReport {
    core: Arc<SocketCore>,
    /// Absent once the socket is closed.
    reason: Option<String>,
}

impl Drop for LossReport {
    fn drop(&mut self) {
        if let Some(reason) = &self.reason
            && !self.core.lifecycle.is_closed()
        {
            self.core.end(reason);
        }
    }
}
