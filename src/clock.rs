//! The one place that reads the clock. Everything that decides takes the time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// The time now, by the runtime's clock, so that a test that pauses time pauses ours too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The longest time that anybody waits: what an [`Instant`] can hold has an end, and [`Duration::MAX`] is past it.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The time after so long from [`now`]; after [`LONGEST`] at most.
pub(crate) fn after(time: Duration) -> Instant {
    now() + time.min(LONGEST)
}

/// The time now, by the machine's clock, for a thread that belongs to no runtime.
pub(crate) fn machine() -> Instant {
    Instant::now()
}

/// The wall clock, in milliseconds since 1970. It can be set back, and goes on while the machine is off.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The time that the [wall clock](wall) showed so; the beginning of 1970 if there is no such time.
pub(crate) fn of_wall(millis: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The first time that anybody asked for the [`uptime`].
static FIRST: OnceLock<Instant> = OnceLock::new();

/// The time since the first call, which fits into an atomic.
pub(crate) fn uptime(now: Instant) -> Duration {
    now.saturating_duration_since(*FIRST.get_or_init(|| now))
}

/// Makes `next` the earlier of two times, where there are any.
pub(crate) fn sooner(next: &mut Option<Instant>, other: Option<Instant>) {
    if let Some(other) = other {
        *next = Some(next.map_or(other, |next| next.min(other)));
    }
}

/// True if the runtime's clock is the machine's: not paused, and never paused before.
pub(crate) fn is_the_machines() -> bool {
    let before = machine();
    let runtime = now();
    (before..=machine()).contains(&runtime)
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_no_end_is_thirty_years_from_now() {
        let (before, never) = (now(), after(Duration::MAX));
        assert!((before + LONGEST..=now() + LONGEST).contains(&never));
        assert!(after(Duration::from_secs(1)) < never);
    }

    #[tokio::test]
    async fn a_paused_clock_is_not_the_machines_and_neither_is_one_that_goes_on_again() {
        assert!(is_the_machines());
        tokio::time::pause();
        assert!(!is_the_machines());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!is_the_machines());
        tokio::time::resume();
        assert!(!is_the_machines());
    }
}
