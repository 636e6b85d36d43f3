//! Who subscribes, for whoever asks.

use std::sync::atomic::Ordering;

use super::{Delivery, Key, Subscription, Subscriptions};

/// One subscription of a socket, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionReport {
    /// What it is and what it wants, for people: the group or type, and the filter.
    pub description: String,
    /// What messages mean to it.
    pub delivery: Delivery,
    /// The name of the group, if it is one.
    pub group: Option<String>,
    /// Who takes its messages.
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
    /// Whether it is paused.
    pub is_paused: bool,
}

impl Subscription {
    /// What it is and what it wants.
    pub(super) fn describe(&self) -> String {
        match &self.spec.key {
            Key::Unclaimed => "nobody yet".to_owned(),
            Key::Calls => "recv and messages".to_owned(),
            Key::Handler { message, .. } => format!("{message}, {}", self.spec.filter),
            Key::Group { name, message, .. } => {
                format!("group {name}, {message}, {}", self.spec.filter)
            }
            Key::Recipient(number) => format!("recipient {number}"),
        }
    }

    fn report(&self) -> SubscriptionReport {
        let members = self.members.lock();
        let subscribers = members.iter().map(|member| SubscriberReport {
            actor: member.actor,
            taken: member.taken(),
            is_paused: member.is_paused(),
        });
        SubscriptionReport {
            description: self.describe(),
            delivery: self.spec.delivery,
            group: match &self.spec.key {
                Key::Group { name, .. } => Some(name.clone()),
                Key::Unclaimed | Key::Calls | Key::Handler { .. } | Key::Recipient(_) => None,
            },
            subscribers: subscribers.collect(),
            waiting: self.inbox.load().0,
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }
}

impl Subscriptions {
    /// Who subscribes now.
    pub(crate) fn report(&self) -> Vec<SubscriptionReport> {
        let list = self.list.load();
        let real = list.iter().filter(|s| s.spec.key != Key::Unclaimed);
        real.map(|subscription| subscription.report()).collect()
    }
}
