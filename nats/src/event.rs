//! What a bridge tells.

use std::time::Duration;

use actix::Message;
use actix_aiomsg::Identity;

use crate::BridgeError;

/// What a bridge tells the recipient of [`Bridge::events`](crate::Bridge::events). A recipient whose mailbox is full misses events;
/// [`BridgeStats::missed_events`](crate::BridgeStats::missed_events) counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeEvent {
    /// The bridge is connected, its streams and consumers are there, and messages flow.
    Up,
    /// The connection to NATS is gone. The client dials again by itself.
    Disconnected,
    /// The connection is back.
    Reconnected,
    /// NATS refuses something and goes on with the rest: this user may not publish, or not read, by some subject, for instance.
    #[non_exhaustive]
    ServerError {
        /// What the server said.
        reason: String,
    },
    /// JetStream does not take a message: the bridge takes no others until it does.
    #[non_exhaustive]
    Stalled {
        /// What the last attempt said.
        reason: String,
    },
    /// JetStream takes messages again.
    #[non_exhaustive]
    Resumed {
        /// How long it did not.
        after: Duration,
    },
    /// A message will never be taken at the other side, and its sender was told.
    #[non_exhaustive]
    Refused {
        /// The peer that it came from, or was for, if there is one.
        peer: Option<Identity>,
        /// Why.
        reason: String,
    },
    /// NATS sent faster than the socket took: messages of a subject without a stream were dropped.
    Dropped,
    /// The bridge could not connect, or a part of it ended. It is tried again.
    Failed(BridgeError),
}

impl Message for BridgeEvent {
    type Result = ();
}
