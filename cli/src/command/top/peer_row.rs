//! A peer in a row: the same texts in the table of the live view and in the lines of a single look.

use actix_aiomsg::inspection::Peer;

use super::diagnose::{count, seconds, short_peer};
use super::rates::Rates;
use crate::payload_text::harmless;

/// What is told of a peer. No text steers a terminal.
#[derive(Debug, PartialEq)]
pub(super) struct PeerRow {
    pub(super) peer: String,
    pub(super) address: String,
    pub(super) transport: String,
    /// Our end of the connection.
    pub(super) role: String,
    pub(super) uptime: String,
    pub(super) last_heard: String,
    pub(super) queue: String,
    pub(super) in_flight: String,
    /// Messages a second.
    pub(super) sent: String,
    /// In all.
    pub(super) resent: String,
    /// Messages a second.
    pub(super) handled: String,
}

impl PeerRow {
    pub(super) fn of(peer: &Peer, rates: &Rates) -> Self {
        let rates = rates.of(&peer.peer);
        Self {
            peer: harmless(&short_peer(&peer.peer)),
            address: harmless(&peer.address),
            transport: harmless(&peer.transport),
            role: harmless(&peer.role),
            uptime: seconds(peer.uptime),
            last_heard: seconds(peer.last_heard),
            queue: queue(peer),
            in_flight: count_of(peer.in_flight),
            sent: count(rates.sent),
            resent: count_of(peer.resent),
            handled: count(rates.handled),
        }
    }
}

/// The depth of a queue, and how much of its bounds that is.
pub(super) fn queue(peer: &Peer) -> String {
    let share = |held: u64, bound: u64| (held * 100).checked_div(bound).unwrap_or_default();
    let full =
        share(peer.queued, peer.queue_bound).max(share(peer.queued_bytes, peer.queue_bound_bytes));
    match peer.queued {
        0 => "0".to_owned(),
        queued => format!("{} ({full} %)", count_of(queued)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded for people")]
pub(super) fn count_of(number: u64) -> String {
    count(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_as_full_as_the_bound_that_it_is_nearer_to() {
        let mut peer = Peer::default();
        assert_eq!(queue(&peer), "0");
        (peer.queued, peer.queue_bound) = (10, 1000);
        (peer.queued_bytes, peer.queue_bound_bytes) = (3, 4);
        assert_eq!(queue(&peer), "10 (75 %)");
    }

    #[test]
    fn what_a_peer_says_steers_no_terminal() {
        let mut peer = Peer::default();
        peer.address = "\x1b[31mred".to_owned();
        let row = PeerRow::of(&peer, &Rates::default());
        assert!(!row.address.contains('\x1b'), "{row:?}");
    }
}
