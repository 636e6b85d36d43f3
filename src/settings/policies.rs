//! Policies and identities as settings name them.

use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::units::{Size, Time};
use crate::engine::Backoff;
use crate::id::Identity;
use crate::limits::{
    AbsentPeer, AckPolicy, Capacity, Dedupe, DeliveryGuarantee, DuplicateIdentity, Overflow,
    SendMode, Unheard,
};
use crate::outbox::DeadLetterBounds;
use crate::payload::Codec;

/// A setting of one type, as it is written.
pub(super) trait Setting<T> {
    /// Sets what it says, and leaves the rest.
    fn change(&self, value: &mut T);
}

/// Names a choice as a serde enum whose variants are those of another type.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident for $type:ty { $($(#[$case:meta])* $variant:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub(super) enum $name { $($(#[$case])* $variant),* }

        impl From<$name> for $type {
            fn from(choice: $name) -> Self {
                match choice { $($(#[$case])* $name::$variant => Self::$variant,)* }
            }
        }
    )*};
}

choices! {
    /// How messages are distributed.
    SendModeName for SendMode { RoundRobin, Publish }
    /// What is promised for a message that does not say otherwise.
    GuaranteeName for DeliveryGuarantee { AtMostOnce, AtLeastOnce }
    /// When a message is acknowledged.
    AckPolicyName for AckPolicy { OnHandled, OnReceipt }
    /// What becomes of a second connection under one identity.
    DuplicateIdentityName for DuplicateIdentity { Refuse, Probe }
    /// What becomes of what is published while nobody is connected.
    UnheardName for Unheard { Wait, Drop }
    /// How values of serde types travel.
    CodecName for Codec {
        #[cfg(feature = "json")] Json,
        #[cfg(feature = "messagepack")] MessagePack,
        #[cfg(feature = "postcard")] Postcard,
        RawOnly,
    }
}

#[cfg(feature = "otel")]
choices! {
    /// How the span of a received message relates to that of its sender.
    SpanRelationName for crate::trace::SpanRelation { Linked, Child }
}

/// What becomes of a new message when its queue is full.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum OverflowName {
    Wait,
    WaitFor(Time),
    Fail,
    DropOldest,
    DropNewest,
    Disconnect,
}

impl Setting<Overflow> for OverflowName {
    fn change(&self, value: &mut Overflow) {
        *value = match *self {
            Self::Wait => Overflow::Wait,
            Self::WaitFor(time) => Overflow::WaitFor(time.0),
            Self::Fail => Overflow::Fail,
            Self::DropOldest => Overflow::DropOldest,
            Self::DropNewest => Overflow::DropNewest,
            Self::Disconnect => Overflow::Disconnect,
        };
    }
}

/// What becomes of messages by identity to a peer that went away.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum AbsentPeerName {
    HoldFor(Time),
    DeadLetter,
}

impl From<AbsentPeerName> for AbsentPeer {
    fn from(name: AbsentPeerName) -> Self {
        match name {
            AbsentPeerName::HoldFor(time) => Self::HoldFor(time.0),
            AbsentPeerName::DeadLetter => Self::DeadLetter,
        }
    }
}

/// The bound of a queue; what is not said stays as it is by default.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { messages = 4096, bytes = \"1MiB\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CapacityParts {
    /// Messages that it holds.
    messages: Option<usize>,
    /// Bytes that it holds.
    bytes: Option<Size>,
}

impl Setting<Capacity> for CapacityParts {
    fn change(&self, value: &mut Capacity) {
        value.messages = self.messages.unwrap_or(value.messages);
        value.bytes = self.bytes.map_or(value.bytes, Size::in_memory);
    }
}

impl Setting<std::time::Duration> for Time {
    fn change(&self, value: &mut std::time::Duration) {
        *value = self.0;
    }
}

impl Setting<Option<std::time::Duration>> for Time {
    fn change(&self, value: &mut Option<std::time::Duration>) {
        *value = Some(self.0);
    }
}

impl Setting<usize> for usize {
    fn change(&self, value: &mut usize) {
        *value = *self;
    }
}

