//! Reports of subscriptions, as `Socket::subscriptions` yields them.

use std::time::Duration;

use super::spec::Delivery;

/// One subscription of a socket, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionReport {
    /// Description for people: the group or type, and the filter.
    pub description: String,
    /// Meaning of messages for the subscription.
    pub delivery: Delivery,
    /// The name of the group, if it is one.
    pub group: Option<String>,
    /// The actors that take its messages.
    pub subscribers: Vec<SubscriberReport>,
    /// Messages that are received and not yet handled.
    pub waiting: usize,
    /// Messages that were skipped: an observer had no room, or a newer message superseded them.
    pub skipped: u64,
}

/// One actor that takes messages of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberReport {
    /// The type of the actor.
    pub actor: &'static str,
    /// Messages that it has taken, those that came again included.
    pub taken: u64,
    /// How long its handler has been at work on the oldest message that it has not finished; `None` for one that answers
    /// at once. A handler that blocks its thread is no future that could be looked at: the log tells of those.
    pub running_for: Option<Duration>,
    /// True while it is paused.
    pub is_paused: bool,
}
