//! Tells a slow subscriber, which everybody waits for, from a stalled one, which nobody does.
//!
//! A subscriber is stalled when its link is full and for the patience of the publisher it has shown no sign
//! of life: neither did the kernel take a byte for it, nor has it said that its handlers finished
//! something. Each link has a clock of its own.

use std::time::Duration;

/// A window in which waits for a subscriber are added up.
const WINDOW: Duration = Duration::from_secs(10);

/// A subscriber that messages have waited for as long as this, within a window, is named.
const NOTICEABLE: Duration = Duration::from_millis(500);

/// Bytes that a subscriber may be behind its least rate: kernels and readers move as much at a time.
const LUMP_BYTES: u64 = 64 * 1024;

/// What a publisher bears with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tolerance {
    /// How long a subscriber may show no sign of life while its link is full.
    pub(crate) patience: Duration,
    /// Bytes a second that it takes at least while its link is full, if there is such a bound.
    pub(crate) least_rate: Option<u64>,
}

/// What a full link is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be waited for. Nothing changes before so much time is over.
    Slow(Duration),
    /// Nobody is to wait for it.
    Stalled,
}

/// The machine. It takes its memory when the link is full for the first time.
#[derive(Debug)]
pub(super) struct SubscriberWatch(Option<Box<Watch>>);

#[derive(Debug)]
struct Watch {
    tolerance: Tolerance,
    /// The link was full, and has not drained to half since.
    pressed: bool,
    /// When that began.
    #[cfg(feature = "inspection")]
    pressed_since: Duration,
    /// A message was refused, and no room has come since.
    full: bool,
    /// The last sign of life since the link was pressed, or when that began.
    alive: Duration,
    /// The first look after the patience was over, if that came late.
    late: Option<Duration>,
    /// Until when the time of waiting is accounted for.
    accounted: Duration,
    /// Bytes that the subscriber is behind its least rate.
    behind: u64,
    waits: Waits,
    /// Messages that its handlers were through with, as it said last.
    taken: u64,
    /// While nobody waits for it.
    recovery: Option<Recovery>,
}

/// How long messages have waited for a subscriber.
#[derive(Debug, Default)]
struct Waits {
    total: Duration,
    begin: Duration,
    now: Duration,
    before: Duration,
    noticed: bool,
}

/// A stalled subscriber that shows signs of life again.
#[derive(Debug, Default)]
struct Recovery {
    /// Since when, and the last one.
    signs: Option<(Duration, Duration)>,
    bytes: u64,
}

impl SubscriberWatch {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Whether signs of life are to be told.
    pub(super) fn is_watched(&self) -> bool {
        (self.0.as_ref()).is_some_and(|watch| watch.pressed || watch.recovery.is_some())
    }

    /// A message was refused. Yields how long messages have waited for this subscriber, once for each
    /// window in which that is worth telling.
    pub(super) fn handle_full(&mut self, now: Duration, tolerance: Tolerance) -> Option<Duration> {
        let watch = self.0.get_or_insert_with(|| Box::new(Watch::new(now)));
        watch.tolerance = tolerance;
        watch.account(now);
        watch.full = true;
        if !watch.pressed {
            watch.pressed = true;
            #[cfg(feature = "inspection")]
            {
                watch.pressed_since = now;
            }
            watch.alive = now;
            watch.late = None;
            watch.behind = 0;
        }
        watch.waits.notice()
    }

    /// What is to be done about a link that is full.
    pub(super) fn verdict(&mut self, now: Duration) -> Verdict {
        let Some(watch) = &mut self.0 else {
            return Verdict::Slow(Duration::ZERO);
        };
        watch.account(now);
        watch.verdict(now)
    }

    /// Nobody waits for it from now on, until it recovers.
    pub(super) fn give_up(&mut self, now: Duration) {
        if let Some(watch) = &mut self.0 {
            watch.account(now);
            watch.full = false;
            watch.recovery = Some(Recovery::default());
        }
    }

    /// The subscriber's handlers were through with so many messages so far. True if it is to be waited for
    /// again.
    pub(super) fn handle_taken(&mut self, now: Duration, messages: u64) -> bool {
        let before = (self.0.as_mut()).map_or(u64::MAX, |watch| {
            std::mem::replace(&mut watch.taken, messages)
        });
        messages > before && self.handle_sign_of_life(now, 0)
    }

    /// The kernel took so many bytes. True if the subscriber is to be waited for again.
    pub(super) fn handle_sign_of_life(&mut self, now: Duration, bytes: usize) -> bool {
        let Some(watch) = &mut self.0 else {
            return false;
        };
        watch.account(now);
        let bytes = bytes as u64;
        watch.behind = watch.behind.saturating_sub(bytes);
        watch.alive = now;
        watch.late = None;
        let tolerance = watch.tolerance;
        let recovered = (watch.recovery.as_mut())
            .is_some_and(|recovery| recovery.handle_sign(now, bytes, tolerance));
        if recovered {
            watch.recovery = None;
            watch.behind = 0;
        }
        recovered
    }

