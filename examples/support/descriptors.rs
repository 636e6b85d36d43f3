//! The limit on open file descriptors, which a program with many peers meets first.

/// Raises this process's soft limit on open descriptors to its hard one.
///
/// Every connection costs one descriptor, and a soft limit of 1,024 is usual. What cannot be raised
/// stays as it is: a program with a handful of peers runs all the same.
pub(crate) fn raise_descriptor_limit() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open descriptors stays as it is");
    }
}
