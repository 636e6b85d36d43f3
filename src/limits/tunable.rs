//! Bounds, overflow policies and timers that may change while a socket runs.

use std::time::Duration;

use super::descriptors::default_connections;
use super::table::limits_table;
use super::{Capacity, Overflow, Timers};

/// Patience with handlers that finish nothing, in write timeouts.
const HANDLER_PATIENCE: u32 = 6;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

macro_rules! define {
    ($($(#[$doc:meta])* $kind:ident $name:ident: $type:ty = $default:expr;)*) => {
        /// The bounds of a socket, what happens at them, and its timers: the builder sets them, each by a
        /// method of the field's name, [`reconfigure`](crate::Socket::reconfigure) changes them, and
        /// `stats()` reports them. [`Default`] has the defaults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$doc])* pub $name: field!($kind $type),)*
            /// The greatest number of connections as nobody has set it.
            pub(crate) default_connections: usize,
        }

        impl Default for Limits {
            fn default() -> Self {
                let mut limits = Self { $($name: $default,)* default_connections: 0 };
                limits.default_connections = limits.max_connections;
                limits
            }
        }
    };
}

macro_rules! field {
    (optional $type:ty) => { Option<$type> };
    ($kind:ident $type:ty) => { $type };
}

limits_table!(define);

impl Limits {
    /// Says what is wrong, if anything is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.heartbeat_interval.is_zero() || self.heartbeat_timeout.is_zero() {
            return Err("the heartbeat interval and timeout must be longer than zero");
        }
        if self.write_timeout.is_zero() || self.handler_patience().is_zero() {
            return Err("the write timeout and the standstill timeout must be longer than zero");
        }
        if self.resend_timeout.is_zero() {
            return Err("the resend timeout must be longer than zero");
        }
        if self.outbox_overflow == Overflow::Disconnect {
            return Err(
                "the outbox holds messages for peers that are not connected, and has no connection \
                 to end: choose another overflow policy for it",
            );
        }
        if self.max_handshakes == 0 {
            return Err("at least one handshake must be allowed at a time");
        }
        if self.max_connections == 0 {
            return Err("at least one connection must be allowed at a time");
        }
        Ok(())
    }

    /// True if the connections are those that the process may have, over all its sockets.
    pub(crate) fn shares_connections(&self) -> bool {
        self.max_connections == self.default_connections
    }

    /// The defaults, with so many connections for all sockets.
    #[cfg(test)]
    pub(crate) fn shared(connections: usize) -> Self {
        Self {
            max_connections: connections,
            default_connections: connections,
            ..Self::default()
        }
    }

    /// Timers that connections are judged by.
    pub(crate) fn timers(&self) -> Timers {
        Timers::new(
            self.heartbeat_interval,
            self.heartbeat_timeout,
            self.write_timeout,
            self.handler_patience(),
        )
    }

    /// Time without any progress of handlers after which a connection ends.
    pub(crate) fn handler_patience(&self) -> Duration {
        self.standstill_timeout
            .unwrap_or_else(|| self.write_timeout.saturating_mul(HANDLER_PATIENCE))
    }
}
