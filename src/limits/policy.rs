//! The choices of a socket that are no numbers.

use std::time::Duration;

/// Distribution of the messages that [`send`](crate::Socket::send) accepts (WIRE §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendMode {
    /// Each message goes to one connected peer, the next in turn.
    #[default]
    RoundRobin,
    /// Each message goes to every connected peer.
    Publish,
}

/// Promise to a sender (WIRE §6). The sender chooses; every peer plays along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryGuarantee {
    /// A message is sent once and never acknowledged.
    #[default]
    AtMostOnce,
    /// A message is resent until the peer has acknowledged it.
    AtLeastOnce,
}

/// Policy for a new message when its queue is full.
///
/// A message that is dropped becomes a [dead letter](crate::DeadLetter) and fails its receipt.
/// Without waiting, as [`try_send`](crate::Socket::try_send) sends, the first three hand the payload
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The message waits for room.
    #[default]
    Wait,
    /// The message waits for so long, and is refused with [`Full`](crate::error::SendError::Full) then. A published
    /// one waits for subscribers that are slow, and for so long for one that is stalled: then the oldest
    /// messages of that one are dropped, until it has drained to half, or has gone on for as long.
    WaitFor(Duration),
    /// The message is refused with [`Full`](crate::error::SendError::Full).
    Fail,
    /// The message is taken, and the oldest messages in the same queue are dropped for it. Messages that are being
    /// written, or that wait for their acknowledgement, are never dropped, nor are those that the [outbox](mod@crate::outbox) stores; if
    /// there are no others in front of these, the new one is dropped.
    DropOldest,
    /// The new message is accepted and dropped.
    DropNewest,
    /// The connection of the slow peer ends, as [`DownReason::Overflow`](crate::event::DownReason::Overflow)
    /// says; its messages go where those of a peer go that has died. A peer that has come
    /// back has 10 s to take what had waited for it.
    Disconnect,
}

/// Policy for messages by identity to a peer that was connected and is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbsentPeer {
    /// Messages wait for so long, and then become dead letters.
    HoldFor(Duration),
    /// Messages become dead letters at once.
    DeadLetter,
}

/// The policy for messages that are published while nobody is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unheard {
    /// The message waits in the outbox for the first peer that comes, within the bound of the outbox.
    #[default]
    Wait,
    /// The message is dropped and counted in `stats().unheard`, for news that is worthless when it is old: it is no dead letter. Messages
    /// that a peer which went away had not been sent still wait for the next peer.
    Drop,
}

/// The moment at which a message that was sent at least once is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckPolicy {
    /// When every subscription that it went to has handled it. What a process had received and not
    /// handled when it died is sent again.
    #[default]
    OnHandled,
    /// When it enters the inbox, as implementations in other languages do. It spares the sender the
    /// time of the handlers; what a process had received and not handled when it dies is lost.
    OnReceipt,
}

/// Policy for a connection whose peer has the identity of one that is connected already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateIdentity {
    /// The new connection is closed, and the older one stays (WIRE §4.3). A peer that lost its connection without
    /// our noticing, for instance because its machine restarted, is shut out until the older
    /// connection is found dead, at the heartbeat timeout.
    #[default]
    Refuse,
    /// The new connection waits, within the handshake timeout, until the older one has shown that it lives,
    /// by any frame. Then it is closed; if nothing comes for a heartbeat interval and a quarter, the
    /// older connection ends as [`Replaced`](crate::event::DownReason::Replaced), and the new one takes its
    /// place and what waits for the peer. Peers must send heartbeats as often as this socket does.
    ///
    /// This is for connections that peers made. One that we dialled is closed at once.
    Probe,
}

/// A window within which a message that a peer sends again is not delivered again: see
/// [`SocketBuilder::dedupe`](crate::SocketBuilder::dedupe).
///
/// For each peer the ids of its last messages are kept, by its identity, so that a reconnect
/// changes nothing. An id costs about 90 bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    pub(crate) count: usize,
    pub(crate) window: Duration,
    pub(crate) total: usize,
}

impl Dedupe {
    /// Remembers the last `count` messages of each peer, each for `time` after it was finished. A
    /// peer can resend what it has in flight, which is 1,024 messages for this crate by default,
    /// for as long as its connection can be down.
    pub const fn within(count: usize, time: Duration) -> Self {
        Self {
            count,
            window: time,
            total: 1_000_000,
        }
    }

    /// Remembers so many messages of all peers together; when there are so many peers that each
    /// cannot have its count, each has the same share. Default: 1,000,000, about 90 MB. Of peers that
    /// are not connected, 4,096 are remembered.
    pub const fn total(mut self, total: usize) -> Self {
        self.total = total;
        self
    }
}
