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

/// The first bucket that is not below this time.
fn bucket_of(nanos: u64) -> usize {
    // Most are in the first buckets, and where they are not, handlers take longer than this.
    let bucket = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound);
    bucket.unwrap_or(BOUNDS.len())
}

impl Histogram {
    /// One has taken so long.
    #[inline]
    pub(crate) fn record(&self, time: Duration) {
        let nanos = nanos_of(time);
        self.record_in(bucket_of(nanos), 1, nanos);
    }

    fn record_in(&self, bucket: usize, count: u64, nanos: u64) {
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

/// Times in one bucket of a histogram, which it is told of together.
#[derive(Debug)]
pub(crate) struct Batch {
    bucket: usize,
    /// The times of the bucket: from this one on, and below the other one.
    from: u64,
    below: u64,
    count: u64,
    nanos: u64,
}

impl Batch {
    pub(crate) const fn new() -> Self {
        Self {
            bucket: 0,
            from: 0,
            below: BOUNDS_NANOS[0] + 1,
            count: 0,
            nanos: 0,
        }
    }

    /// So many took this long together, and each the same.
    #[inline]
    pub(crate) fn add(&mut self, together: Duration, count: u64, histogram: &Histogram) {
        let nanos = nanos_of(together);
        // The same as dividing the time by the count, without the division.
        let from = self.from.saturating_mul(count);
        let below = self.below.saturating_mul(count);
        if nanos < from || nanos >= below {
            self.turn_to(bucket_of(nanos / count.max(1)), histogram);
        }
        self.count += count;
        self.nanos = self.nanos.wrapping_add(nanos);
    }

    #[cold]
    fn turn_to(&mut self, bucket: usize, histogram: &Histogram) {
        self.flush(histogram);
        self.bucket = bucket;
        self.from = bucket
            .checked_sub(1)
            .map_or(0, |below| BOUNDS_NANOS[below] + 1);
        self.below = BOUNDS_NANOS.get(bucket).map_or(u64::MAX, |bound| bound + 1);
    }

    /// Tells the histogram.
    pub(crate) fn flush(&mut self, histogram: &Histogram) {
        if self.count > 0 {
            histogram.record_in(self.bucket, self.count, self.nanos);
            (self.count, self.nanos) = (0, 0);
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
        self.timings.asks.record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        for time in [
            Duration::ZERO,
            BOUNDS[4],
            BOUNDS[4] + Duration::from_nanos(1),
            Duration::from_secs(3600),
        ] {
            histogram.record(time);
        }
        let mut counts = [0; BUCKETS];
        (counts[0], counts[4], counts[5], counts[BOUNDS.len()]) = (1, 1, 1, 1);
        let nanos = 3_600_000_000_000 + 2 * 1_000_000 + 1;
        assert_eq!(histogram.read(), Distribution { counts, nanos });
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn a_batch_counts_each_time_where_it_would_count_alone() {
        let (batched, alone) = (Histogram::default(), Histogram::default());
        let mut batch = Batch::new();
        let mut add = |nanos: u64, count: u64| {
            batch.add(Duration::from_nanos(nanos), count, &batched);
            alone.record_in(bucket_of(nanos / count), count, nanos);
        };
        for bound in BOUNDS_NANOS {
            for (count, beside) in [1, 3, 16].into_iter().zip([0, 1, 2]) {
                for of_one in bound - 1..=bound + 1 {
                    // Most are like the one before.
                    for nanos in [of_one * count, of_one * count + beside, bound * count] {
                        add(nanos, count);
                        add(nanos, count);
                    }
                }
            }
        }
        for nanos in [0, 1, u64::MAX / 2, 5, u64::MAX, u64::MAX, 7] {
            add(nanos, 1);
            add(nanos, 1_000_000_000_000);
        }
        assert_ne!(batched.read(), alone.read(), "the last ones are in hand");
        batch.flush(&batched);
        assert_eq!(batched.read(), alone.read());
        batch.flush(&batched);
        assert_eq!(batched.read(), alone.read());
    }
}