    /// Something was written, so that there is room; or the link has drained to half.
    #[inline]
    pub(super) fn handle_room(&mut self, drained: bool) {
        if let Some(watch) = &mut self.0 {
            watch.full = false;
            if drained {
                watch.pressed = false;
                watch.recovery = None;
            }
        }
    }

    /// Since when the link has been full for what is published, without having drained to half.
    #[cfg(feature = "inspection")]
    pub(super) fn pressed_since(&self) -> Option<Duration> {
        let watch = self.0.as_ref()?;
        watch.pressed.then_some(watch.pressed_since)
    }

    /// How long messages have waited for it: lately, and in all.
    pub(super) fn waited(&self, now: Duration) -> (Duration, Duration) {
        self.0.as_ref().map_or_else(Default::default, |watch| {
            (watch.waits.lately(now), watch.waits.total)
        })
    }
}

impl Watch {
    fn new(now: Duration) -> Self {
        Self {
            tolerance: Tolerance {
                patience: Duration::MAX,
                least_rate: None,
            },
            pressed: false,
            #[cfg(feature = "inspection")]
            pressed_since: now,
            full: false,
            alive: now,
            late: None,
            accounted: now,
            behind: 0,
            waits: Waits::default(),
            taken: 0,
            recovery: None,
        }
    }

    /// Time has passed, in which messages waited if the link was full.
    fn account(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.accounted);
        self.accounted = self.accounted.max(now);
        if self.full {
            self.waits.add(now, passed);
            if let Some(rate) = self.tolerance.least_rate {
                self.behind = self.behind.saturating_add(bytes_in(passed, rate));
            }
        }
    }

    /// For how long the subscriber may be waited for before it is too far behind its least rate.
    fn bearable_for(&self, patience: Duration, rate: u64) -> Duration {
        let bearable = bytes_in(patience, rate).max(LUMP_BYTES);
        let left = bearable.saturating_sub(self.behind);
        Duration::from_micros(left.saturating_mul(1_000_000) / rate.max(1))
    }

    fn verdict(&mut self, now: Duration) -> Verdict {
        let Tolerance {
            patience,
            least_rate,
        } = self.tolerance;
        let bearable = least_rate.map(|rate| self.bearable_for(patience, rate));
        if bearable.is_some_and(|time| time.is_zero()) {
            return Verdict::Stalled;
        }
        let over = self.alive.saturating_add(patience);
        if now < over {
            let left = over - now;
            return Verdict::Slow(bearable.map_or(left, |bearable| bearable.min(left)));
        }
        // A process that stood still itself did not see whether the subscriber did.
        let again = patience / 8;
        match self.late {
            None if now - over <= patience / 4 => Verdict::Stalled,
            None => {
                self.late = Some(now);
                Verdict::Slow(again)
            }
            Some(late) if now >= late + again => Verdict::Stalled,
            Some(late) => Verdict::Slow(late + again - now),
        }
    }
}

impl Waits {
    fn add(&mut self, now: Duration, passed: Duration) {
        self.total += passed;
        let age = now.saturating_sub(self.begin);
        if age >= WINDOW {
            self.before = if age < 2 * WINDOW {
                self.now
            } else {
                Duration::ZERO
            };
            self.begin = now;
            self.now = Duration::ZERO;
            self.noticed = false;
        }
        self.now += passed;
    }

    fn notice(&mut self) -> Option<Duration> {
        if self.noticed || self.now < NOTICEABLE {
            return None;
        }
        self.noticed = true;
        Some(self.now)
    }

    fn lately(&self, now: Duration) -> Duration {
        match now.saturating_sub(self.begin) {
            age if age < WINDOW => self.before + self.now,
            age if age < 2 * WINDOW => self.now,
            _ => Duration::ZERO,
        }
    }
}

impl Recovery {
    /// True once signs of life have come without a pause for the patience, at the least rate if there is one.
    fn handle_sign(&mut self, now: Duration, bytes: u64, tolerance: Tolerance) -> bool {
        let Tolerance {
            patience,
            least_rate,
        } = tolerance;
        let (since, last) = self.signs.unwrap_or((now, now));
        if now.saturating_sub(last) >= patience {
            self.begin(now, bytes);
            return false;
        }
        self.signs = Some((since, now));
        self.bytes += bytes;
        let passed = now.saturating_sub(since);
        if passed < patience {
            return false;
        }
        let is_fast = least_rate.is_none_or(|rate| self.bytes >= bytes_in(passed, rate));
        if !is_fast {
            self.begin(now, 0);
        }
        is_fast
    }

    fn begin(&mut self, now: Duration, bytes: u64) {
        self.signs = Some((now, now));
        self.bytes = bytes;
    }
}

/// Bytes in a time at so many a second.
fn bytes_in(time: Duration, rate: u64) -> u64 {
    let bytes = time.as_micros() * u128::from(rate) / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "subscriber_watch_tests.rs"]
mod tests;
