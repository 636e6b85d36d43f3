//! One subscriber of a subscription: an actor, and whether it takes messages at the moment.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::sync::Mutex;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const LEFT: u8 = 2;

/// A handler that has had a message for longer is worth a warning.
const HELD_TOO_LONG: Duration = Duration::from_secs(60);

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
    /// Set while its pump has a chunk in hand, which comes back before anything else goes to others.
    at_work: AtomicBool,
    taken: AtomicU64,
    /// Since when its handler has had the oldest message that it has not finished: the process's uptime in
    /// milliseconds, and 1; 0 while it has none.
    held_since: AtomicU64,
    /// The same, of the message that was last told to be held for too long.
    told: AtomicU64,
    /// Its pumps: none from the end of an incarnation until the next one subscribes.
    pumps: AtomicU64,
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
            at_work: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            held_since: AtomicU64::new(0),
            told: AtomicU64::new(0),
            pumps: AtomicU64::new(0),
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

    /// It is fed from now on.
    pub(crate) fn note_pump(&self) {
        self.pumps.fetch_add(1, Ordering::Relaxed);
    }

    /// One of its pumps is gone.
    pub(crate) fn note_end_of_pump(&self) {
        self.pumps.fetch_sub(1, Ordering::Relaxed);
    }

    /// True if it takes messages, or would but for a pause.
    pub(crate) fn is_fed(&self) -> bool {
        self.pumps.load(Ordering::Relaxed) > 0
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

    /// Its pump takes a chunk in hand, or has let go of it.
    #[inline]
    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }

    /// True while its pump has a chunk in hand.
    pub(crate) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }

    pub(crate) fn note_taken(&self, messages: usize) {
        self.taken.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Notes when the oldest message began that its asynchronous handler has not finished.
    pub(crate) fn note_held_since(&self, begun: Option<Instant>) {
        let since = begun.map_or(0, |begun| {
            let millis = clock::uptime(begun).as_millis();
            u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
        });
        self.held_since.store(since, Ordering::Relaxed);
    }

    /// For how long its handler has had the oldest message that it has not finished.
    pub(super) fn held_for(&self, now: Instant) -> Option<Duration> {
        let since = self.held_since.load(Ordering::Relaxed);
        let begun = Duration::from_millis(since.checked_sub(1)?);
        Some(clock::uptime(now).saturating_sub(begun))
    }

    /// For how long its handler has had a message, if that is too long. Each such message is told once.
    pub(super) fn take_held_too_long(&self, now: Instant) -> Option<Duration> {
        let held = self.held_for(now)?;
        let since = self.held_since.load(Ordering::Relaxed);
        let is_news = held > HELD_TOO_LONG && self.told.swap(since, Ordering::Relaxed) != since;
        is_news.then_some(held)
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_held_for_more_than_a_minute_is_told_once() {
        let member = Member::new(1, "Actor", || true);
        let start = clock::machine();
        let told_at = |seconds| member.take_held_too_long(start + Duration::from_secs(seconds));
        assert_eq!(told_at(100), None, "it has none");
        member.note_held_since(Some(start));
        assert_eq!(told_at(59), None);
        assert!(told_at(61).is_some_and(|held| held > HELD_TOO_LONG));
        assert_eq!(told_at(62), None, "it was told");
        member.note_held_since(Some(start + Duration::from_secs(30)));
        assert_eq!(told_at(89), None, "this is another");
        assert!(told_at(92).is_some());
        member.note_held_since(None);
        assert_eq!(told_at(1_000), None);
    }
}
