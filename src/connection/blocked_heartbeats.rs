//! Heartbeats for connections whose thread a handler blocks.
//!
//! A peer that hears nothing for its heartbeat timeout ends the connection, and whatever was not
//! acknowledged is done again. So the thread that ticks writes heartbeats on plain connections meanwhile, for
//! a minute: whatever has blocked its thread for longer is a deadlock, and peers are to find that out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::link::Link;
use crate::routing::Router;
use crate::timer::{StandIn, stand_in};

/// Blocked for longer, a thread is as good as dead.
const AT_MOST: Duration = Duration::from_secs(60);

thread_local! {
    static HERE: Arc<PlainLinks> = {
        let links = Arc::new(PlainLinks::default());
        stand_in(Arc::<PlainLinks>::clone(&links));
        links
    };
}

/// Links of one thread that another can write heartbeats to.
#[derive(Debug, Default)]
struct PlainLinks(Mutex<Vec<Weak<Link>>>);

/// From now on the connection sends heartbeats while this thread is blocked, too.
pub(super) fn beat_for(link: &Arc<Link>) {
    HERE.with(|here| here.add(link));
}

/// Whether one of the heartbeats is due between two moments of a blockade. The first is due after half of
/// an interval, because the last one may have been sent long before.
fn is_due(since: Duration, before: Duration, interval: Duration) -> bool {
    let beats = |time: Duration| (time + interval / 2).as_nanos() / interval.as_nanos().max(1);
    since <= AT_MOST && beats(since) > beats(before)
}

impl PlainLinks {
    fn add(&self, link: &Arc<Link>) {
        let mut links = self.0.lock();
        if links.len() == links.capacity() {
            links.retain(|link| link.strong_count() > 0);
        }
        links.push(Arc::downgrade(link));
    }

    /// Links are let go of without the lock: what they hold may be the last of its kind.
    fn links(&self) -> Vec<Arc<Link>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl StandIn for PlainLinks {
    fn handle_blocked(&self, since: Duration, before: Duration) {
        for link in self.links() {
            let Some(router) = Router::of(&link) else {
                continue;
            };
            if is_due(since, before, router.timers().heartbeat_interval) {
                link.beat_for_blocked_writer();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_heartbeat_is_due_after_half_an_interval_and_then_each_interval_for_a_minute() {
        let interval = millis(5_000);
        let mut before = Duration::ZERO;
        let mut due = Vec::new();
        for tick in 1..=300 {
            let since = millis(312) * tick;
            if is_due(since, before, interval) {
                due.push(since.as_millis());
            }
            before = since;
        }
        assert_eq!(due[..3], [2_808, 7_800, 12_792]);
        assert_eq!(due.len(), 12);
        assert!(due[11] <= 60_000, "{due:?}");
    }

    #[test]
    fn a_tick_that_is_late_makes_one_heartbeat_of_several() {
        assert!(is_due(millis(30_000), millis(1_000), millis(5_000)));
        assert!(!is_due(millis(30_001), millis(30_000), millis(5_000)));
        assert!(!is_due(millis(90_000), millis(1_000), millis(5_000)));
    }
}
