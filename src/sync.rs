//! The primitives that the data path is built on, in one place so that the loom models run the
//! very same code (`--cfg aiomsg_loom`).

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

#[cfg(aiomsg_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
#[cfg(not(aiomsg_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

#[cfg(aiomsg_loom)]
pub(crate) use loom::sync::MutexGuard;
#[cfg(not(aiomsg_loom))]
pub(crate) use parking_lot::MutexGuard;

/// A lock that a panic of its holder does not poison. No user code ever runs under one.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    #[cfg(not(aiomsg_loom))]
    inner: parking_lot::Mutex<T>,
    #[cfg(aiomsg_loom)]
    inner: loom::sync::Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            #[cfg(not(aiomsg_loom))]
            inner: parking_lot::Mutex::new(value),
            #[cfg(aiomsg_loom)]
            inner: loom::sync::Mutex::new(value),
        }
    }

    #[inline]
    #[cfg(not(aiomsg_loom))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock()
    }

    #[cfg(aiomsg_loom)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock().expect("loom locks are not poisoned")
    }
}

/// A fair queue of tasks that wait for room.
///
/// The first in line stays there until its attempt succeeds or it gives up; whoever leaves the
/// front wakes the next one, so a wake-up is never lost with a task that no longer wants it. A
/// newcomer does not overtake. [`notify`](Self::notify) is called with no lock held.
///
/// An attempt looks at what is there under a lock that whoever makes room takes too, or without one
/// if there is a fence between making room and telling of it.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    /// Tasks in `line` and tasks about to enter it; lets `notify` skip the lock.
    waiting: AtomicUsize,
    /// Takes its memory when somebody waits for the first time: nobody ever does for most of the room
    /// that there is.
    line: Mutex<Option<Box<Line>>>,
}

#[derive(Debug, Default)]
struct Line {
    next_ticket: u64,
    /// In the order of their tickets.
    tasks: VecDeque<(u64, Waker)>,
    /// The first in line at the last check, if it was woken and has not come.
    suspect: Option<u64>,
}

impl Line {
    fn position(&self, ticket: u64) -> Option<usize> {
        self.tasks
            .binary_search_by_key(&ticket, |(other, _)| *other)
            .ok()
    }
}

