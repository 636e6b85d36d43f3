//! Frames that have begun and not ended: what they may hold in memory, all connections of a socket
//! together.
//!
//! A connection asks for the whole of a frame before it lets it grow beyond a first read, and does not
//! read until it gets it. So whoever has begun to read a frame never waits for others here, and
//! whoever never finishes is found out by its silence. Frames that are larger than the budget go
//! one at a time, beside it.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::{AtomicBool, Mutex, Ordering, Place, WaitQueue};

/// Bytes asked of the kernel in one call, as often as there is room.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// The budget for the unfinished frames of a socket.
#[derive(Debug)]
pub(crate) struct FrameBudget {
    ledger: Mutex<BudgetState>,
    /// Set while a frame of the size of a read would not go within the budget.
    tight: AtomicBool,
    line: WaitQueue,
    /// Those that are larger than the budget stand in a line of their own, and hold up nobody else.
    line_of_giants: WaitQueue,
}

#[derive(Debug, Default)]
struct BudgetState {
    limit: usize,
    held: usize,
    giant: usize,
}

/// Accounting of a frame: within the budget or, if it is larger than all of it, beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BudgetShare {
    Within,
    Beside,
}

impl BudgetState {
    fn way_of(&self, bytes: usize) -> BudgetShare {
        if bytes > self.limit {
            BudgetShare::Beside
        } else {
            BudgetShare::Within
        }
    }
}

/// The budget was changed, and a frame has to wait in the other line now.
struct OtherLine;

impl FrameBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            ledger: Mutex::new(BudgetState {
                limit,
                ..BudgetState::default()
            }),
            tight: AtomicBool::new(false),
            line: WaitQueue::new(),
            line_of_giants: WaitQueue::new(),
        }
    }

    /// The budget changes. Whoever holds some of it keeps that; those who wait are to be
    /// [told](Self::tell_all).
    pub(crate) fn set_limit(&self, limit: usize) {
        let mut ledger = self.ledger.lock();
        ledger.limit = limit;
        self.note(&ledger);
    }

    /// There may be room for those who wait.
    pub(crate) fn tell_all(&self) {
        self.line.notify_all();
        self.line_of_giants.notify_all();
    }

    /// Bytes that unfinished frames may come to hold, now.
    pub(crate) fn held(&self) -> usize {
        let ledger = self.ledger.lock();
        ledger.held + ledger.giant
    }

    fn note(&self, ledger: &BudgetState) {
        let tight = ledger.held > 0 && ledger.held + READ_BYTES > ledger.limit;
        self.tight.store(tight, Ordering::Relaxed);
    }

    fn line_for(&self, way: BudgetShare) -> &WaitQueue {
        match way {
            BudgetShare::Within => &self.line,
            BudgetShare::Beside => &self.line_of_giants,
        }
    }

    fn way_of(&self, bytes: usize) -> BudgetShare {
        self.ledger.lock().way_of(bytes)
    }

    fn try_take(&self, bytes: usize, way: BudgetShare) -> Option<Result<(), OtherLine>> {
        let mut ledger = self.ledger.lock();
        if ledger.way_of(bytes) != way {
            return Some(Err(OtherLine));
        }
        match way {
            BudgetShare::Beside if ledger.giant > 0 => return None,
            BudgetShare::Beside => ledger.giant = bytes,
            BudgetShare::Within if ledger.held + bytes > ledger.limit => return None,
            BudgetShare::Within => ledger.held += bytes,
        }
        self.note(&ledger);
        Some(Ok(()))
    }

    fn give_back(&self, bytes: usize, way: BudgetShare) {
        let mut ledger = self.ledger.lock();
        match way {
            BudgetShare::Beside => ledger.giant = 0,
            BudgetShare::Within => ledger.held -= bytes,
        }
        self.note(&ledger);
        drop(ledger);
        self.line_for(way).notify();
    }
}

/// Part of the budget that the unfinished frame of one connection holds.
#[derive(Debug)]
pub(crate) struct Allowance {
    budget: Arc<FrameBudget>,
    held: usize,
    /// Bytes that it stands in line for.
    wanted: usize,
    /// Accounting of the part that it holds, or line in which it stands.
    way: BudgetShare,
    place: Place,
}

