//! Who is connected, and what waits for somebody to come: all that one lock guards.

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
    pub(super) roster: Roster<u64>,
    pub(super) outbox: Outbox,
    /// Whether the published list lacks members that joined.
    pub(super) stale: bool,
    /// What closed links have done.
    pub(super) past: LinkCounts,
    /// Peers that were admitted so far.
    pub(super) joins: u64,
    /// Messages that were published while nobody was connected, and dropped for that.
    pub(super) unheard: u64,
    /// What each link may hold, its share of the budget apart.
    pub(super) link_limits: Arc<LinkLimits>,
    /// Bytes that each link may hold.
    pub(super) share: usize,
}
