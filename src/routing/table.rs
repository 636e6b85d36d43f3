//! The connected peers, and the messages that wait for one: all that one lock guards.

use std::sync::Arc;

use super::outbox::Outbox;
use super::route_table::RouteTable;
use crate::engine::Roster;
use crate::link::{Link, LinkCounts, LinkLimits};

/// The peers of a socket and the messages that no link holds. Its lock comes before that of a link.
#[derive(Debug)]
pub(super) struct PeerTable {
    pub(super) members: RouteTable,
    /// Links that are closed and whose connections have not left yet: what they hold comes back.
    pub(super) leaving: Vec<Arc<Link>>,
    /// Links that got more than their bound when they joined, because it had waited for them.
    pub(super) backlogged: Vec<Arc<Link>>,
    pub(super) roster: Roster<u64>,
    pub(super) outbox: Outbox,
    /// True if the published list lacks members that joined.
    pub(super) stale: bool,
    /// Counts of closed links.
    pub(super) past: LinkCounts,
    /// Joins and departures so far, so that their order is known to whoever is told of the peers.
    pub(super) changes: u64,
    /// Peers that were admitted so far.
    pub(super) joins: u64,
    /// Messages that were published while nobody was connected, and dropped for that.
    pub(super) unheard: u64,
    /// Limits of each link, its share of the budget apart.
    pub(super) link_limits: Arc<LinkLimits>,
    /// Bytes that each link may hold.
    pub(super) share: usize,
}
