//! What a socket's figures come to as metrics.

use super::catalog::{self as metric, Metric};
use crate::core::Stats;
use crate::health::Health;

/// One value of one metric, with its label beside that of the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) metric: &'static Metric,
    pub(super) label: Option<(&'static str, &'static str)>,
    pub(super) value: u64,
}

/// The readings of one socket that is not closed, or of which something was given up.
pub(super) fn of_socket(stats: &Stats, health: &Health) -> Vec<Reading> {
    // A new figure is given its metric here.
    let Stats {
        peers,
        connections,
        joins,
        refused,
        probes,
        sent,
        received,
        duplicates,
        dedupe_messages,
        acknowledged,
        resent,
        unacknowledged,
        unacknowledged_bytes,
        queued_messages,
        queued_bytes,
        above_bound_bytes,
        outbox_messages,
        outbox_bytes,
        stored_messages,
        stored_bytes,
        stored_commits,
        restored_messages,
        damaged_records,
        store_failing,
        kept_letters,
        kept_letter_bytes,
        discarded_letters,
        redriven_letters,
        inbox_messages,
        inbox_bytes,
        unfinished_bytes,
        read_ahead_bytes,
        // An identity is no label.
        slowest_subscriber: _,
        remembered_bytes,
        catalog_bytes,
        unheard,
        // The sum of the losses.
        dead_letters: _,
        asks,
        late_answers,
        losses,
        limits,
        link_share_bytes,
        returned_tells,
        returned_tell_bytes,
        control_bytes,
        malformed,
        unknown,
        metadata_left_out,
        bad_envelopes,
    } = *stats;
    let mut readings = Vec::with_capacity(64);
    let mut plain = |metric: &'static Metric, value: u64| {
        readings.push(Reading {
            metric,
            label: None,
            value,
        });
    };
    plain(&metric::SOCKETS, 1);
    plain(&metric::NOT_LIVE, u64::from(!health.is_live()));
    plain(&metric::NOT_READY, u64::from(!health.is_ready()));
    plain(&metric::PEERS, peers as u64);
    plain(&metric::CONNECTIONS, connections as u64);
    plain(&metric::CONNECTIONS_LIMIT, limits.max_connections as u64);
    plain(&metric::JOINS, joins);
    plain(&metric::REFUSED, refused);
    plain(&metric::PROBES, probes);
    plain(&metric::SENT, sent);
    plain(&metric::RECEIVED, received);
    plain(&metric::DUPLICATES, duplicates);
    plain(&metric::ACKNOWLEDGED, acknowledged);
    plain(&metric::RESENT, resent);
    plain(&metric::UNHEARD, unheard);
    plain(&metric::MALFORMED, malformed);
    plain(&metric::UNKNOWN, unknown);
    plain(&metric::METADATA_LEFT_OUT, metadata_left_out);
    plain(&metric::BAD_ENVELOPES, bad_envelopes);
    plain(&metric::LATE_ANSWERS, late_answers);
    plain(&metric::STORE_COMMITS, stored_commits);
    plain(&metric::RESTORED, restored_messages as u64);
    plain(&metric::DAMAGED, damaged_records as u64);
    plain(&metric::DISCARDED_LETTERS, discarded_letters);
    plain(&metric::REDRIVEN_LETTERS, redriven_letters);
    plain(&metric::STORE_FAILING, u64::from(store_failing));
    plain(&metric::ASKS, asks as u64);
    plain(&metric::LINK_SHARE, link_share_bytes as u64);
    plain(&metric::MEMORY_BUDGET, limits.memory_budget as u64);
    let mut labelled = |metric: &'static Metric, label, value: u64| {
        readings.push(Reading {
            metric,
            label: Some(label),
            value,
        });
    };
    for (queue, messages) in [
        ("link", queued_messages),
        ("unacknowledged", unacknowledged),
        ("outbox", outbox_messages),
        ("stored", stored_messages),
        ("dead_letters", kept_letters),
        ("inbox", inbox_messages),
        ("returned_tells", returned_tells),
        ("dedupe", dedupe_messages),
    ] {
        labelled(&metric::QUEUE_MESSAGES, ("queue", queue), messages as u64);
    }
    for (queue, bytes) in [
        ("link", queued_bytes),
        ("unacknowledged", unacknowledged_bytes),
        ("above_bound", above_bound_bytes),
        ("outbox", outbox_bytes),
        ("stored", stored_bytes),
        ("dead_letters", kept_letter_bytes),
        ("inbox", inbox_bytes),
        ("unfinished", unfinished_bytes),
        ("read_ahead", read_ahead_bytes),
        ("remembered", remembered_bytes),
        ("catalogs", catalog_bytes),
        ("returned_tells", returned_tell_bytes),
        ("control", control_bytes),
    ] {
        labelled(&metric::QUEUE_BYTES, ("queue", queue), bytes as u64);
    }
    let of_links = limits.link_capacity.bytes.saturating_mul(peers.max(1));
    for (queue, bytes) in [
        ("link", of_links.min(limits.memory_budget / 2)),
        ("outbox", limits.outbox_capacity.bytes),
    ] {
        labelled(&metric::QUEUE_LIMIT_BYTES, ("queue", queue), bytes as u64);
    }
    for (reason, count) in losses.by_reason() {
        labelled(&metric::DEAD_LETTERS, ("reason", reason), count);
    }
    readings
}
