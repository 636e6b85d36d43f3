//! A connection's membership in its socket: announced when it begins, and ended however the
//! connection ends, a panic included.

use std::sync::Arc;

use super::connections::{EntryRef, Left};
use crate::address::{PeerAddress, Role, TransportKind};
use crate::authorize::Credentials;
use crate::clock;
use crate::core::SocketCore;
use crate::engine::LogPermit;
use crate::event::PeerDown;
use crate::event::{DownReason, Party, PeerEvent};
use crate::id::Identity;
use crate::link::{CloseCause, Link, WriteBatch};
use crate::routing::{EndedBy, JoinOutcome};
use crate::telemetry::{self, Topic};

/// The peer of a connection, and the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    pub(crate) address: PeerAddress,
    pub(crate) transport: TransportKind,
    pub(crate) role: Role,
    /// When the connection began, counted in connections.
    pub(crate) since: u64,
    /// It has said that it reads metadata.
    pub(crate) reads_metadata: bool,
}

/// Dropping it ends the membership: the link is closed, what it held is dealt with, and the peer
/// is announced as down.
#[derive(Debug)]
pub(crate) struct Membership {
    entry: EntryRef,
    link: Arc<Link>,
    transport: TransportKind,
    /// Output that the writer has not handed to the kernel.
    batch: WriteBatch,
    end: (DownReason, Party),
}

impl Membership {
    /// A membership that is to be asked for.
    pub(crate) fn new(entry: EntryRef, link: Arc<Link>, transport: TransportKind) -> Self {
        entry.identify(&link, transport);
        Self {
            entry,
            link,
            transport,
            batch: WriteBatch::default(),
            end: (DownReason::SocketClosed, Party::Us),
        }
    }

    pub(crate) fn core(&self) -> &Arc<SocketCore> {
        self.entry.core()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The parts that the writer works with.
    pub(super) fn writing(&mut self) -> (&SocketCore, &Link, &mut WriteBatch) {
        (self.entry.core(), &self.link, &mut self.batch)
    }

    /// True if something waits for the end: messages that go elsewhere then, asks that may be tried elsewhere, or another
    /// connection of the peer.
    pub(super) fn is_waited_for(&self) -> bool {
        let load = self.link.load();
        load.frames > 0
            || load.unacknowledged > 0
            || self.batch.block.is_some()
            || self.link.owes_answer()
            || self.link.has_newcomer()
            || self.link.close_cause().is_some()
            || self.core().router.outbox_messages() > 0
    }

    /// The connection ends, and not all was read that the peer had sent.
    #[cold]
    pub(super) fn log_unread(&self) {
        let peer = self.link.peer();
        if self.core().lifecycle.is_open()
            && let Some(LogPermit { unlogged }) = telemetry::line(Topic::Unread, peer)
        {
            tracing::warn!(
                %peer, unlogged,
                "a connection ends over messages that its peer had sent, because handlers have no room for them"
            );
        }
    }

    /// The connection ends, and the peer has not said that it has read everything.
    #[cold]
    pub(super) fn log_unended(&self) {
        let (peer, counts) = (self.link.peer(), self.link.counts());
        if counts.sent > counts.acknowledged
            && let Some(LogPermit { unlogged }) = telemetry::line(Topic::Unended, peer)
        {
            tracing::warn!(
                %peer, unlogged,
                "a peer has not read everything by the end of its connection: what is on its way may be lost"
            );
        }
    }

    /// Why it ends, for the announcement.
    pub(crate) fn end_with(&mut self, reason: DownReason, by: Party) {
        self.end = (reason, by);
    }
}

/// Asks for the membership of a link, and announces the peer if it is granted. The router does
/// this, one peer after the other.
pub(crate) fn admit(core: &SocketCore, link: &Arc<Link>, peer: &Peer) -> JoinOutcome {
    let joined = core.router.join(link, clock::now());
    if matches!(joined, JoinOutcome::Accepted) {
        core.services.handle_join(link);
        tracing::info!(peer = %peer.identity, address = %peer.address, role = ?peer.role, "peer up");
        core.events.announce_peer(&PeerEvent::Up {
            peer: peer.identity,
            address: peer.address.clone(),
            transport: peer.transport,
            role: peer.role,
            certificates: link
                .credentials()
                .and_then(Credentials::certificates)
                .cloned(),
        });
    }
    joined
}

impl Drop for Membership {
    fn drop(&mut self) {
        let core = self.entry.core();
        let Left {
            address,
            role,
            disconnected,
        } = self.entry.leave();
        let (reason, by) = self.end.clone();
        let reason = match reason {
            DownReason::SocketClosed if disconnected => DownReason::Disconnected,
            DownReason::SocketClosed => match self.link.close_cause() {
                Some(CloseCause::Overflow) => DownReason::Overflow,
                Some(CloseCause::Standstill) => DownReason::Stalled,
                Some(CloseCause::Ended) | None => reason,
            },
            reason => reason,
        };
        let batch = std::mem::take(&mut self.batch);
        let ended_by = match (by, &reason) {
            (Party::Peer, _) => EndedBy::Peer,
            (Party::Network, _) | (Party::Us, DownReason::Silent) => EndedBy::Network,
            (Party::Us, _) => EndedBy::Us,
        };
        if !core.leave(&self.link, batch, clock::now(), ended_by) {
            return;
        }
        let peer = self.link.peer();
        tracing::info!(%peer, %address, %reason, ?by, "peer down");
        if reason.is_violation()
            && let Some(LogPermit { unlogged }) =
                telemetry::line(Topic::BrokenRules, address.network())
        {
            tracing::warn!(%peer, %address, %reason, unlogged, "a peer broke the protocol");
        }
        core.events.tell_watchers(&PeerDown {
            peer,
            reason: reason.clone(),
            by,
        });
        core.events.announce_peer(&PeerEvent::Down {
            peer,
            address,
            transport: self.transport,
            role,
            reason,
            by,
        });
    }
}
