//! One subscriber of a subscription: an actor, and whether it takes messages at the moment.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const LEFT: u8 = 2;

/// A subscriber, over all its incarnations.
pub(crate) struct Member {
    /// Tells it from others.
    pub(crate) subscriber: u64,
    /// The type of the actor.
    pub(crate) actor: &'static str,
    /// True while the actor still has its mailbox.
    check: Box<dyn Fn() -> bool + Send + Sync>,
    mode: AtomicU8,
    /// Its pump, while it is paused.
    waker: Mutex<Option<Waker>>,
    taken: AtomicU64,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn new(
        subscriber: u64,
        actor: &'static str,
        check: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            subscriber,
            actor,
            check: Box::new(check),
            mode: AtomicU8::new(RUNNING),
            waker: Mutex::new(None),
            taken: AtomicU64::new(0),
        }
    }

    /// True if the actor may still come back for its messages.
    pub(crate) fn is_alive(&self) -> bool {
        !self.has_left() && (self.check)()
    }

    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.mode.load(Ordering::Relaxed) == RUNNING
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == PAUSED
    }

    pub(crate) fn has_left(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == LEFT
    }

    /// Waits while it is paused. False once it has unsubscribed.
    pub(crate) fn poll_running(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_running() {
            return Poll::Ready(true);
        }
        *self.waker.lock() = Some(cx.waker().clone());
        match self.mode.load(Ordering::SeqCst) {
            RUNNING => Poll::Ready(true),
            PAUSED => Poll::Pending,
            _ => Poll::Ready(false),
        }
    }

    /// Changes the mode, unless the member has left.
    fn enter(&self, mode: u8) {
        let change = |now: u8| (now != LEFT).then_some(mode);
        let order = Ordering::SeqCst;
        if self.mode.fetch_update(order, order, change).is_ok()
            && let Some(waker) = self.waker.lock().take()
        {
            waker.wake();
        }
    }

    pub(crate) fn pause(&self) {
        self.enter(PAUSED);
    }

    pub(crate) fn resume(&self) {
        self.enter(RUNNING);
    }

    pub(crate) fn leave(&self) {
        self.enter(LEFT);
    }

    pub(crate) fn note_taken(&self, messages: usize) {
        self.taken.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}
