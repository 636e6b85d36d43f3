//! The table of what may change while a socket runs: one row for each, read by [`Limits`] and by the
//! builder. A new tunable is a row here.
//!
//! [`Limits`]: super::Limits

/// Hands all rows to the macro `$define`. A row is a document, a kind, a name, a type and a default;
/// its kind says how the builder takes it: as a `value`, as `bytes`, as a `capacity` of messages and bytes, or as
/// an `optional` value.
macro_rules! limits_table {
    ($define:ident) => {
        $define! {
            /// Interval between heartbeats on a connection that sends nothing else (WIRE §5.1). Default: 5 s.
            value heartbeat_interval: Duration = Duration::from_secs(5);
            /// Time without any frame from a peer after which its connection ends (WIRE §5.2). Default: 15 s. A
            /// large message over a slow link has to arrive within it.
            value heartbeat_timeout: Duration = Duration::from_secs(15);
            /// Time without progress after which a connection that we do not read from ends as
            /// [`Stalled`](crate::event::DownReason::Stalled). Default: 10 s. We do not read from a peer that does
            /// not take its answers. A peer that merely does not read, and is not silent, keeps its connection.
            value write_timeout: Duration = Duration::from_secs(10);
            /// Time in which nothing is finished and nothing acknowledged after which a connection ends as
            /// [`Stalled`](crate::event::DownReason::Stalled), because both ends may be waiting for each other.
            /// Default: six times [`write_timeout`](crate::SocketBuilder::write_timeout), 60 s.
            ///
            /// It runs only while the peer owes us an acknowledgement or an answer, our handlers have messages that
            /// they have not finished, and either an inbox is full, or somebody here awaits a receipt while the peer waits for our
            /// acknowledgement as well. A handler that takes long ends no connection otherwise. If yours may take longer
            /// than this while all of that holds, set a longer time.
            optional standstill_timeout: Duration = None;
            /// Time without an acknowledgement after which a message is sent again (WIRE §6.2).
            /// Default: 5 s; each resend of the same message doubles it, up to 60 s.
            value resend_timeout: Duration = Duration::from_secs(5);
            /// Number of resends, over all connections of a message, after which it becomes a dead letter.
            /// Default: without limit.
            optional resend_limit: u32 = None;
            /// Policy for a message to one peer when that peer's link is full, and for a round-robin message
            /// when all links are. Default: [`Overflow::Wait`]. Answers of handlers have a bound of their own,
            /// see [`Received::reply`](crate::Received::reply).
            value link_overflow: Overflow = Overflow::Wait;
            /// Policy for a published message when the link of a peer is full. Default:
            /// [`Overflow::WaitFor`] 1 s: a slower subscriber loses nothing, and a stalled one stops nobody.
            ///
            /// A subscriber is stalled if its link is full and, for that time, the kernel has taken no byte for it and
            /// it has not said that its handlers finished something. Subscribers of this crate say so while they are
            /// not reading. Others show it only by taking bytes, and TCP lets that happen in steps: one that handles
            /// less than a step in that time counts as stalled.
            value publish_overflow: Overflow = Overflow::WaitFor(Duration::from_secs(1));
            /// The bytes a second that a subscriber takes at least, while published messages wait for it under
            /// [`Overflow::WaitFor`]. One that takes less counts as stalled, so that no subscriber slows all others
            /// to a crawl. Default: no such bound. It may be behind by what it is to take within that time,
            /// or by 64 KiB if that is more.
            optional min_subscriber_rate: u64 = None;
            /// Policy for a message when the outbox is full. Default: [`Overflow::Wait`].
            /// [`Overflow::DropOldest`] drops messages for the same peer, or for the send mode.
            value outbox_overflow: Overflow = Overflow::Wait;
            /// Greatest number of connections. A connection above it is accepted, counted and closed. Default:
            /// the descriptors that the process may still open when the socket starts, without those that are
            /// left to the application: a quarter of its limit, and at least 64. All sockets of the process share
            /// them: one that has this default lets nobody in while the connections of all are as many.
            value max_connections: usize = default_connections();
            /// Greatest number of accepted connections that have not said HELLO. A connection above it is
            /// accepted, and the one that has waited longest is closed. Default: 4,096.
            value max_handshakes: usize = 4096;
            /// Capacity for messages that wait to be written to one peer. Default: 4,096 messages, 256 KiB.
            /// Replies may go to eight times that.
            capacity link_capacity: Capacity = Capacity::new(4096, 256 * KIB);
            /// Capacity for messages that one peer has yet to acknowledge. Default: 1,024 messages, 256 KiB.
            capacity unacknowledged_capacity: Capacity = Capacity::new(1024, 256 * KIB);
            /// Capacity for messages that wait for a peer to come. Default: 100,000 messages, 16 MiB.
            capacity outbox_capacity: Capacity = Capacity::new(100_000, 16 * MIB);
            /// Capacity for messages that one subscription has received and not handled. Default: 4,096
            /// messages, 256 KiB. When it is full, peers are not read from.
            capacity inbox_capacity: Capacity = Capacity::new(4096, 256 * KIB);
            /// Memory for all peers together, in bytes. Default: 64 MiB.
            ///
            /// One half is shared by the links: each takes its [capacity](crate::SocketBuilder::link_capacity), or with
            /// more than 128 peers an equal share if that is less. The copies of a large published message
            /// are one in memory, and count once.
            ///
            /// The other half is for incomplete frames of which 8 KiB or more have come; each counts with 64 KiB
            /// at least. When it is used up, further connections with such a frame are not read from until
            /// others have finished theirs. A frame that is larger than that half goes beside it, one at a time.
            ///
            /// Beside it, a quarter of it is for what is read past full inboxes, and a quarter for what links
            /// take above their bounds when the handlers of both ends wait for each other.
            bytes memory_budget: usize = 64 * MIB;
        }
    };
}

pub(crate) use limits_table;
