//! The table of what may change while a socket runs: one row for each, read by [`Limits`] and by the
//! builder. A new tunable is a row here.
//!
//! [`Limits`]: super::Limits

/// Hands all rows to the macro `$define`. A row is a document, a kind, a name, a type and a default;
/// its kind says how the builder takes it: as a `value`, as a `capacity` of messages and bytes, or as
/// an `optional` value.
macro_rules! limits_table {
    ($define:ident) => {
        $define! {
            /// After how long a silent connection says that it lives (WIRE §5.1). Default: 5 s.
            value heartbeat_interval: Duration = Duration::from_secs(5);
            /// After how long without any frame a peer is given up (WIRE §5.2). Default: 15 s. A large
            /// message over a slow link has to arrive within it.
            value heartbeat_timeout: Duration = Duration::from_secs(15);
            /// How long a connection may make no progress while we do not read it, because the peer does not
            /// take its answers, or because there is no room left to get to acknowledgements that a sender
            /// waits for. Then it ends as [`Stalled`](crate::event::DownReason::Stalled). Default: 10 s. A peer that
            /// merely does not read, and is not silent, is waited for.
            value write_timeout: Duration = Duration::from_secs(10);
            /// After how long without an acknowledgement a message is sent again (WIRE §6.2).
            /// Default: 5 s; each resend of the same message doubles it, up to 60 s.
            value resend_timeout: Duration = Duration::from_secs(5);
            /// How often a message is resent before it becomes a dead letter. Default: without limit.
            optional resend_limit: u32 = None;
            /// What becomes of a message by round-robin or by identity when the link of the peer is full,
            /// or for round-robin all links are. Default: [`Overflow::Wait`]. Answers of handlers are
            /// another matter, see [`Received::reply`](crate::Received::reply).
            value link_overflow: Overflow = Overflow::Wait;
            /// What becomes of a published message when the link of a peer is full. Default:
            /// [`Overflow::WaitFor`] 250 ms, so that a slower subscriber loses nothing and a stalled one
            /// stops nobody.
            ///
            /// Which of the two it is shows when it takes something, and that is some 64 KiB at a time: one that
            /// handles less than 256 KiB a second counts as stalled, and loses what is dropped. Where such
            /// subscribers are to get everything, choose a longer patience, or [`Overflow::Wait`].
            value publish_overflow: Overflow = Overflow::WaitFor(Duration::from_millis(250));
            /// What becomes of a message when the outbox is full. Default: [`Overflow::Wait`].
            /// [`Overflow::DropOldest`] drops messages for the same peer, or for the send mode.
            value outbox_overflow: Overflow = Overflow::Wait;
            /// Connections at a time; one too many is accepted, counted and closed. Default: what the
            /// descriptor limit of the process leaves when the socket starts, beside the descriptors that are
            /// open and those that are left to the application: a quarter of the limit, and at least 64.
            value max_connections: usize = default_connections();
            /// Accepted connections that have not said who they are, at a time. One more is accepted all the
            /// same, and the one that has waited for longest is closed. Default: 4,096.
            value max_handshakes: usize = 4096;
            /// Capacity for what waits to be written to one peer. Default: 4,096 messages, 256 KiB. Replies
            /// may go to eight times that.
            capacity link_capacity: Capacity = Capacity::new(4096, 256 * KIB);
            /// Capacity for what one peer has yet to acknowledge. Default: 1,024 messages, 256 KiB.
            capacity unacknowledged_capacity: Capacity = Capacity::new(1024, 256 * KIB);
            /// Capacity for what waits for a peer to come. Default: 100,000 messages, 16 MiB.
            capacity outbox_capacity: Capacity = Capacity::new(100_000, 16 * MIB);
            /// Capacity for what one subscription has received and not handled. Default: 4,096 messages,
            /// 256 KiB. When it is full, peers are not read from.
            capacity inbox_capacity: Capacity = Capacity::new(4096, 256 * KIB);
            /// Memory for all peers together, in bytes. Default: 64 MiB.
            ///
            /// Half of it is shared out to the links: each takes its [capacity](crate::SocketBuilder::link_capacity), or with
            /// more than 128 peers an equal share if that is less. The copies of a large published message
            /// are one in memory, and count once.
            ///
            /// The other half is for frames that have begun to arrive and are not whole, above 64 KiB for
            /// each connection. When it is used up, further connections with such a frame are not read from
            /// until others have finished theirs. A frame that is larger than that half goes beside it, one
            /// at a time.
            value memory_budget: usize = 64 * MIB;
        }
    };
}

pub(crate) use limits_table;
