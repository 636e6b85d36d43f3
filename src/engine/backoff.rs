//! Pauses between attempts.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The pause where a custom curve panics.
const WITHOUT_ANSWER: Duration = Duration::from_secs(5);

/// A rule for the pause before the next attempt, used for restarts and for reconnects alike.
///
/// A `Backoff` is a description and holds no state, so one value can serve many actors or sockets. The
/// running state is [`Delays`], which [`Backoff::delays`] creates.
///
/// The default is exponential from 100 ms up to 5 s, with full jitter.
#[derive(Clone)]
pub struct Backoff {
    curve: Curve,
    jitter: Jitter,
}

#[derive(Clone)]
enum Curve {
    Exponential { initial: Duration, cap: Duration },
    Fixed(Duration),
    Custom(Arc<dyn Fn(u32) -> Duration + Send + Sync>),
}

#[derive(Clone, Copy, Debug)]
enum Jitter {
    None,
    Full,
}

impl Backoff {
    /// Doubles from `initial` with every attempt and never exceeds `cap`.
    ///
    /// Full jitter is on: the actual pause is drawn evenly from zero to the doubled value, so that many
    /// actors which failed together do not return together.
    pub const fn exponential(initial: Duration, cap: Duration) -> Self {
        let curve = Curve::Exponential { initial, cap };
        let jitter = Jitter::Full;
        Self { curve, jitter }
    }

    /// Always pauses for `delay`, without jitter.
    pub const fn fixed(delay: Duration) -> Self {
        let curve = Curve::Fixed(delay);
        let jitter = Jitter::None;
        Self { curve, jitter }
    }

    /// Asks `curve` for the pause before each attempt, the first of which has the number 0.
    ///
    /// The answer is used as it is: such a curve brings its own jitter. Where it panics, as by an overflow after many
    /// attempts, the pause is 5 s.
    pub fn from_fn(curve: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        let curve = Curve::Custom(Arc::new(curve));
        let jitter = Jitter::None;
        Self { curve, jitter }
    }

    /// Pauses for exactly the value of the curve.
    pub fn without_jitter(mut self) -> Self {
        self.jitter = Jitter::None;
        self
    }

    /// True if the curve never pauses, as one of the caller's own may, too, which is not known.
    pub(crate) const fn never_pauses(&self) -> bool {
        match &self.curve {
            Curve::Exponential { initial, cap } => initial.is_zero() || cap.is_zero(),
            Curve::Fixed(delay) => delay.is_zero(),
            Curve::Custom(_) => false,
        }
    }

    /// Starts counting attempts, with jitter that differs in every call.
    pub fn delays(&self) -> Delays {
        self.delays_seeded(RandomState::new().build_hasher().finish())
    }

    /// Starts counting attempts, with jitter that `seed` decides.
    pub(crate) fn delays_seeded(&self, seed: u64) -> Delays {
        Delays {
            backoff: self.clone(),
            attempt: 0,
            random: seed,
        }
    }

    fn ceiling(&self, attempt: u32) -> Duration {
        match &self.curve {
            Curve::Exponential { initial, cap } => {
                let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
                initial.saturating_mul(factor).min(*cap)
            }
            Curve::Fixed(delay) => *delay,
            // The supervisor or the dialer that asks is not to end by it.
            Curve::Custom(curve) => {
                catch_unwind(AssertUnwindSafe(|| curve(attempt))).unwrap_or(WITHOUT_ANSWER)
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100), Duration::from_secs(5))
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.curve {
            Curve::Exponential { initial, cap } => {
                write!(
                    f,
                    "Exponential({initial:?}..{cap:?}, {:?} jitter)",
                    self.jitter
                )
            }
            Curve::Fixed(delay) => write!(f, "Fixed({delay:?})"),
            Curve::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// A [`Backoff`] in use: it counts attempts until it is reset.
#[derive(Clone, Debug)]
pub struct Delays {
    backoff: Backoff,
    attempt: u32,
    random: u64,
}

impl Delays {
    /// The pause before the next attempt, which is thereby counted.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.backoff.ceiling(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        match self.backoff.jitter {
            Jitter::None => ceiling,
            Jitter::Full => ceiling.mul_f64(self.fraction()),
        }
    }

    /// The same, and at least `floor` where a curve of the caller's own decides.
    pub(crate) fn next_delay_above(&mut self, floor: Duration) -> Duration {
        let delay = self.next_delay();
        match self.backoff.curve {
            Curve::Custom(_) => delay.max(floor),
            Curve::Exponential { .. } | Curve::Fixed(_) => delay,
        }
    }

    /// Number of attempts since the start or the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts over, because something worked for long enough to count as healthy.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// The next value of a SplitMix64 generator, as a number from zero to one. Jitter spreads load; nobody
    /// gains by predicting it.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_exponential_backoff_doubles_up_to_its_cap_and_starts_over_when_reset() {
        let backoff = Backoff::exponential(millis(100), millis(1_000)).without_jitter();
        let mut delays = backoff.delays_seeded(7);
        let first: Vec<_> = (0..6).map(|_| delays.next_delay()).collect();
        let expected = [100, 200, 400, 800, 1_000, 1_000].map(millis);
        assert_eq!(first, expected);
        assert_eq!(delays.attempts(), 6);
        delays.reset();
        assert_eq!(delays.next_delay(), millis(100));
    }

