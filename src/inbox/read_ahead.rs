//! Read-ahead: chunks that connections read past full inboxes, to get to the acknowledgements and answers
//! behind them.
//!
//! All connections of a socket share one budget. A read holds its part of it until the last of its
//! messages is handled, whatever became of the connection meanwhile.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use crate::sync::{AtomicUsize, Mutex, Ordering, Place, WaitQueue};

/// Bytes that one connection may have read ahead, at most.
const MOST_OF_ONE: usize = 256 * 1024;

/// The budget of a socket for read-ahead.
#[derive(Debug)]
pub(crate) struct ReadAheadBudget {
    ledger: Mutex<ReadAheadState>,
    /// Connections that wait for their part.
    line: WaitQueue,
}

#[derive(Debug)]
struct ReadAheadState {
    limit: usize,
    held: usize,
    /// Connections that hold some of it.
    holders: usize,
}

/// Part of the budget that one connection holds.
#[derive(Debug, Default)]
struct Account {
    /// Changes under the lock of the ledger.
    held: AtomicUsize,
    /// The connection, while it waits for its own messages to be handled.
    waker: Mutex<Option<Waker>>,
}

impl ReadAheadBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            ledger: Mutex::new(ReadAheadState {
                limit,
                held: 0,
                holders: 0,
            }),
            line: WaitQueue::new(),
        }
    }

    /// The budget changes. Whoever holds some of it keeps that; those who wait are to be
    /// [told](Self::tell_all).
    pub(crate) fn set_limit(&self, limit: usize) {
        self.ledger.lock().limit = limit;
    }

    /// There may be room for those who wait.
    pub(crate) fn tell_all(&self) {
        self.line.notify_all();
    }

    /// Bytes that were read ahead and are not handled, now.
    pub(crate) fn held(&self) -> usize {
        self.ledger.lock().held
    }

    /// True if the connection may hold so much more, beside others. One that holds nothing may always
    /// have one chunk read.
    fn is_within_share(&self, account: &Account, bytes: usize) -> bool {
        let ledger = self.ledger.lock();
        let held = account.held.load(Ordering::Relaxed);
        let share = ledger.limit / ledger.holders.max(1);
        held == 0 || held + bytes <= share.min(MOST_OF_ONE)
    }

    fn try_take(&self, account: &Account, bytes: usize) -> Option<()> {
        let mut ledger = self.ledger.lock();
        if ledger.held > 0 && ledger.held + bytes > ledger.limit {
            return None;
        }
        ledger.held += bytes;
        if account.held.fetch_add(bytes, Ordering::Relaxed) == 0 {
            ledger.holders += 1;
        }
        Some(())
    }

    fn give_back(&self, account: &Account, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut ledger = self.ledger.lock();
        ledger.held -= bytes;
        if account.held.fetch_sub(bytes, Ordering::Relaxed) == bytes {
            ledger.holders -= 1;
        }
        drop(ledger);
        self.line.notify();
        let waker = account.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The read-ahead of one connection.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    budget: Arc<ReadAheadBudget>,
    account: Arc<Account>,
    place: Place,
}

impl ReadAhead {
    pub(crate) fn new(budget: &Arc<ReadAheadBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            account: Arc::default(),
            place: Place::new(),
        }
    }

    /// Takes a part of the budget for a read of at most `bytes`, or waits for it.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<ReadAheadPart> {
        // Before it is looked: what is given back from now on is not missed.
        *self.account.waker.lock() = Some(cx.waker().clone());
        if !self.budget.is_within_share(&self.account, bytes) {
            self.leave_line();
            return Poll::Pending;
        }
        let attempt = || self.budget.try_take(&self.account, bytes);
        ready!(self.place.poll(&self.budget.line, cx, attempt));
        // What it gives back itself is not to wake it.
        drop(self.account.waker.lock().take());
        Poll::Ready(ReadAheadPart {
            budget: Arc::clone(&self.budget),
            account: Arc::clone(&self.account),
            bytes,
        })
    }

    /// The connection does not read for another reason: its turn goes to the next.
    pub(crate) fn leave_line(&mut self) {
        self.place.leave(&self.budget.line);
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.leave_line();
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ReadAheadPart {
    budget: Arc<ReadAheadBudget>,
    account: Arc<Account>,
    bytes: usize,
}

impl ReadAheadPart {
    /// Gives back what the read did not need.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let spare = self.bytes.saturating_sub(bytes);
        self.bytes -= spare;
        self.budget.give_back(&self.account, spare);
    }
}

