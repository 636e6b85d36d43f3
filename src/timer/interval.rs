//! Periodic work of an arbiter: everything that sweeps is woken together.
//!
//! By the machine's clock the thread of [`super::thread`] wakes the arbiter, as often as the shortest
//! period says and for all of them; by the clock of a test, which may stand still, a timer of the
//! runtime does.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::thread::Ticks;
use crate::clock;

thread_local! {
    static INTERVALS: RefCell<Intervals> = const {
        RefCell::new(Intervals { kept: Vec::new(), driver: Weak::new() })
    };
}

/// All that is done again and again in this thread.
struct Intervals {
    kept: Vec<Weak<Tick>>,
    driver: Weak<Driver>,
}

#[derive(Debug)]
struct Tick {
    period: Cell<Duration>,
    due: Cell<Instant>,
    struck: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Wakes its task again and again.
#[derive(Debug)]
pub(crate) struct Interval {
    tick: Rc<Tick>,
}

impl Interval {
    /// The first is after about one `period`. A beat is late or early by no more than half of the
    /// shortest period of its arbiter.
    pub(crate) fn every(period: Duration) -> Self {
        let period = period.min(clock::LONGEST);
        let tick = Rc::new(Tick {
            period: Cell::new(period),
            due: Cell::new(clock::after(period)),
            struck: Cell::new(false),
            waker: RefCell::new(None),
        });
        INTERVALS.with_borrow_mut(|beats| {
            beats.kept.push(Rc::downgrade(&tick));
            beats.drive(period);
        });
        Self { tick }
    }

    pub(crate) fn period(&self) -> Duration {
        self.tick.period.get()
    }

    /// From now on the period is another one.
    pub(crate) fn set_period(&self, period: Duration) {
        let period = period.min(clock::LONGEST);
        let before = self.tick.period.replace(period);
        if before != period {
            self.tick.due.set(clock::now() + period);
            INTERVALS.with_borrow_mut(|beats| beats.drive(period));
        }
    }

