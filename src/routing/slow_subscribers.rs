//! Who slows the publisher: slow subscribers are waited for, stalled ones are not.

use std::time::Duration;

use super::router::Router;
use crate::clock;
use crate::engine::LogPermit;
use crate::engine::pressure::{Tolerance, Verdict};
use crate::event::PeerEvent;
use crate::link::{Entry, Link};
use crate::telemetry::{self, Topic};

/// The links to look at when one has no room for a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// That one. If the sender loses its patience, it looks at all of them after an eighth of it: with many subscribers,
    /// a look at each for a short wait would cost more than the messages.
    First,
    /// All of them.
    All,
}

impl Router {
    /// A link has no room for a published message. Gives up those that are stalled among the links to look at;
    /// without a patience none is. Yields after how long to look at all of them, if any is to be waited for.
    #[cold]
    pub(crate) fn handle_full_link(
        &self,
        link: &Link,
        entry: &Entry,
        patience: Option<Duration>,
        look: Look,
    ) -> Option<Duration> {
        if look == Look::All {
            return self.give_up_stalled(entry, patience);
        }
        let now = clock::uptime(clock::now());
        let again = self.give_up_if_stalled(link, entry, now, self.tolerance(patience))?;
        Some(patience.map_or(again, |patience| again.min(patience / 8)))
    }

    /// Looks at all links that have no room for a published message. The rest as above.
    #[cold]
    pub(crate) fn give_up_stalled(
        &self,
        entry: &Entry,
        patience: Option<Duration>,
    ) -> Option<Duration> {
        let (now, tolerance) = (clock::uptime(clock::now()), self.tolerance(patience));
        let routes = self.routes.load();
        let looked = routes
            .iter()
            .filter_map(|link| self.give_up_if_stalled(link, entry, now, tolerance));
        looked.min()
    }

    /// Yields after how long to look again, if the link has no room and is to be waited for.
    fn give_up_if_stalled(
        &self,
        link: &Link,
        entry: &Entry,
        now: Duration,
        tolerance: Tolerance,
    ) -> Option<Duration> {
        let full = link.full_for(entry, now, tolerance)?;
        match full.verdict {
            Verdict::Slow(time) => {
                if let Some(waited) = full.noticed {
                    self.tell_of_slow(link, waited);
                }
                Some(time)
            }
            Verdict::Stalled => {
                link.give_up(now);
                self.tell_of_stalled(link, link.waited(now).0);
                link.room.notify_all();
                None
            }
        }
    }

    fn tolerance(&self, patience: Option<Duration>) -> Tolerance {
        Tolerance {
            patience: patience.unwrap_or(Duration::MAX),
            least_rate: patience.and(self.limits.current().min_subscriber_rate),
        }
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
