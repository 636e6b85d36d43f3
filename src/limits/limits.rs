//! Bounds, overflow policies and timers that may change while a socket runs.

use std::time::Duration;

use super::table::limits_table;
use super::{Capacity, Overflow, Timers};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Descriptors that the connection limit leaves to the rest of the process.
const DESCRIPTOR_RESERVE: usize = 16;

macro_rules! define {
    ($($(#[$doc:meta])* $kind:ident $name:ident: $type:ty = $default:expr;)*) => {
        /// The bounds of a socket, what happens at them, and its timers: the builder sets them, each by a
        /// method of the field's name, [`reconfigure`](crate::Socket::reconfigure) changes them, and
        /// `stats()` reports them. [`Default`] has the defaults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[$doc])* pub $name: field!($kind $type),)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
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

    /// What connections are judged by.
    pub(crate) const fn timers(&self) -> Timers {
        Timers::new(
            self.heartbeat_interval,
            self.heartbeat_timeout,
            self.write_timeout,
        )
    }
}

/// What the process may open, as the system says, less what the rest of it needs; a cautious guess
/// where the system does not say.
fn default_connections() -> usize {
    let descriptors = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1024, |(soft, _)| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    });
    descriptors.saturating_sub(DESCRIPTOR_RESERVE).max(1)
}
