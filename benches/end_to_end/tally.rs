//! Counts what has arrived, and tells the rate when it is all there.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::support::process::tell;

/// How long nothing arrives before what is missing counts as lost.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

/// What has arrived, on all connections of this process.
#[derive(Debug)]
pub(crate) struct Tally {
    expected: u64,
    seen: Cell<u64>,
    first: Cell<Option<Instant>>,
}

impl Tally {
    pub(crate) fn new(expected: u64) -> Rc<Self> {
        Rc::new(Self {
            expected,
            seen: Cell::new(0),
            first: Cell::new(None),
        })
    }

    /// Notes messages that have just arrived.
    #[inline]
    pub(crate) fn add(&self, messages: u64) {
        let seen = self.seen.get();
        if seen == 0 && messages > 0 {
            self.first.set(Some(Instant::now()));
        }
        let seen = seen + messages;
        self.seen.set(seen);
        if seen == self.expected && messages > 0 {
            self.tell(Instant::now());
        }
    }

    /// Whether everything has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.seen.get() >= self.expected
    }

    fn tell(&self, last: Instant) {
        let (seen, expected) = (self.seen.get(), self.expected);
        let elapsed = self
            .first
            .get()
            .map_or(Duration::ZERO, |first| last - first);
        let rate = seen as f64 / elapsed.as_secs_f64();
        tell(format_args!("{} {rate}", expected - seen));
    }

    /// Tells what there is when nothing more comes.
    pub(crate) async fn give_up_when_quiet(self: Rc<Self>) {
        let (mut seen, mut last) = (0, Instant::now());
        while !self.is_complete() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.seen.get() != seen {
                (seen, last) = (self.seen.get(), Instant::now());
            } else if seen > 0 && last.elapsed() > QUIET {
                self.tell(last);
                return;
            }
        }
    }
}