impl Setting<usize> for Size {
    fn change(&self, value: &mut usize) {
        *value = self.in_memory();
    }
}

impl Setting<Option<u64>> for Size {
    fn change(&self, value: &mut Option<u64>) {
        *value = Some(self.bytes());
    }
}

impl Setting<Option<u32>> for u32 {
    fn change(&self, value: &mut Option<u32>) {
        *value = Some(*self);
    }
}

/// The pauses before a connection is dialled again.
#[derive(Debug, Clone, Copy, Deserialize)]
// What is expected is said of the value of `exponential`, which is the only one that serde names itself.
#[serde(
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "a table, for instance { initial = \"100ms\", cap = \"1s\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum BackoffParts {
    /// Always the same.
    Fixed(Time),
    /// Doubled with each attempt.
    Exponential {
        /// The first.
        initial: Time,
        /// The longest.
        cap: Time,
        /// False for exactly these; otherwise each is drawn evenly from zero to it.
        jitter: Option<bool>,
    },
}

impl From<BackoffParts> for Backoff {
    fn from(parts: BackoffParts) -> Self {
        match parts {
            BackoffParts::Fixed(time) => Self::fixed(time.0),
            BackoffParts::Exponential {
                initial,
                cap,
                jitter,
            } => {
                let backoff = Self::exponential(initial.0, cap.0);
                match jitter {
                    Some(false) => backoff.without_jitter(),
                    Some(true) | None => backoff,
                }
            }
        }
    }
}

/// A window within which repeated messages are known.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { count = 1000, window = \"10m\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DedupeParts {
    /// Messages of each peer.
    count: usize,
    /// Time for which each is known.
    window: Time,
    /// Messages of all peers together.
    total: Option<usize>,
}

impl From<DedupeParts> for Dedupe {
    fn from(parts: DedupeParts) -> Self {
        let dedupe = Self::within(parts.count, parts.window.0);
        parts.total.map_or(dedupe, |total| dedupe.total(total))
    }
}

/// Dead letters that are kept; what is not said stays as it is by default.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { letters = 1000, max_age = \"7d\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DeadLetterParts {
    /// Letters that are kept. Default: 10,000.
    letters: Option<usize>,
    /// Bytes of their payloads and details, and 64 for each. Default: 64 MiB.
    bytes: Option<Size>,
    /// For how long a letter is kept. Default: as long as there is room.
    max_age: Option<Time>,
}

impl From<DeadLetterParts> for DeadLetterBounds {
    fn from(parts: DeadLetterParts) -> Self {
        let mut bounds = Self::new();
        let capacity = &mut bounds.capacity;
        capacity.messages = parts.letters.unwrap_or(capacity.messages);
        capacity.bytes = parts.bytes.map_or(capacity.bytes, Size::in_memory);
        bounds.max_age = parts.max_age.map(|age| age.0);
        bounds
    }
}

/// The most connections from one address within a time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table, for instance { connections = 10, period = \"1s\" }"
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AcceptRateParts {
    pub(super) connections: u32,
    pub(super) period: Time,
}

/// A name, which is not empty.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        if name.is_empty() {
            Err("it is empty; is a variable unset?")
        } else {
            Ok(Self(name))
        }
    }
}

/// Who the socket is to its peers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum IdentityParts {
    /// The identity that stands for a name.
    #[cfg_attr(test, schemars(with = "String"))]
    Name(Name),
    /// Sixteen bytes, as hexadecimal digits.
    #[serde(deserialize_with = "hexadecimal")]
    #[cfg_attr(test, schemars(with = "String"))]
    Hex(Identity),
}

impl From<&IdentityParts> for Identity {
    fn from(parts: &IdentityParts) -> Self {
        match parts {
            IdentityParts::Name(name) => Self::from_name(&name.0),
            IdentityParts::Hex(identity) => *identity,
        }
    }
}

fn hexadecimal<'de, D: Deserializer<'de>>(from: D) -> Result<Identity, D::Error> {
    let text = String::deserialize(from)?;
    Identity::from_str(&text).map_err(D::Error::custom)
}