impl Drop for ReadAheadPart {
    fn drop(&mut self) {
        self.budget.give_back(&self.account, self.bytes);
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    fn take(ahead: &mut ReadAhead, bytes: usize) -> Option<ReadAheadPart> {
        let mut cx = Context::from_waker(Waker::noop());
        match ahead.poll_take(&mut cx, bytes) {
            Poll::Ready(part) => Some(part),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_connection_reads_ahead_no_more_than_its_bound_until_that_is_handled() {
        let budget = Arc::new(ReadAheadBudget::new(1 << 20));
        let mut ahead = ReadAhead::new(&budget);
        let first = take(&mut ahead, 200 * 1024).expect("it is within the bound");
        assert!(take(&mut ahead, 57 * 1024).is_none());
        let second = take(&mut ahead, 56 * 1024).expect("it is the bound");
        drop(first);
        assert!(take(&mut ahead, 57 * 1024).is_some());
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn all_connections_together_hold_no_more_than_the_budget_and_one_read() {
        let budget = Arc::new(ReadAheadBudget::new(100));
        let mut all: Vec<_> = (0..5).map(|_| ReadAhead::new(&budget)).collect();
        let parts: Vec<_> = all.iter_mut().filter_map(|ahead| take(ahead, 40)).collect();
        assert_eq!((parts.len(), budget.held()), (2, 80));
        drop(all);
        assert_eq!(budget.held(), 80, "it outlives its connection");
        drop(parts);
        assert_eq!(budget.held(), 0);
        let mut large = ReadAhead::new(&budget);
        assert!(
            take(&mut large, 1_000).is_some(),
            "an empty budget has room for one read"
        );
    }

    #[test]
    fn a_read_that_was_shorter_gives_the_rest_back() {
        let budget = Arc::new(ReadAheadBudget::new(100));
        let [mut one, mut other] = [(); 2].map(|()| ReadAhead::new(&budget));
        let mut part = take(&mut one, 100).expect("there is room");
        assert!(take(&mut other, 50).is_none());
        part.shrink_to(10);
        assert_eq!(budget.held(), 10);
        assert!(take(&mut other, 50).is_some());
    }

    #[test]
    fn a_connection_that_gives_back_an_unused_part_is_not_woken_by_that() {
        use std::sync::atomic::AtomicBool;
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let budget = Arc::new(ReadAheadBudget::new(100));
        let mut ahead = ReadAhead::new(&budget);
        let Poll::Ready(unused) = ahead.poll_take(&mut cx, 50) else {
            panic!("there is room");
        };
        drop(unused);
        assert!(!woken.0.load(Ordering::SeqCst));
        let Poll::Ready(used) = ahead.poll_take(&mut cx, 100) else {
            panic!("there is room");
        };
        assert!(ahead.poll_take(&mut cx, 100).is_pending());
        drop(used);
        assert!(woken.0.load(Ordering::SeqCst));
    }

    #[test]
    fn who_waits_for_its_own_messages_stands_in_nobodys_way() {
        let budget = Arc::new(ReadAheadBudget::new(100));
        let [mut one, mut other] = [(); 2].map(|()| ReadAhead::new(&budget));
        let _part = take(&mut one, 60).expect("there is room");
        assert!(take(&mut one, 60).is_none());
        assert!(take(&mut other, 40).is_some());
    }
}