impl WaitQueue {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            line: Mutex::new(None),
        }
    }

    /// True if nobody waits, so that an attempt may be made without standing in line.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Tells the first in line that an attempt may succeed now.
    #[inline]
    pub(crate) fn notify(&self) {
        if !self.is_empty() {
            self.wake_first();
        }
    }

    fn wake_first(&self) {
        let line = self.line.lock();
        let first = line.as_ref().and_then(|line| line.tasks.front());
        let first = first.map(|(_, waker)| waker.clone());
        drop(line);
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Sends the first in line away if it was the first at the last call too, and wakes the next:
    /// it has been woken and does not come, for instance because its actor waits for something
    /// else. It stands in line again as soon as it is polled. Called while there is something to
    /// take, with a pause in between that is long for a task that was woken.
    pub(crate) fn pass_over_absent(&self) {
        let mut lock = self.line.lock();
        let Some(line) = &mut *lock else { return };
        let first = line.tasks.front().map(|(ticket, _)| *ticket);
        let absent = line.tasks.len() > 1 && line.suspect == first;
        if absent {
            line.tasks.pop_front();
        }
        line.suspect = if absent { None } else { first };
        drop(lock);
        if absent {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            self.wake_first();
        }
    }

    /// Wakes everyone in line, for a change that ends all waiting.
    pub(crate) fn notify_all(&self) {
        let wakers: Vec<Waker> = {
            let line = self.line.lock();
            let tasks = line.iter().flat_map(|line| &line.tasks);
            tasks.map(|(_, waker)| waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One task's place in a [`WaitQueue`]. Dropping it gives the place up.
#[derive(Debug, Default)]
pub(crate) struct Place {
    ticket: Option<u64>,
}

impl Place {
    pub(crate) const fn new() -> Self {
        Self { ticket: None }
    }

    /// Makes `attempt` when it is this task's turn; otherwise, or when the attempt yields
    /// nothing, keeps the place in line. `attempt` runs under the lock of the line.
    pub(crate) fn poll<R>(
        &mut self,
        queue: &WaitQueue,
        cx: &mut Context<'_>,
        attempt: impl FnOnce() -> Option<R>,
    ) -> Poll<R> {
        if self.ticket.is_none() {
            queue.waiting.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
        let mut lock = queue.line.lock();
        let line = lock.get_or_insert_default();
        if let Some(mine) = self.ticket
            && line.position(mine).is_none()
        {
            // It was passed over.
            self.ticket = None;
            queue.waiting.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
        let turn = match (line.tasks.front(), self.ticket) {
            (None, _) => true,
            (Some((first, _)), Some(mine)) => *first == mine,
            (Some(_), None) => false,
        };
        if turn && let Some(result) = attempt() {
            if self.ticket.take().is_some() {
                line.tasks.pop_front();
            }
            drop(lock);
            if queue.waiting.fetch_sub(1, Ordering::SeqCst) > 1 {
                queue.wake_first();
            }
            return Poll::Ready(result);
        }
        match self.ticket {
            Some(mine) => {
                if let Some(position) = line.position(mine) {
                    line.tasks[position].1.clone_from(cx.waker());
                }
            }
            None => {
                let ticket = line.next_ticket;
                line.next_ticket += 1;
                line.tasks.push_back((ticket, cx.waker().clone()));
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }

    /// Gives the place up and passes the turn on.
    pub(crate) fn leave(&mut self, queue: &WaitQueue) {
        let Some(mine) = self.ticket.take() else {
            return;
        };
        let mut lock = queue.line.lock();
        let Some((line, position)) = lock
            .as_mut()
            .and_then(|line| line.position(mine).map(|position| (line, position)))
        else {
            // It was passed over.
            return;
        };
        line.tasks.remove(position);
        drop(lock);
        if queue.waiting.fetch_sub(1, Ordering::SeqCst) > 1 && position == 0 {
            queue.wake_first();
        }
    }

    /// True if this task stands in line.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    /// Polls for the thing, which is there or not.
    fn poll(place: &mut Place, queue: &WaitQueue, there: Option<()>) -> Poll<()> {
        place.poll(queue, &mut Context::from_waker(Waker::noop()), || there)
    }

    #[test]
    fn who_is_first_and_does_not_come_is_passed_over_at_the_second_look() {
        let queue = WaitQueue::new();
        let (mut first, mut second) = (Place::new(), Place::new());
        assert!(poll(&mut first, &queue, None).is_pending());
        assert!(poll(&mut second, &queue, None).is_pending());
        queue.pass_over_absent();
        assert!(poll(&mut second, &queue, Some(())).is_pending());
        queue.pass_over_absent();
        assert!(poll(&mut second, &queue, Some(())).is_ready());
        assert!(queue.is_empty());

        // It comes at last, and is in line as before.
        assert!(poll(&mut first, &queue, None).is_pending());
        assert!(poll(&mut second, &queue, Some(())).is_pending());
        assert!(poll(&mut first, &queue, Some(())).is_ready());
        second.leave(&queue);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_was_passed_over_may_leave_and_who_is_alone_is_not_passed_over() {
        let queue = WaitQueue::new();
        let (mut first, mut second) = (Place::new(), Place::new());
        assert!(poll(&mut first, &queue, None).is_pending());
        queue.pass_over_absent();
        queue.pass_over_absent();
        assert!(poll(&mut second, &queue, Some(())).is_pending());
        queue.pass_over_absent();
        first.leave(&queue);
        assert!(poll(&mut second, &queue, Some(())).is_ready());
        assert!(queue.is_empty());
    }
}
