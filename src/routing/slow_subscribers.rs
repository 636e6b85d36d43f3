//! Who slows the publisher: slow subscribers are waited for, stalled ones are not.

use std::time::Duration;

use super::router::Router;
use crate::clock;
use crate::engine::LogPermit;
use crate::engine::pressure::{Tolerance, Verdict};
use crate::event::PeerEvent;
use crate::link::{Entry, Link};
use crate::telemetry::{self, Topic};

impl Router {
    /// Looks at all links that have no room for a published message, and gives up those that are stalled;
    /// without a patience none is. Yields after how long to look again, if any is to be waited for.
    #[cold]
    pub(crate) fn give_up_stalled(
        &self,
        entry: &Entry,
        patience: Option<Duration>,
    ) -> Option<Duration> {
        let tolerance = Tolerance {
            patience: patience.unwrap_or(Duration::MAX),
            least_rate: patience.and(self.limits.current().min_subscriber_rate),
        };
        let now = clock::uptime(clock::now());
        let mut again: Option<Duration> = None;
        for link in self.routes.load().iter() {
            let Some(full) = link.full_for(entry, now, tolerance) else {
                continue;
            };
            match full.verdict {
                Verdict::Slow(time) => {
                    again = Some(again.map_or(time, |soonest| soonest.min(time)));
                    if let Some(waited) = full.noticed {
                        self.tell_of_slow(link, waited);
                    }
                }
                Verdict::Stalled => {
                    link.give_up(now);
                    self.tell_of_stalled(link, link.waited(now).0);
                    link.room.notify_all();
                }
            }
        }
        again
    }

    fn tell_of_slow(&self, link: &Link, waited: Duration) {
        let peer = link.peer();
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::SlowSubscriber, peer) {
            tracing::warn!(%peer, ?waited, unlogged, "a subscriber is slow: published messages wait for it");
        }
        self.announce_slow(link, waited, false);
    }

    fn tell_of_stalled(&self, link: &Link, waited: Duration) {
        let peer = link.peer();
        if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Shedding, peer) {
            tracing::warn!(%peer, ?waited, unlogged, "a subscriber takes nothing: messages for it are dropped");
        }
        self.announce_slow(link, waited, true);
    }

    fn announce_slow(&self, link: &Link, waited: Duration, gave_up: bool) {
        self.events.announce_peer(&PeerEvent::Slow {
            peer: link.peer(),
            waited,
            gave_up,
        });
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "slow_subscribers_tests.rs"]
mod tests;
