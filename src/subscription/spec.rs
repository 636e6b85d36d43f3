//! A subscription as it is asked for: its key, its filter, and its kind of delivery.

use crate::payload::Filter;

/// Tells one subscription of a socket from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// Nobody's: what arrives before anybody subscribed waits here.
    Unclaimed,
    /// `recv` and `messages`, which compete.
    Calls,
    /// A handler: the actor's address, the type that it receives, and what it wants of it.
    Handler {
        address: u64,
        message: &'static str,
        filter: String,
    },
    /// A group of handlers that compete.
    Group {
        name: String,
        message: &'static str,
        filter: String,
    },
    /// A recipient, by number.
    Recipient(u64),
}

/// The part that a subscription has in the messages that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// The subscription gets every message, and counts for the acknowledgement; peers wait for it.
    Gating,
    /// The subscription gets those that there is room for, counts for nothing, and nobody waits for it.
    Observing,
    /// The subscription gets the last message only: a new one supersedes those that it has not taken, which
    /// count as handled. Nobody waits for it.
    Conflating,
}

/// A new subscription, as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionSpec {
    pub(crate) key: Key,
    pub(crate) filter: Filter,
    pub(crate) delivery: Delivery,
    /// Asks that it gets go to nobody else who gates.
    pub(crate) serves: bool,
}

impl SubscriptionSpec {
    /// Everything, gating.
    pub(crate) const fn all(key: Key) -> Self {
        Self {
            key,
            filter: Filter::all(),
            delivery: Delivery::Gating,
            serves: false,
        }
    }

    /// Asks that it gets go to nobody else who gates.
    pub(crate) fn serving(mut self) -> Self {
        self.serves = true;
        self
    }

    /// It is for messages to this service alone.
    pub(crate) fn of_service(mut self, name: &str) -> Self {
        if let Key::Handler { filter, .. } | Key::Group { filter, .. } = &mut self.key {
            *filter = format!("service {name}, {filter}");
        }
        self
    }

    pub(super) fn gates(&self) -> bool {
        self.delivery == Delivery::Gating
    }

    /// The key and the filter, for people.
    pub(super) fn describe(&self) -> String {
        match &self.key {
            Key::Unclaimed => "nobody yet".to_owned(),
            Key::Calls => "recv and messages".to_owned(),
            Key::Handler {
                message, filter, ..
            } => format!("{message}, {filter}"),
            Key::Group {
                name,
                message,
                filter,
            } => format!("group {name}, {message}, {filter}"),
            Key::Recipient(number) => format!("recipient {number}"),
        }
    }

    /// The name of the group, if it is one.
    pub(super) fn group(&self) -> Option<&str> {
        match &self.key {
            Key::Group { name, .. } => Some(name),
            Key::Unclaimed | Key::Calls | Key::Handler { .. } | Key::Recipient(_) => None,
        }
    }
}
