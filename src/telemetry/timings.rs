//! Distributions of times, in fixed buckets that are counted without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// The upper bounds of the buckets, but for the last one, which has none.
pub(crate) const BOUNDS: [Duration; 16] = [
    Duration::from_micros(10),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// The same in nanoseconds.
const BOUNDS_NANOS: [u64; BOUNDS.len()] = {
    let mut nanos = [0; BOUNDS.len()];
    let mut bucket = 0;
    while bucket < nanos.len() {
        nanos[bucket] = nanos_of(BOUNDS[bucket]);
        bucket += 1;
    }
    nanos
};

/// A time in nanoseconds, without the wider numbers that a longer one would need.
const fn nanos_of(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(time.subsec_nanos() as u64)
}

/// A distribution of times.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// What a distribution was at one moment.
#[cfg(any(feature = "metrics", test))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Distribution {
    /// The times in each bucket alone.
    pub(crate) counts: [u64; BUCKETS],
    /// The sum of all.
    pub(crate) nanos: u64,
}

impl Histogram {
    /// So many took this long together, and each the same.
    #[inline]
    pub(crate) fn record(&self, together: Duration, count: u64) {
        let nanos = nanos_of(together);
        let each = nanos / count.max(1);
        // Most are in the first buckets, and where they are not, handlers take longer than this.
        let bucket = BOUNDS_NANOS.iter().position(|bound| each <= *bound);
        let bucket = bucket.unwrap_or(BOUNDS.len());
        self.counts[bucket].fetch_add(count, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    #[cfg(any(feature = "metrics", test))]
    pub(crate) fn read(&self) -> Distribution {
        Distribution {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

#[cfg(feature = "metrics")]
impl Distribution {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(count);
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }
}

/// The times that a socket measures, once somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    is_on: AtomicBool,
    /// From when a handler is called until it has finished.
    pub(crate) handling: Histogram,
    /// From when an ask begins until its end.
    pub(crate) asks: Histogram,
}

impl Timings {
    /// Measures from now on.
    #[cfg(any(feature = "metrics", test))]
    pub(crate) fn start(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        cfg!(any(feature = "metrics", test)) && self.is_on.load(Ordering::Relaxed)
    }

    /// An ask begins. It ends when this is dropped, with an answer or without one.
    pub(crate) fn time_ask(self: &Arc<Self>) -> Option<AskTime> {
        self.is_on().then(|| AskTime {
            timings: Arc::clone(self),
            begun: clock::now(),
        })
    }
}

/// The time of an ask that has not ended.
#[derive(Debug)]
pub(crate) struct AskTime {
    timings: Arc<Timings>,
    begun: Instant,
}

impl Drop for AskTime {
    fn drop(&mut self) {
        let took = clock::now().saturating_duration_since(self.begun);
        self.timings.asks.record(took, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO, 3);
        histogram.record(BOUNDS[4], 1);
        histogram.record(BOUNDS[4] + Duration::from_nanos(1), 1);
        histogram.record(Duration::from_secs(3600), 1);
        let mut counts = [0; BUCKETS];
        (counts[0], counts[4], counts[5], counts[BOUNDS.len()]) = (3, 1, 1, 1);
        let nanos = 3_600_000_000_000 + 2 * 1_000_000 + 1;
        assert_eq!(histogram.read(), Distribution { counts, nanos });
        assert!(BOUNDS.is_sorted());
    }
}
