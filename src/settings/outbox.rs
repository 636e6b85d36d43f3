//! The outbox that outlives the process.

use std::path::PathBuf;

use serde::Deserialize;

use super::endpoints::FromText;
use super::policies::{CapacityParts, IdentityParts, OverflowName, Setting};
use super::units::Time;
use crate::limits::Overflow;
use crate::outbox::{Durability, Outbox};

/// The moment at which a message that the outbox keeps is accepted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum DurabilityName {
    Commit,
    Eventually,
}

/// The file in which messages at least once outlive the process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OutboxParts {
    /// The file, which is made if it is not there.
    path: PathBuf,
    /// When a message is accepted. Default: when it is committed.
    durability: Option<DurabilityName>,
    /// What it keeps. Default: 100,000 messages, 256 MiB.
    capacity: Option<CapacityParts>,
    /// What becomes of a message when it is full: `wait`, `wait_for` or `fail`. Default: it waits.
    overflow: Option<OverflowName>,
    /// How long a message by identity waits for a peer that is not connected. Default: 24 h.
    absent: Option<Time>,
    /// The identity under which a copied file is taken over. Default: the file keeps its identity.
    adopt: Option<IdentityParts>,
    /// False to open the file without a look at all of it. Default: true.
    check_at_start: Option<bool>,
}

impl FromText for OutboxParts {
    const WHAT: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            path: text.into(),
            durability: None,
            capacity: None,
            overflow: None,
            absent: None,
            adopt: None,
            check_at_start: None,
        })
    }
}

impl From<&OutboxParts> for Outbox {
    fn from(parts: &OutboxParts) -> Self {
        let mut outbox = Self::new(&parts.path);
        if let Some(durability) = parts.durability {
            outbox = outbox.durability(match durability {
                DurabilityName::Commit => Durability::Commit,
                DurabilityName::Eventually => Durability::Eventually,
            });
        }
        if let Some(capacity) = &parts.capacity {
            capacity.change(outbox.capacity_mut());
        }
        if let Some(name) = &parts.overflow {
            let mut overflow = Overflow::default();
            name.change(&mut overflow);
            outbox = outbox.overflow(overflow);
        }
        if let Some(time) = parts.absent {
            outbox = outbox.absent(time.0);
        }
        if let Some(identity) = &parts.adopt {
            outbox = outbox.adopt(identity.into());
        }
        if let Some(checks) = parts.check_at_start {
            outbox = outbox.check_at_start(checks);
        }
        outbox
    }
}
