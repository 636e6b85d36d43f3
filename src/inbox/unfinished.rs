//! Frames that have begun and not ended: what they hold in memory, all connections of a socket
//! together.
//!
//! A connection asks before it lets an unfinished frame grow. When the budget is used up it stops
//! reading and stands in line. The first in line may go above the budget until its frame is
//! finished, so that there is always one that gets on; then it is the next one's turn.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::{Mutex, Place, WaitQueue};

/// The budget for the unfinished frames of a socket.
#[derive(Debug)]
pub(crate) struct Unfinished {
    limit: usize,
    ledger: Mutex<Ledger>,
    line: WaitQueue,
}

#[derive(Debug, Default)]
struct Ledger {
    held: usize,
    /// Whether somebody may go above the limit.
    privileged: bool,
}

impl Unfinished {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ledger: Mutex::new(Ledger::default()),
            line: WaitQueue::new(),
        }
    }

    /// Bytes that unfinished frames hold now.
    pub(crate) fn held(&self) -> usize {
        self.ledger.lock().held
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.held() + bytes <= self.limit
    }

    fn try_take(&self, bytes: usize) -> Option<Grant> {
        let mut ledger = self.ledger.lock();
        let grant = if ledger.held + bytes <= self.limit {
            Grant::Within
        } else if !ledger.privileged {
            ledger.privileged = true;
            Grant::Above
        } else {
            return None;
        };
        ledger.held += bytes;
        Some(grant)
    }
}

enum Grant {
    Within,
    Above,
}

/// What the unfinished frame of one connection holds of the budget.
#[derive(Debug)]
pub(crate) struct Allowance {
    budget: Arc<Unfinished>,
    held: usize,
    privileged: bool,
    place: Place,
}

impl Allowance {
    pub(crate) fn new(budget: &Arc<Unfinished>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
            privileged: false,
            place: Place::new(),
        }
    }

    /// Whether a frame that has not begun may get a buffer of this size in advance.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.budget.has_room(bytes)
    }

    /// Lets the frame grow to `bytes` in all, when it is its turn.
    pub(crate) fn poll_grow(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let more = bytes.saturating_sub(self.held);
        if more == 0 {
            return Poll::Ready(());
        }
        if self.privileged {
            self.budget.ledger.lock().held += more;
        } else {
            let attempt = || self.budget.try_take(more);
            let grant = std::task::ready!(self.place.poll(&self.budget.line, cx, attempt));
            self.privileged = matches!(grant, Grant::Above);
        }
        self.held = bytes;
        Poll::Ready(())
    }

    /// What the frame holds after a read; nothing once it is finished.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.held || self.privileged {
            self.settle(bytes);
        }
    }

    #[inline(never)]
    fn settle(&mut self, bytes: usize) {
        let mut ledger = self.budget.ledger.lock();
        ledger.held = ledger.held - self.held + bytes;
        let freed = bytes < self.held || (bytes == 0 && self.privileged);
        self.held = bytes;
        if bytes == 0 && std::mem::take(&mut self.privileged) {
            ledger.privileged = false;
        }
        drop(ledger);
        if freed {
            self.budget.line.notify();
        }
    }

    /// The connection does not read for another reason: its turn, and its privilege, go to the next.
    /// What it holds stays.
    pub(crate) fn pause(&mut self) {
        self.place.leave(&self.budget.line);
        if std::mem::take(&mut self.privileged) {
            self.budget.ledger.lock().privileged = false;
            self.budget.line.notify();
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.place.leave(&self.budget.line);
        self.set(0);
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::task::Waker;

    use super::*;

    fn grows(allowance: &mut Allowance, bytes: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        allowance.poll_grow(&mut cx, bytes).is_ready()
    }

    fn three(limit: usize) -> (Arc<Unfinished>, [Allowance; 3]) {
        let budget = Arc::new(Unfinished::new(limit));
        let allowances = std::array::from_fn(|_| Allowance::new(&budget));
        (budget, allowances)
    }

    #[test]
    fn above_the_budget_one_frame_grows_and_the_others_wait_until_it_is_finished() {
        let (budget, [mut a, mut b, mut c]) = three(100);
        assert!(grows(&mut a, 60) && grows(&mut b, 40));
        assert!(grows(&mut a, 500), "the first goes above");
        assert!(!grows(&mut b, 50) && !grows(&mut c, 1));
        assert!(grows(&mut a, 1000), "as far as its frame goes");
        assert_eq!(budget.held(), 1040);
        a.set(0);
        assert!(!grows(&mut c, 1), "it is not its turn");
        assert!(grows(&mut b, 50) && grows(&mut c, 1));
        assert_eq!(budget.held(), 51);
    }

    #[test]
    fn who_cannot_read_passes_its_turn_on_and_keeps_what_it_has() {
        let (budget, [mut a, mut b, mut c]) = three(10);
        assert!(grows(&mut a, 50) && !grows(&mut b, 20) && !grows(&mut c, 30));
        b.pause();
        a.pause();
        assert!(grows(&mut c, 30) && !grows(&mut a, 60));
        assert_eq!(budget.held(), 80);
        drop(c);
        assert!(grows(&mut a, 60));
        drop((a, b));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_connection_that_ends_wakes_the_next_in_line() {
        struct Woken(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let (_, [mut a, mut b, _c]) = three(10);
        assert!(grows(&mut a, 50));
        let woken = Arc::new(Woken(false.into()));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(b.poll_grow(&mut Context::from_waker(&waker), 5).is_pending());
        drop(a);
        assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(grows(&mut b, 5));
    }
}
