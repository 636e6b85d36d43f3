//! The task that writes a connection, as its link knows it.

use std::io;
use std::task::Waker;

use crate::transport::HeartbeatWriter;
use crate::wire::HEARTBEAT_FRAME;

/// State of the writer, and the way to wake it.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// While there is nothing to write.
    parked: Option<Waker>,
    /// While the kernel takes no more: only the end of the connection wakes it.
    blocked: Option<Waker>,
    /// Whether all of the frames that it took are written.
    between_frames: bool,
    /// Writes heartbeats while the thread of the writer is blocked.
    heartbeats: Option<HeartbeatWriter>,
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

    /// Heartbeats can be written for it, between its frames.
    pub(super) fn set_heartbeats(&mut self, heartbeats: Option<HeartbeatWriter>) {
        self.heartbeats = heartbeats;
    }

    /// Whether it has written all that it took, and takes nothing without telling.
    #[inline]
    pub(super) fn set_between_frames(&mut self, between_frames: bool) {
        self.between_frames = between_frames;
    }

    /// Writes a heartbeat in its stead, if that does not go into the middle of a frame. Yields how much of
    /// it the kernel has taken.
    pub(super) fn try_heartbeat(&self) -> Option<io::Result<usize>> {
        let heartbeats = self.heartbeats.as_ref().filter(|_| self.between_frames)?;
        Some(heartbeats.try_write(&HEARTBEAT_FRAME))
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
