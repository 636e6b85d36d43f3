//! Budget of a pump, or of a task that calls `recv`, before others of its thread get their turn.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop;

use super::handling_watch::HandlingWatch;
use crate::clock;

/// A pump that has worked for so long in one poll makes way, however few messages that were.
const AT_MOST: Duration = Duration::from_millis(5);

/// Handlers that take less than this for a message are asked about in strides. The longest stride of them is far shorter
/// than the time that a poll may take.
const QUICK: Duration = Duration::from_micros(20);

/// Messages between two looks at the budget, at most. Making way costs some microseconds, because the
/// arbiter then asks the kernel for news: as much as handling fifty small messages.
const LONGEST_STRIDE: u32 = 16;

/// Polls of which one has a look behind its last message, while handlers are not known to be quick. It tells only
/// that.
const LOOK_BEHIND: u8 = 8;

/// Units of the budget that a task has in one poll, or more.
const WHOLE_BUDGET: usize = 256;

/// Takes the task's budget of tokio into account: for each message where handlers are slow, for a
/// stride of them where looking would cost as much as handling.
#[derive(Debug)]
pub(super) struct CoopBudget {
    stride: u32,
    left: u32,
    /// Chunks that ended without a look.
    unseen: u8,
    /// Nothing was asked about in this poll.
    fresh: bool,
    /// When this poll began, and when it was looked at last.
    begun: Option<Instant>,
    looked: Option<Instant>,
}

impl CoopBudget {
    pub(super) const fn new() -> Self {
        Self {
            stride: 1,
            left: 0,
            unseen: 0,
            fresh: true,
            begun: None,
            looked: None,
        }
    }

    /// Another poll begins.
    pub(super) fn begin(&mut self) {
        self.left = 0;
        self.fresh = true;
        self.begun = None;
        self.looked = None;
    }

    /// True if handlers have been quick so far.
    #[inline]
    fn is_quick(&self) -> bool {
        self.stride > 1
    }

    /// True if a look behind the last message of a chunk would tell nothing worth its cost.
    #[inline]
    pub(super) fn skips_last(&mut self) -> bool {
        self.is_quick() || self.skips_unseen()
    }

    fn skips_unseen(&mut self) -> bool {
        self.unseen = (self.unseen + 1) % LOOK_BEHIND;
        self.unseen != 0
    }

    /// Ready if there may be another message in this poll. If not, the task is woken after its
    /// arbiter has looked at timers and sockets. The watch is told of each look at the clock, and of how many messages had been
    /// `handled` by then.
    #[inline]
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut HandlingWatch,
        handled: impl FnOnce() -> u64,
    ) -> Poll<()> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(());
        }
        self.poll_stride(cx, watch, handled())
    }

    #[inline(never)]
    fn poll_stride(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut HandlingWatch,
        handled: u64,
    ) -> Poll<()> {
        if std::mem::take(&mut self.fresh) && self.is_quick() {
            // A lone message is not worth a look at the clock, unless somebody wants to know how long it takes.
            if watch.is_on() {
                let now = clock::now();
                self.looked = Some(now);
                watch.look(now, None, handled);
            }
            std::task::ready!(coop::poll_proceed(cx)).made_progress();
            return Poll::Ready(());
        }
        let now = clock::now();
        let looked = self.looked.replace(now);
        let since_last = looked.map(|looked| now.saturating_duration_since(looked));
        watch.look(now, since_last, handled);
        // A look that only the watch wanted begins no stride.
        if let (Some(since_last), Some(_)) = (since_last, self.begun) {
            self.stride = stride_after(self.stride, since_last);
        }
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_duration_since(begun) >= AT_MOST {
            return spend_the_rest(cx);
        }
        std::task::ready!(coop::poll_proceed(cx)).made_progress();
        self.left = self.stride - 1;
        Poll::Ready(())
    }
}

/// The next stride, behind one that took so long.
fn stride_after(stride: u32, took: Duration) -> u32 {
    match took < QUICK * stride {
        true => (stride * 2).min(LONGEST_STRIDE),
        false => 1,
    }
}

