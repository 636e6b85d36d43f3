//! The bytes of a block: a buffer of its own, or what it shares with other links.

use std::cell::RefCell;

use bytes::Bytes;

/// A block takes no frame that would make it longer than this, unless it is the first: larger writes
/// are slower, not faster, because the copy into the kernel leaves the cache.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// Emptied buffers that a thread keeps for its next blocks.
const POOLED_BUFFERS: usize = 12;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Encoded frames: a block's own, or what it shares with other links.
#[derive(Debug)]
pub(super) enum BlockBuffer {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Default for BlockBuffer {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl std::ops::Deref for BlockBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(own) => own,
            Self::Shared(shared) => shared,
        }
    }
}

impl BlockBuffer {
    /// An emptied buffer of an earlier block, if there is one.
    pub(super) fn pooled() -> Self {
        Self::Own(POOL.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// Keeps the buffer for a later block, if it is one's own.
    pub(super) fn recycle(self) {
        let Self::Own(mut buffer) = self else { return };
        if buffer.capacity() == 0 || buffer.capacity() > 2 * BLOCK_BYTES {
            return;
        }
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOLED_BUFFERS {
                buffer.clear();
                pool.push(buffer);
            }
        });
    }

    /// True if more can be put into it.
    #[inline]
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// Only what is one's own is ever filled.
    #[inline]
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let Self::Own(own) = self else {
            unreachable!("a block that is shared takes no frames");
        };
        own.extend_from_slice(bytes);
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Own(own) => own.into(),
            Self::Shared(shared) => shared,
        }
    }
}