impl Allowance {
    pub(crate) fn new(budget: &Arc<FrameBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            held: 0,
            wanted: 0,
            way: BudgetShare::Within,
            place: Place::new(),
        }
    }

    /// True if a frame that has not begun may get a buffer of this size in advance.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let ledger = self.budget.ledger.lock();
        ledger.held + bytes <= ledger.limit
    }

    /// True while the budget has no room for the part of a frame that a read may bring.
    #[inline]
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.tight.load(Ordering::Relaxed)
    }

    /// Waits until it is this frame's turn to grow to `bytes` in all. It has what it has got until
    /// it is [`finish`](Self::finish)ed.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if self.held > 0 || bytes == 0 {
            return Poll::Ready(());
        }
        self.poll_line(cx, bytes)
    }

    #[inline(never)]
    fn poll_line(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        loop {
            let way = self.budget.way_of(bytes);
            if (self.wanted, self.way) != (bytes, way) {
                self.leave_line();
                (self.wanted, self.way) = (bytes, way);
            }
            let attempt = || self.budget.try_take(bytes, way);
            let line = self.budget.line_for(way);
            if std::task::ready!(self.place.poll(line, cx, attempt)).is_ok() {
                self.held = bytes;
                return Poll::Ready(());
            }
        }
    }

    /// The frame is whole.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.held > 0 {
            let held = std::mem::take(&mut self.held);
            self.budget.give_back(held, self.way);
        }
    }

    /// The connection does not read for another reason: its turn goes to the next.
    pub(crate) fn leave_line(&mut self) {
        self.place.leave(self.budget.line_for(self.way));
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.leave_line();
        self.finish();
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    use super::*;

    fn takes(allowance: &mut Allowance, bytes: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        allowance.poll_take(&mut cx, bytes).is_ready()
    }

    fn four(limit: usize) -> (Arc<FrameBudget>, [Allowance; 4]) {
        let budget = Arc::new(FrameBudget::new(limit));
        let allowances = std::array::from_fn(|_| Allowance::new(&budget));
        (budget, allowances)
    }

    #[test]
    fn when_the_budget_is_used_up_the_others_wait_in_order_until_a_frame_is_whole() {
        let (budget, [mut a, mut b, mut c, mut d]) = four(100);
        assert!(takes(&mut a, 60) && takes(&mut b, 40));
        assert!(takes(&mut a, 60), "it has it already");
        assert!(!takes(&mut c, 50) && !takes(&mut d, 1));
        b.finish();
        assert!(!takes(&mut d, 1), "it is not its turn");
        assert!(!takes(&mut c, 50));
        a.finish();
        assert!(takes(&mut c, 50) && takes(&mut d, 1));
        assert_eq!(budget.held(), 51);
        drop((c, d));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn frames_larger_than_the_budget_go_one_at_a_time_and_hold_up_no_others() {
        let (budget, [mut a, mut b, mut c, mut d]) = four(100);
        assert!(takes(&mut a, 1000) && !takes(&mut b, 2000));
        assert!(takes(&mut c, 100) && !takes(&mut d, 1));
        assert_eq!(budget.held(), 1100);
        a.finish();
        assert!(takes(&mut b, 2000) && !takes(&mut a, 500));
        c.finish();
        assert!(takes(&mut d, 1));
        drop(b);
        assert!(takes(&mut a, 500));
    }

    #[test]
    fn a_raised_budget_lets_in_who_waits_and_a_lowered_one_takes_nothing_back() {
        let (budget, [mut a, mut b, mut c, mut d]) = four(100);
        assert!(takes(&mut a, 60) && !takes(&mut b, 60) && takes(&mut c, 150));
        assert!(!takes(&mut d, 150), "one giant at a time");
        budget.set_limit(300);
        assert!(takes(&mut b, 60));
        assert!(takes(&mut d, 150), "it is no giant any more");
        assert_eq!(budget.held(), 420);
        budget.set_limit(50);
        assert_eq!(budget.held(), 420);
        c.finish();
        assert_eq!(
            budget.held(),
            270,
            "it was beside the budget, and is gone from there"
        );
        assert!(takes(&mut c, 51), "a giant now");
        a.finish();
        b.finish();
        assert!(!takes(&mut a, 50), "the fourth has more than all of it");
        d.finish();
        assert!(takes(&mut a, 50));
        assert_eq!(budget.held(), 101);
    }

    #[test]
    fn who_waits_stands_in_the_other_line_when_the_budget_changes() {
        let (budget, [mut a, mut b, mut c, mut d]) = four(100);
        assert!(takes(&mut a, 100) && !takes(&mut b, 80) && takes(&mut c, 200));
        budget.set_limit(50);
        assert!(!takes(&mut b, 80), "behind the other giant");
        a.finish();
        assert!(takes(&mut d, 50), "the line that it has left is free");
        assert!(!takes(&mut b, 80));
        c.finish();
        assert!(takes(&mut b, 80));
    }

    #[test]
    fn who_cannot_read_passes_its_turn_on() {
        let (_, [mut a, mut b, mut c, _]) = four(10);
        assert!(takes(&mut a, 10) && !takes(&mut b, 5) && !takes(&mut c, 5));
        b.leave_line();
        a.finish();
        assert!(takes(&mut c, 5));
    }

    #[test]
    fn a_connection_that_ends_wakes_the_next_in_line() {
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        for bytes in [5, 50] {
            let (_, [mut a, mut b, ..]) = four(5);
            assert!(takes(&mut a, bytes));
            let woken = Arc::new(Woken(AtomicBool::new(false)));
            let waker = Waker::from(Arc::clone(&woken));
            let waits = b.poll_take(&mut Context::from_waker(&waker), bytes);
            assert!(waits.is_pending());
            drop(a);
            assert!(woken.0.load(Ordering::SeqCst));
            assert!(takes(&mut b, bytes));
        }
    }
}