    #[test]
    fn an_attempt_number_beyond_every_power_of_two_stays_at_the_cap() {
        let mut delays = Backoff::default().without_jitter().delays_seeded(7);
        delays.attempt = u32::MAX;
        assert_eq!(delays.next_delay(), Duration::from_secs(5));
        assert_eq!(delays.attempts(), u32::MAX);
    }

    #[test]
    fn full_jitter_stays_below_the_curve_and_uses_its_whole_width() {
        let mut delays = Backoff::exponential(millis(1_000), millis(1_000)).delays_seeded(7);
        let drawn: Vec<_> = (0..1_000).map(|_| delays.next_delay()).collect();
        assert!(drawn.iter().all(|delay| *delay <= millis(1_000)));
        assert!(drawn.iter().any(|delay| *delay < millis(50)));
        assert!(drawn.iter().any(|delay| *delay > millis(950)));
    }

    #[test]
    fn two_seeds_give_two_sequences_and_one_seed_gives_one() {
        let backoff = Backoff::exponential(millis(100), millis(1_000));
        let of_seed = |seed| backoff.delays_seeded(seed).next_delay();
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }

    #[test]
    fn a_fixed_backoff_and_a_function_are_taken_at_their_word() {
        let mut fixed = Backoff::fixed(millis(30)).delays();
        assert_eq!([fixed.next_delay(), fixed.next_delay()], [millis(30); 2]);
        let mut linear = Backoff::from_fn(|attempt| millis(u64::from(attempt) * 10)).delays();
        let first: Vec<_> = (0..3).map(|_| linear.next_delay()).collect();
        assert_eq!(first, [0, 10, 20].map(millis));
    }

    #[test]
    fn a_curve_without_pauses_is_known_unless_it_is_a_function_which_can_have_a_floor() {
        let zero = Duration::ZERO;
        for spinning in [
            Backoff::fixed(zero),
            Backoff::exponential(zero, millis(5)),
            Backoff::exponential(millis(5), zero),
        ] {
            assert!(spinning.never_pauses(), "{spinning:?}");
        }
        for pausing in [
            Backoff::fixed(millis(1)),
            Backoff::default(),
            Backoff::from_fn(|_| Duration::ZERO),
        ] {
            assert!(!pausing.never_pauses(), "{pausing:?}");
        }
        let mut own = Backoff::from_fn(|attempt| millis(u64::from(attempt) * 20)).delays();
        let floored: Vec<_> = (0..2).map(|_| own.next_delay_above(millis(10))).collect();
        assert_eq!(floored, [10, 20].map(millis));
        let mut fixed = Backoff::fixed(millis(1)).delays();
        assert_eq!(fixed.next_delay_above(millis(10)), millis(1));
    }

    #[test]
    fn a_backoff_prints_what_it_is() {
        let printed = format!("{:?}", Backoff::default());
        assert_eq!(printed, "Exponential(100ms..5s, Full jitter)");
        assert_eq!(format!("{:?}", Backoff::fixed(millis(5))), "Fixed(5ms)");
        assert_eq!(format!("{:?}", Backoff::from_fn(|_| millis(1))), "Custom");
    }
}
