//! Rates: what happened between two reports, a second.

use std::collections::{BTreeMap, HashMap};

use actix_aiomsg::inspection::{Peer, Report};

/// What happened between two reports, a second; losses are counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rates {
    /// Messages that were handed to the system.
    pub(super) sent: f64,
    pub(super) received: f64,
    pub(super) acknowledged: f64,
    pub(super) resent: f64,
    /// By the identities of the peers.
    pub(super) peers: HashMap<String, PeerRates>,
    /// Messages that were lost since the report before, by reason.
    pub(super) lost: BTreeMap<String, u64>,
}

/// The same of one peer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PeerRates {
    pub(super) sent: f64,
    pub(super) resent: f64,
    /// Messages of the peer that handlers here were through with.
    pub(super) handled: f64,
}

impl Rates {
    /// Those between two reports; none if the second is of another socket, or comes at the same time.
    pub(super) fn between(before: &Report, after: &Report) -> Self {
        let passed = after.uptime - before.uptime;
        let same = before.process == after.process && before.identity == after.identity;
        if !same || passed <= 0.0 {
            return Self::default();
        }
        let total = |name: &str| {
            let of = |report: &Report| report.totals.get(name).copied().unwrap_or_default();
            per_second(of(before), of(after), passed)
        };
        let known: HashMap<_, _> = before.peers.iter().map(|peer| (&peer.peer, peer)).collect();
        let peers = after.peers.iter().map(|peer| {
            let before = known.get(&peer.peer).copied();
            (peer.peer.clone(), PeerRates::between(before, peer, passed))
        });
        let lost = after.dead_letters.iter().filter_map(|(reason, count)| {
            let before = before.dead_letters.get(reason).copied().unwrap_or_default();
            let lost = count.saturating_sub(before);
            (lost > 0).then(|| (reason.clone(), lost))
        });
        Self {
            sent: total("sent"),
            received: total("received"),
            acknowledged: total("acknowledged"),
            resent: total("resent"),
            peers: peers.collect(),
            lost: lost.collect(),
        }
    }

    /// Those of a peer.
    pub(super) fn of(&self, peer: &str) -> PeerRates {
        self.peers.get(peer).copied().unwrap_or_default()
    }
}

impl PeerRates {
    fn between(before: Option<&Peer>, after: &Peer, passed: f64) -> Self {
        // A new connection of the same peer counts from nothing.
        let nothing = Peer::default();
        let before = before
            .filter(|before| before.uptime <= after.uptime)
            .unwrap_or(&nothing);
        Self {
            sent: per_second(before.sent, after.sent, passed),
            resent: per_second(before.resent, after.resent, passed),
            handled: per_second(before.handled, after.handled, passed),
        }
    }
}

fn per_second(before: u64, after: u64, passed: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let more = after.saturating_sub(before) as f64;
    more / passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(uptime: f64, sent: u64, lost: u64) -> Report {
        let mut report = Report::default();
        report.uptime = uptime;
        report.totals.insert("sent".to_owned(), sent);
        report.dead_letters.insert("overflow".to_owned(), lost);
        let mut peer = Peer::default();
        (peer.peer, peer.uptime, peer.sent) = ("a".to_owned(), uptime, sent);
        report.peers.push(peer);
        report
    }

    #[test]
    fn a_rate_is_the_difference_over_the_time() {
        let rates = Rates::between(&report(10.0, 100, 3), &report(12.0, 180, 7));
        assert_eq!((rates.sent, rates.of("a").sent), (40.0, 40.0));
        assert_eq!(rates.lost["overflow"], 4);
        assert_eq!(rates.of("b"), PeerRates::default());
    }

    #[test]
    fn a_peer_that_came_again_counts_from_nothing_and_another_process_has_no_rates() {
        let mut after = report(12.0, 180, 3);
        (after.peers[0].uptime, after.peers[0].sent) = (0.5, 20);
        assert_eq!(
            Rates::between(&report(10.0, 100, 3), &after).of("a").sent,
            10.0
        );
        after.process = 7;
        assert_eq!(
            Rates::between(&report(10.0, 100, 3), &after),
            Rates::default()
        );
        let same = report(1.0, 5, 0);
        assert_eq!(Rates::between(&same, &same), Rates::default());
    }
}
