//! Bytes that a thread has read and its pumps have not handled. While they are few, they are still in the
//! processor's cache, and so is the memory that the next read goes into.
//!
//! Readers that find enough there stand in line. The first of them comes again behind the pumps that
//! have something to do; the others wait for it, so that a hundred readers do not fill the cache a
//! hundred times before a pump has its turn.

use std::cell::Cell;
use std::task::{Context, Poll};

use crate::sync::{Place, WaitQueue};

/// With more than this, whoever reads on this thread lets its pumps go first.
const ENOUGH: usize = 128 * 1024;

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
    static LINE: WaitQueue = WaitQueue::new();
}

/// So many bytes more were read.
pub(crate) fn note_read(bytes: usize) {
    READ.set(READ.get().saturating_add(bytes));
}

/// A pump of this thread has had its turn.
pub(crate) fn start_over() {
    READ.set(0);
}

fn is_enough() -> bool {
    READ.get() >= ENOUGH
}

/// True if readers of this thread stand in line.
#[inline]
pub(crate) fn has_line() -> bool {
    !LINE.with(WaitQueue::is_empty)
}

/// Looks for a reader whose turn it is and who does not come. Called by the sweep.
pub(crate) fn handle_sweep() {
    LINE.with(WaitQueue::pass_over_absent);
}

/// When a reader may read.
#[derive(Debug)]
pub(crate) struct ReadTurn {
    place: Place,
    /// Set after the reader was first in line and has let everything else go first, once.
    made_way: bool,
}

impl ReadTurn {
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::new(),
            made_way: false,
        }
    }

    /// Ready when the reader may read. It is woken when it is its turn.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !is_enough() && !self.place.is_waiting() && LINE.with(WaitQueue::is_empty) {
            return Poll::Ready(());
        }
        self.poll_line(cx)
    }

    #[inline(never)]
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_first = Cell::new(false);
        let made_way = self.made_way;
        let turn = LINE.with(|line| {
            self.place.poll(line, cx, || {
                is_first.set(true);
                // If a pump has not come by now, there may be none on this thread.
                (made_way || !is_enough()).then(start_over)
            })
        });
        self.made_way = turn.is_pending() && is_first.get();
        if self.made_way {
            cx.waker().wake_by_ref();
        }
        turn
    }

    /// True if the reader stands in line.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        self.place.is_waiting()
    }

    /// The reader cannot read, whosever turn it is.
    pub(crate) fn leave(&mut self) {
        if self.place.is_waiting() {
            // Without its line there is nobody to be told.
            let _ = LINE.try_with(|line| self.place.leave(line));
            self.made_way = false;
        }
    }
}

impl Drop for ReadTurn {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A reader, and how often it has been woken.
    struct WaitingReader {
        turn: ReadTurn,
        woken: Arc<Woken>,
    }

    impl WaitingReader {
        fn new() -> Self {
            Self {
                turn: ReadTurn::new(),
                woken: Arc::default(),
            }
        }

        fn poll(&mut self) -> Poll<()> {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.turn.poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn readers_read_until_there_is_enough_and_then_one_at_a_time_as_pumps_come() {
        let [mut first, mut second, mut third] = [(); 3].map(|()| WaitingReader::new());
        assert!(first.poll().is_ready());
        note_read(ENOUGH);
        assert!(second.poll().is_pending());
        assert!(third.poll().is_pending());
        // Who is first comes again by itself, the others are called.
        assert_eq!((second.woken(), third.woken()), (1, 0));
        start_over();
        assert!(third.poll().is_pending(), "it is not its turn");
        assert!(second.poll().is_ready());
        assert_eq!(third.woken(), 1);
        note_read(ENOUGH);
        assert!(third.poll().is_pending());
        assert!(first.poll().is_pending(), "it has had its turn");
        start_over();
        assert!(third.poll().is_ready());
        assert!(first.poll().is_ready());
    }

    #[test]
    fn a_reader_goes_on_if_no_pump_comes() {
        let mut only = WaitingReader::new();
        note_read(ENOUGH);
        assert!(only.poll().is_pending());
        assert_eq!(only.woken(), 1);
        assert!(only.poll().is_ready());
        assert!(!is_enough());
    }

    #[test]
    fn who_leaves_the_line_or_does_not_come_calls_the_next() {
        let [mut first, mut second, mut third] = [(); 3].map(|()| WaitingReader::new());
        note_read(ENOUGH);
        for reader in [&mut first, &mut second, &mut third] {
            assert!(reader.poll().is_pending());
        }
        drop(first);
        assert_eq!(second.woken(), 1);
        handle_sweep();
        handle_sweep();
        assert_eq!(third.woken(), 1);
        start_over();
        assert!(third.poll().is_ready());
        assert!(second.poll().is_ready());
    }
}
