//! The metrics: their names, kinds, units and meanings.

use ::metrics::Unit;

/// The way in which a metric changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, while the program runs.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $id:ident $name:literal $unit:ident $help:literal;)*) => {
        $(pub(super) static $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            help: $help,
        };)*

        /// All of them.
        pub(super) static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    Gauge SOCKETS "aiomsg_sockets" Count "Sockets that are not closed.";
    Gauge NOT_LIVE "aiomsg_sockets_not_live" Count "Sockets that only a restart of the program helps: something was given up, or a thread is blocked.";
    Gauge NOT_READY "aiomsg_sockets_not_ready" Count "Sockets that do not their work: no listener, draining, or another criterion of their health.";
    Gauge PEERS "aiomsg_peers" Count "Peers that are connected.";
    Gauge CONNECTIONS "aiomsg_connections" Count "Connections, those in their handshake included.";
    Gauge CONNECTIONS_LIMIT "aiomsg_connections_limit" Count "The most connections that are admitted.";
    Counter JOINS "aiomsg_joins_total" Count "Peers that were admitted; one that reconnects counts again.";
    Counter REFUSED "aiomsg_refused_connections_total" Count "Connections that were closed before they carried anything.";
    Counter PROBES "aiomsg_probe_connections_total" Count "Refused connections whose other side said nothing.";
    Counter SENT "aiomsg_sent_messages_total" Count "Messages handed to the kernel; a published one counts once for each peer.";
    Counter RECEIVED "aiomsg_received_messages_total" Count "Messages received, repetitions included.";
    Counter DUPLICATES "aiomsg_duplicate_messages_total" Count "Messages received that were known and not delivered again.";
    Counter ACKNOWLEDGED "aiomsg_acknowledged_messages_total" Count "Messages that peers have acknowledged.";
    Counter RESENT "aiomsg_resent_messages_total" Count "Messages that were sent again for want of an acknowledgement.";
    Counter UNHEARD "aiomsg_unheard_messages_total" Count "Messages that were published while nobody was connected, and dropped.";
    Counter DEAD_LETTERS "aiomsg_dead_letters_total" Count "Accepted messages that will not arrive, by reason.";
    Counter MALFORMED "aiomsg_malformed_frames_total" Count "Malformed frames, which were skipped.";
    Counter UNKNOWN "aiomsg_unknown_frames_total" Count "Frames of an unknown type, which were skipped.";
    Counter METADATA_LEFT_OUT "aiomsg_metadata_omitted_total" Count "Messages that went without their metadata, because their peer does not read it.";
    Counter BAD_ENVELOPES "aiomsg_bad_envelopes_total" Count "Messages received whose metadata is malformed, which were refused.";
    Counter LATE_ANSWERS "aiomsg_late_answers_total" Count "Answers that came when nobody waited for them any more.";
    Gauge ASKS "aiomsg_open_asks" Count "Asks that wait for their answer.";
    Gauge QUEUE_MESSAGES "aiomsg_queue_messages" Count "Messages in a queue.";
    Gauge QUEUE_BYTES "aiomsg_queue_bytes" Bytes "Bytes in a queue.";
    Gauge QUEUE_LIMIT_BYTES "aiomsg_queue_limit_bytes" Bytes "The bound of a queue: of the outbox, or of all links together.";
    Counter STORE_COMMITS "aiomsg_store_commits_total" Count "Commits of the outbox's store.";
    Counter RESTORED "aiomsg_restored_messages_total" Count "Messages of earlier starts that the outbox held at the start.";
    Counter DISCARDED_LETTERS "aiomsg_discarded_letters_total" Count "Dead letters that the dead-letter queue had to let go, for want of room or for their age.";
    Counter REDRIVEN_LETTERS "aiomsg_redriven_letters_total" Count "Dead letters that were sent, or delivered, once more.";
    Counter DAMAGED "aiomsg_damaged_records_total" Count "Records of the outbox that could not be read.";
    Gauge STORE_FAILING "aiomsg_store_failing" Count "Sockets whose outbox could not be written when that was last tried.";
    Gauge LINK_SHARE "aiomsg_link_share_bytes" Bytes "Bytes that may wait to be written to one peer.";
    Gauge MEMORY_BUDGET "aiomsg_memory_budget_bytes" Bytes "Memory for all peers together.";
}
