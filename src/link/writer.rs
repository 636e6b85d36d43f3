//! The task that writes a connection, as its link knows it.

use std::task::Waker;

/// State of the writer, and the way to wake it.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// While there is nothing to write.
    parked: Option<Waker>,
    /// While the kernel takes no more: only the end of the connection wakes it.
    blocked: Option<Waker>,
}

impl Writer {
    /// True while the writer waits for something to write.
    #[inline]
    pub(super) const fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// True while the writer waits for nothing, and has its turn some time.
    #[inline]
    pub(super) const fn is_running(&self) -> bool {
        self.parked.is_none() && self.blocked.is_none()
    }

    /// The writer waits for something to write.
    pub(super) fn park(&mut self, waker: &Waker) {
        match &mut self.parked {
            Some(parked) => parked.clone_from(waker),
            parked @ None => *parked = Some(waker.clone()),
        }
    }

    /// The writer waits for the kernel to take more.
    pub(super) fn block(&mut self, waker: &Waker) {
        self.blocked = Some(waker.clone());
    }

    /// The kernel takes more.
    pub(super) fn unblock(&mut self) {
        self.blocked = None;
    }

    /// There is something to write.
    #[inline]
    pub(super) fn take_parked(&mut self) -> Option<Waker> {
        self.parked.take()
    }

    /// Takes the waker of a writer that has to run even if the kernel takes no more.
    pub(super) fn take_blocked(&mut self) -> Option<Waker> {
        self.blocked.take()
    }

    /// There is no writer any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
