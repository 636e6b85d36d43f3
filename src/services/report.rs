//! Services for people.

use std::time::Duration;

use crate::id::Identity;

/// One instance of a service, as this socket sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceReport {
    /// The name of the instance, by which keys are placed.
    pub name: String,
    /// The peer that offers it.
    pub peer: Identity,
    /// Whether it is asked.
    pub status: InstanceStatus,
    /// Asks of this socket that wait for its answer.
    pub outstanding: usize,
}

/// Whether an instance of a service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceStatus {
    /// It is asked.
    Ready,
    /// Its provider has no room, and says that it may have some after this time.
    Busy {
        /// The rest of that time.
        retry_after: Duration,
    },
    /// Its provider is about to end.
    Draining,
    /// It has failed, or another peer holds its name: it is not asked until it has shown that it works, or until the
    /// name is free.
    LeftOut,
    /// It is not offered any more.
    Down,
}

/// One service that a socket offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfferReport {
    /// The name of the service.
    pub name: String,
    /// The name of this instance.
    pub instance: String,
    /// Messages that wait for a handler.
    pub waiting: usize,
    /// Bytes of their payloads.
    pub waiting_bytes: usize,
    /// Messages that were refused, because the service was busy or is draining.
    pub refused: u64,
    /// Messages with a key that another instance holds, as far as this socket sees the instances: their sender sees others.
    /// Always 0 unless this socket [uses](crate::Socket::service) the service, too.
    pub split_keys: u64,
}
