//! Payloads that are kept, apart from the reads that they came with.

use bytes::Bytes;

/// A payload of up to this many bytes is copied when it is to be kept. Many messages come with one read, of which
/// each is a slice: one that is kept would keep all of them. A larger payload is at least a quarter of the largest
/// buffer that it can be a slice of.
pub(crate) const DETACHED_UP_TO: usize = 32 * 1024;

/// Makes a payload one that can be kept for long: it is the only one in its memory from now on, unless it is large.
pub(crate) fn detach(payload: &mut Bytes) {
    if !payload.is_empty() && payload.len() <= DETACHED_UP_TO {
        *payload = Bytes::copy_from_slice(payload);
    }
}
