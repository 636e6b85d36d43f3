//! Connections that are refused: they are counted, told of in the log, and announced.

use crate::address::{PeerAddress, Role};
use crate::core::SocketCore;
use crate::engine::LogPermit;
use crate::event::{RefusalReason, SocketEvent};
use crate::id::Identity;
use crate::telemetry::{self, Topic};

/// Tells of a refusal: the connect end's dialer has more to say about it than the connection, and a
/// probe that says nothing is no trouble.
pub(super) fn log_refusal(
    address: &PeerAddress,
    role: Role,
    reason: &RefusalReason,
    is_probe: bool,
) {
    if role == Role::ConnectEnd || is_probe {
        tracing::debug!(%address, ?role, %reason, "connection refused");
        return;
    }
    // A probe that comes each minute does not hide what is refused for another reason.
    let source = (address.network(), std::mem::discriminant(reason));
    if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Refused, source) {
        tracing::warn!(%address, ?role, %reason, unlogged, "connection refused");
    }
}

/// Counts and announces a refusal.
pub(super) fn announce_refusal(
    core: &SocketCore,
    peer: Option<Identity>,
    address: PeerAddress,
    role: Role,
    reason: RefusalReason,
) {
    core.admission.note_refused();
    core.events.announce(&SocketEvent::HandshakeRefused {
        peer,
        address,
        role,
        reason,
    });
}

/// A web server has refused an upgrade for a socket, as a port of the socket's own would have.
#[cfg(feature = "actix-web")]
pub(crate) fn announce_refused_upgrade(
    core: &SocketCore,
    address: PeerAddress,
    reason: RefusalReason,
) {
    let role = Role::BindEnd;
    log_refusal(&address, role, &reason, false);
    announce_refusal(core, None, address, role, reason);
}