/// Uses up the budget, which is the way to be woken behind everything else. A task without a
/// budget goes on.
#[cold]
fn spend_the_rest(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..WHOLE_BUDGET {
        std::task::ready!(coop::poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}

thread_local! {
    static CALLS: Cell<CallBudget> = const { Cell::new(CallBudget::new()) };
}

/// The same for whoever takes messages by `recv` or `messages` and works on them without an await: all tasks of a thread together. It
/// is not known when a poll of theirs began; but what they spend is the budget that tokio gives a task for one poll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallBudget {
    stride: u32,
    left: u32,
    /// When the first message was taken, and when the clock was looked at last, since a task had to wait.
    begun: Option<Instant>,
    looked: Option<Instant>,
}

impl CallBudget {
    const fn new() -> Self {
        Self {
            stride: 1,
            left: 0,
            begun: None,
            looked: None,
        }
    }

    /// Ready if another message may be taken in this poll. If not, the task is woken after the others.
    #[inline]
    pub(crate) fn poll_next(cx: &mut Context<'_>) -> Poll<()> {
        if CALLS.get().left > 0 {
            return Poll::Ready(());
        }
        // Nothing is spent yet: there may be no message.
        coop::poll_proceed(cx).map(drop)
    }

    /// There is no message: the task waits.
    pub(crate) fn note_none() {
        let stride = CALLS.get().stride;
        CALLS.set(Self {
            stride,
            // A lone message is not worth a look at the clock where work is quick.
            left: u32::from(stride > 1),
            ..Self::new()
        });
    }

    /// A message was taken.
    #[inline]
    pub(crate) fn note_taken(cx: &mut Context<'_>) {
        let mut budget = CALLS.get();
        match budget.left.checked_sub(1) {
            Some(left) => budget.left = left,
            None => budget.look(clock::now(), cx),
        }
        CALLS.set(budget);
    }

    #[inline(never)]
    fn look(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(looked) = self.looked.replace(now) {
            self.stride = stride_after(self.stride, now.saturating_duration_since(looked));
        }
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_duration_since(begun) >= AT_MOST {
            // The next call in this poll has to wait.
            *self = Self {
                stride: self.stride,
                ..Self::new()
            };
            let _ = spend_the_rest(cx);
        } else {
            let _ = coop::poll_proceed(cx).map(|unit| unit.made_progress());
            self.left = self.stride - 1;
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use futures_util::FutureExt;

    use super::*;

    fn watch() -> HandlingWatch {
        HandlingWatch::new(std::sync::Arc::default())
    }

    fn handle(pace: &mut CoopBudget, takes: Duration) -> impl Future<Output = ()> {
        let cx = &mut Context::from_waker(Waker::noop());
        let next = pace.poll_next(cx, &mut watch(), || 0);
        assert!(next.is_ready());
        tokio::time::advance(takes)
    }

    #[tokio::test(start_paused = true)]
    async fn quick_handlers_are_asked_about_in_strides_and_slow_ones_make_way_after_one_message() {
        let mut pace = CoopBudget::new();
        for _ in 0..=LOOK_BEHIND {
            // Lone messages, some with the look behind while that may tell something.
            pace.begin();
            handle(&mut pace, Duration::ZERO).await;
            if !pace.skips_last() {
                handle(&mut pace, Duration::ZERO).await;
            }
        }
        assert!(pace.is_quick());
        assert_eq!(pace.begun, None, "the clock is not looked at");

        pace.begin();
        for _ in 0..100 {
            handle(&mut pace, Duration::from_millis(1)).await;
            if !pace.is_quick() {
                break;
            }
        }
        assert!(!pace.is_quick());

        pace.begin();
        handle(&mut pace, AT_MOST).await;
        let next = std::future::poll_fn(|cx| Poll::Ready(pace.poll_next(cx, &mut watch(), || 0)));
        assert!(next.await.is_pending(), "it has had its time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_messages_and_works_for_long_makes_way_and_who_finds_none_spends_nothing() {
        let take = |cx: &mut Context<'_>| {
            let next = CallBudget::poll_next(cx);
            if next.is_ready() {
                CallBudget::note_taken(cx);
            }
            next
        };
        let mut taken = Vec::new();
        for _ in 0..3 {
            let mut count = 0;
            // Time goes on between the polls of a future that never lets go of the thread.
            let work = async {
                loop {
                    let next = std::future::poll_fn(|cx| Poll::Ready(take(cx))).await;
                    if next.is_pending() {
                        break;
                    }
                    count += 1;
                    let _ = tokio::time::advance(Duration::from_millis(1)).now_or_never();
                }
            };
            work.await;
            taken.push(count);
            tokio::task::yield_now().await;
        }
        assert_eq!(taken, [6, 6, 6]);

        for _ in 0..10 * WHOLE_BUDGET {
            let next = std::future::poll_fn(|cx| Poll::Ready(CallBudget::poll_next(cx))).await;
            assert!(next.is_ready());
            CallBudget::note_none();
        }
    }
}
