//! How long a pump goes on before others of its arbiter get their turn.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::coop;

use crate::clock;

/// A pump that has worked for so long in one poll makes way, however few messages that were.
const AT_MOST: Duration = Duration::from_millis(5);

/// Handlers that take less than this for a message are asked about in strides.
const QUICK: Duration = Duration::from_micros(5);

/// Messages between two looks at the budget, at most. Making way costs some microseconds, because the
/// arbiter then asks the kernel for news: as much as handling fifty small messages.
const LONGEST_STRIDE: u32 = 16;

/// Units of the budget that a task has in one poll, or more.
const WHOLE_BUDGET: usize = 256;

/// Takes the task's budget of tokio into account: for each message where handlers are slow, for a
/// stride of them where looking would cost as much as handling.
#[derive(Debug)]
pub(super) struct Pace {
    stride: u32,
    left: u32,
    /// When this poll began, and when it was looked at last.
    begun: Option<Instant>,
    looked: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            stride: 1,
            left: 0,
            begun: None,
            looked: None,
        }
    }

    /// Another poll begins.
    pub(super) fn begin(&mut self) {
        self.left = 0;
        self.begun = None;
        self.looked = None;
    }

    /// Whether there may be another message in this poll. If not, the task is woken after its
    /// arbiter has looked at timers and sockets.
    #[inline]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(());
        }
        self.poll_stride(cx)
    }

    #[inline(never)]
    fn poll_stride(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        if let Some(looked) = self.looked.replace(now) {
            let quick = now.saturating_duration_since(looked) < QUICK * self.stride;
            self.stride = match quick {
                true => (self.stride * 2).min(LONGEST_STRIDE),
                false => 1,
            };
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

/// Uses up the budget, which is the way to be woken behind everything else. A task without a
/// budget goes on.
#[cold]
fn spend_the_rest(cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..WHOLE_BUDGET {
        std::task::ready!(coop::poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}