    /// Resolves at the next beat.
    pub(crate) async fn next(&self) {
        poll_fn(|cx| self.poll_next(cx)).await;
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.tick.struck.take() {
            return Poll::Ready(());
        }
        self.tick.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Intervals {
    /// Sees to it that the arbiter is woken every `period` at least.
    fn drive(&mut self, period: Duration) {
        match self.driver.upgrade() {
            Some(driver) if driver.period.get() <= period => {}
            Some(driver) => driver.look_again(),
            None => {
                let driver = Rc::new(Driver {
                    period: Cell::new(period),
                    stale: Cell::new(false),
                    waker: RefCell::new(None),
                });
                self.driver = Rc::downgrade(&driver);
                actix_rt::spawn(drive(driver));
            }
        }
    }

    /// The shortest period of what is left.
    fn shortest(&mut self) -> Option<Duration> {
        self.kept.retain(|tick| tick.strong_count() > 0);
        let kept = self.kept.iter().filter_map(Weak::upgrade);
        kept.map(|tick| tick.period.get()).min()
    }

    /// Marks intervals that are due, and yields the tasks to wake.
    fn strike(&self, now: Instant, period: Duration) -> Vec<Waker> {
        let kept = self.kept.iter().filter_map(Weak::upgrade);
        let due = kept.filter(|tick| tick.due.get() <= now + period / 2);
        due.filter_map(|tick| {
            tick.due.set(now + tick.period.get());
            tick.struck.set(true);
            tick.waker.take()
        })
        .collect()
    }
}

/// The task that wakes the others.
#[derive(Debug)]
struct Driver {
    period: Cell<Duration>,
    /// The period or the clock is another one.
    stale: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Driver {
    fn look_again(&self) {
        self.stale.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The clock of this thread's runtime was paused: what is waited for is in its time from now on.
#[cfg(feature = "test-util")]
pub(crate) fn follow_clock() {
    let driver = INTERVALS.with_borrow(|beats| beats.driver.upgrade());
    if let Some(driver) = driver {
        driver.look_again();
    }
}

/// The source of an arbiter's wake-ups.
enum Source {
    Ticker(Ticks),
    Timer(Pin<Box<Sleep>>),
}

impl Source {
    /// The one that goes by the runtime's clock. The old one is kept if it is still right.
    fn choose(before: Option<Self>, period: Duration) -> Self {
        let by_machine = clock::is_the_machines();
        match before {
            Some(Self::Ticker(ticks)) if by_machine && ticks.period() == period => {
                return Self::Ticker(ticks);
            }
            before => drop(before),
        }
        let ticks = by_machine.then(|| Ticks::every(period)).flatten();
        ticks.map_or_else(|| Self::Timer(Box::pin(sleep(period))), Self::Ticker)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Ticker(ticks) => ticks.poll_next(cx),
            Self::Timer(sleep) => sleep.as_mut().poll(cx),
        }
    }
}

/// Wakes whose time has come, until nobody is left.
async fn drive(driver: Rc<Driver>) {
    let mut source = None;
    while let Some(period) = INTERVALS.with_borrow_mut(Intervals::shortest) {
        driver.period.set(period);
        let mut chosen = Source::choose(source, period);
        let is_beat = poll_fn(|cx| {
            if driver.stale.take() {
                return Poll::Ready(false);
            }
            driver.waker.replace(Some(cx.waker().clone()));
            chosen.poll_next(cx).map(|()| true)
        })
        .await;
        source = Some(chosen);
        if is_beat {
            let due = INTERVALS.with_borrow(|beats| beats.strike(clock::now(), period));
            due.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn drivers() -> usize {
        INTERVALS.with_borrow(|beats| beats.driver.strong_count())
    }

    #[actix_rt::test]
    async fn beats_of_one_arbiter_are_struck_together_and_end_with_the_last() {
        tokio::time::pause();
        let start = clock::now();
        let (often, seldom) = (Interval::every(HOUR), Interval::every(HOUR + HOUR / 4));
        seldom.next().await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 3600);
        often.next().await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 3600);

        drop(often);
        assert_eq!(drivers(), 1);
        drop(seldom);
        sleep(HOUR * 2).await;
        assert_eq!(drivers(), 0);
    }

    #[actix_rt::test]
    async fn a_shorter_period_holds_at_once() {
        tokio::time::pause();
        let start = clock::now();
        let _long = Interval::every(HOUR);
        let beat = Interval::every(HOUR);
        tokio::task::yield_now().await;
        beat.set_period(Duration::from_secs(1));
        beat.next().await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 1);
        let _shorter = Interval::every(Duration::from_secs(1) / 2);
        beat.next().await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 2);
    }

    #[actix_rt::test]
    async fn a_period_without_an_end_keeps_no_other_from_its_beat() {
        tokio::time::pause();
        let start = clock::now();
        let never = Interval::every(Duration::MAX);
        assert_eq!(never.period(), clock::LONGEST);
        let beat = Interval::every(HOUR);
        beat.next().await;
        assert_eq!(clock::now().duration_since(start).as_secs(), 3600);
        beat.set_period(Duration::MAX);
        assert_eq!(beat.period(), clock::LONGEST);
    }

    #[test]
    fn the_machines_clock_strikes_in_a_runtime_without_timers() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let beat = Interval::every(Duration::from_millis(1));
            for _ in 0..3 {
                beat.next().await;
            }
        });
    }

    #[cfg(feature = "test-util")]
    #[actix_rt::test]
    async fn a_clock_that_is_paused_later_is_followed() {
        let beat = Interval::every(HOUR);
        tokio::task::yield_now().await;
        crate::testing::pause_time();
        beat.next().await;
    }

    #[test]
    fn a_thread_may_have_one_runtime_after_another() {
        for _ in 0..2 {
            let beat = Cell::new(None);
            actix_rt::System::new().block_on(async {
                let first = Interval::every(Duration::from_millis(1));
                first.next().await;
                beat.set(Some(first));
            });
            assert_eq!(drivers(), 0);
        }
    }
}
