//! Bounds, overflow policies and timers that may change while a socket runs.

use std::time::Duration;

use super::table::limits_table;
use super::{Capacity, Overflow, Timers};

/// Patience with handlers that finish nothing, in write timeouts.
const HANDLER_PATIENCE: u32 = 6;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The fewest descriptors that the default connection limit leaves to the application.
const MIN_APPLICATION_DESCRIPTORS: usize = 64;

/// The guesses where the system does not say.
const CAUTIOUS_LIMIT: usize = 1_024;
const CAUTIOUS_OPEN: usize = 64;

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

/// The connections that the descriptors of the process leave, beside those that are open and those that the
/// application may open.
fn default_connections() -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(CAUTIOUS_LIMIT, |(soft, _)| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    });
    connections_within(limit, open_descriptors())
}

/// A quarter of the limit is the application's, and never fewer than it needs for files and clients of its own.
fn connections_within(limit: usize, open: usize) -> usize {
    let application = (limit / 4).max(MIN_APPLICATION_DESCRIPTORS);
    limit
        .saturating_sub(open)
        .saturating_sub(application)
        .max(1)
}

/// The descriptors that are open now, where the system lists them.
fn open_descriptors() -> usize {
    let lists = ["/proc/self/fd", "/dev/fd"];
    let listed = lists.iter().find_map(|list| std::fs::read_dir(list).ok());
    listed.map_or(CAUTIOUS_OPEN, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_to_the_application_and_at_least_64() {
        assert_eq!(connections_within(1_024, 10), 758);
        assert_eq!(connections_within(1_024, 700), 68);
        assert_eq!(connections_within(100_000, 10), 74_990);
        assert_eq!(connections_within(128, 10), 54);
        assert_eq!(connections_within(64, 10), 1);
        assert_eq!(connections_within(1_024, 1_020), 1);
        assert!(connections_within(usize::MAX, 10) > 1 << 60);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_open_counts() {
        let many: Vec<_> = (0..500)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        assert!(open_descriptors() >= many.len());
    }
}
