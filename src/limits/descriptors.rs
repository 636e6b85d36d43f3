//! The descriptors of the process, which the connections of all its sockets share.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The fewest descriptors that the default connection limit leaves to the application.
const MIN_APPLICATION_DESCRIPTORS: usize = 64;

/// The guesses where the system does not say.
const CAUTIOUS_LIMIT: usize = 1_024;
const CAUTIOUS_OPEN: usize = 64;

/// The account of this process.
pub(crate) static PROCESS: DescriptorAccount = DescriptorAccount::new();

/// The connections that have a descriptor, of all sockets.
#[derive(Debug)]
pub(crate) struct DescriptorAccount {
    connections: AtomicUsize,
    /// The most that sockets with the default limit let in, as the last one of them that started has found it: each leaves
    /// listeners behind, and files that were opened before it.
    share: AtomicUsize,
}

impl DescriptorAccount {
    pub(crate) const fn new() -> Self {
        Self {
            connections: AtomicUsize::new(0),
            share: AtomicUsize::new(usize::MAX),
        }
    }

    /// A socket has started which lets in so many.
    pub(crate) fn set_share(&self, connections: usize) {
        self.share.store(connections, Ordering::Relaxed);
    }

    /// Counts one more connection. False if it is above the share.
    pub(crate) fn enter(&self) -> bool {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        before < self.share.load(Ordering::Relaxed)
    }

    /// A connection that was counted has ended.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The connections that the descriptors of the process leave to all sockets together, beside what else is open and
/// what the application may open.
pub(super) fn default_connections() -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(CAUTIOUS_LIMIT, |(soft, _)| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    });
    connections_within(limit, open_descriptors(), PROCESS.connections())
}

/// A quarter of the limit is the application's, and never fewer than it needs for files and clients of its own.
fn connections_within(limit: usize, open: usize, connections: usize) -> usize {
    let application = (limit / 4).max(MIN_APPLICATION_DESCRIPTORS);
    let open_beside = open.saturating_sub(connections);
    limit
        .saturating_sub(open_beside)
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
        assert_eq!(connections_within(1_024, 10, 0), 758);
        assert_eq!(connections_within(1_024, 700, 0), 68);
        assert_eq!(connections_within(100_000, 10, 0), 74_990);
        assert_eq!(connections_within(128, 10, 0), 54);
        assert_eq!(connections_within(64, 10, 0), 1);
        assert_eq!(connections_within(1_024, 1_020, 0), 1);
        assert!(connections_within(usize::MAX, 10, 0) > 1 << 60);
    }

    #[test]
    fn a_socket_that_starts_later_has_the_same_share_whatever_is_connected() {
        assert_eq!(connections_within(1_024, 10 + 600, 600), 758);
        // Some may have been counted that are not open yet.
        assert_eq!(connections_within(1_024, 10, 600), 768);
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
