//! Whom messages to a service go to.

use std::sync::Arc;

use crate::core::SocketCore;
use crate::engine::service::KeyHash;
use crate::payload::ServiceAddress;
use crate::services::Followed;

/// A service by its name, whoever offers it; or the instance that holds a key.
#[derive(Debug, Clone)]
pub(super) struct ServiceTarget {
    pub(super) core: Arc<SocketCore>,
    pub(super) followed: Arc<Followed>,
    pub(super) key: Option<KeyHash>,
}

impl ServiceTarget {
    /// The address in a message.
    pub(super) fn address(&self) -> ServiceAddress<'_> {
        ServiceAddress {
            name: self.followed.name(),
            key: self.key.map(|key| key.0),
        }
    }
}
