//! A link's side of a block that its thread fills without the lock.

use std::thread::{self, ThreadId};

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// State that link and borrower share without the lock.
#[derive(Debug)]
pub(super) struct Loan {
    /// The thread of the connection, which is the only one that may borrow.
    owner: ThreadId,
    /// Nothing more is put into the block, because something was queued behind it.
    revoked: AtomicBool,
    /// Frames that were put into it so far, for whoever asks meanwhile.
    frames: AtomicUsize,
    bytes: AtomicUsize,
}

impl Loan {
    /// The current thread is the one that may borrow.
    pub(super) fn new() -> Self {
        Self {
            owner: thread::current().id(),
            revoked: AtomicBool::new(false),
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.owner == thread::current().id()
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// A block is lent from now on.
    pub(super) fn begin(&self) {
        self.note(0, 0);
        self.revoked.store(false, Ordering::Relaxed);
    }

    /// Frames and bytes that were put into the block so far.
    pub(super) fn filled(&self) -> (usize, usize) {
        let frames = self.frames.load(Ordering::Relaxed);
        (frames, self.bytes.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn note(&self, frames: usize, bytes: usize) {
        self.frames.store(frames, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}
