//! The task that writes a connection, as its link knows it.

use std::io;
use std::task::Waker;

use crate::transport::HeartbeatWriter;

/// State of the writer, and the way to wake it.
#[derive(Debug, Default)]
pub(super) struct Writer {
    turn: Turn,
    /// Writes heartbeats while the thread of the writer is blocked.
    heartbeats: Option<HeartbeatWriter>,
}

/// What the writer is at.
#[derive(Debug, Default)]
enum Turn {
    /// It has taken something, or is about to.
    #[default]
    Writing,
    /// The kernel takes no more: only the end of the connection wakes it.
    Blocked(Waker),
    /// There is nothing to write, and all of the frames that it took are written.
    Parked(Waker),
    /// There is something to write again, and it has not taken any of it.
    Woken,
}

impl Writer {
    /// True while the writer waits for something to write.
    #[inline]
    pub(super) const fn is_parked(&self) -> bool {
        matches!(self.turn, Turn::Parked(_))
    }

    /// True while the writer waits for nothing, and has its turn some time.
    #[inline]
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.turn, Turn::Writing | Turn::Woken)
    }

    /// The writer waits for something to write.
    pub(super) fn park(&mut self, waker: &Waker) {
        match &mut self.turn {
            Turn::Parked(parked) => parked.clone_from(waker),
            turn => *turn = Turn::Parked(waker.clone()),
        }
    }

    /// Heartbeats can be written for it, between its frames.
    pub(super) fn set_heartbeats(&mut self, heartbeats: Option<HeartbeatWriter>) {
        self.heartbeats = heartbeats;
    }

    /// From now on it may be within a frame.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.turn = Turn::Writing;
    }

    /// Writes a heartbeat in its stead, if that does not go into the middle of a frame. Yields how much of
    /// it the kernel has taken.
    pub(super) fn try_heartbeat(&self) -> Option<io::Result<usize>> {
        let is_between_frames = matches!(self.turn, Turn::Parked(_) | Turn::Woken);
        let heartbeats = self.heartbeats.as_ref().filter(|_| is_between_frames)?;
        Some(heartbeats.try_heartbeat())
    }

    /// The writer waits for the kernel to take more.
    pub(super) fn block(&mut self, waker: &Waker) {
        self.turn = Turn::Blocked(waker.clone());
    }

    /// The kernel takes more.
    #[inline]
    pub(super) fn unblock(&mut self) {
        drop(self.take_blocked());
    }

    /// There is something to write.
    #[inline]
    pub(super) fn take_parked(&mut self) -> Option<Waker> {
        if !self.is_parked() {
            return None;
        }
        match std::mem::replace(&mut self.turn, Turn::Woken) {
            Turn::Parked(waker) => Some(waker),
            Turn::Writing | Turn::Blocked(_) | Turn::Woken => None,
        }
    }

    /// Takes the waker of a writer that has to run even if the kernel takes no more.
    #[inline]
    pub(super) fn take_blocked(&mut self) -> Option<Waker> {
        if !matches!(self.turn, Turn::Blocked(_)) {
            return None;
        }
        match std::mem::take(&mut self.turn) {
            Turn::Blocked(waker) => Some(waker),
            Turn::Writing | Turn::Parked(_) | Turn::Woken => None,
        }
    }

    /// There is no writer any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
