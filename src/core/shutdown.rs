//! The end of a socket, and what became of its messages.

use super::socket_core::SocketCore;
use super::stats::Stats;
use crate::event::{DeadLetterReason, SocketEvent};
use crate::lifecycle::{CloseReport, SocketPhase};

impl SocketCore {
    /// Moves on to `phase`; never back. Tells everyone who waits.
    pub(crate) fn enter(&self, phase: SocketPhase) {
        self.lifecycle.advance(phase);
        self.lifecycle.announce(phase);
        self.router.wake_all();
        self.services.wake_own();
    }

    /// Ends the socket, for this reason, and says what became of its messages. Once it has ended,
    /// that does not change.
    pub(crate) fn end(&self, reason: &str) -> CloseReport {
        if !self.lifecycle.begin_end(reason) {
            return self.report();
        }
        self.lifecycle.advance(SocketPhase::Closed);
        self.inbound.subscriptions.close();
        self.inbound.asks.close();
        self.services.close();
        for link in self.router.links().iter() {
            link.abort();
        }
        let report = self.settle_accounts();
        self.router.close_store();
        if let Some(letters) = self.events.letters() {
            letters.close();
        }
        // Whoever waits for the end finds the report.
        self.lifecycle.set_report(report);
        if report.is_loss() {
            let CloseReport {
                unsent,
                unacknowledged,
                unfinished,
                unhandled,
                ..
            } = report;
            tracing::warn!(
                %reason,
                unsent,
                unacknowledged,
                unfinished,
                unhandled,
                "a socket was closed over messages, which are lost"
            );
        }
        self.enter(SocketPhase::Closed);
        self.events.announce(&SocketEvent::Closed {
            reason: reason.to_owned(),
        });
        report
    }

    /// End of the socket's messages; the state so far while it is open.
    pub(crate) fn report(&self) -> CloseReport {
        self.lifecycle.report().unwrap_or_else(|| {
            let stats = self.stats();
            CloseReport {
                unsent: stats.outbox_messages + stats.queued_messages,
                unacknowledged: stats.unacknowledged,
                ..self.received_report(&stats)
            }
        })
    }

    /// The part of the report that does not depend on messages still queued for peers.
    fn received_report(&self, stats: &Stats) -> CloseReport {
        let inboxes = self.inbound.subscriptions.unhandled();
        let unfinished = inboxes.unfinished;
        let unhandled = inboxes.lost + self.counters.unhandled();
        let returned = inboxes.returned + self.counters.returned();
        let losses = stats.losses;
        let failed = losses.poison
            + losses.rejected
            + losses.undecodable
            + losses.unwanted
            + losses.unclaimed;
        let answers = self.inbound.asks.taken();
        let open = (unfinished + unhandled + returned + answers) as u64
            + failed
            + stats.duplicates
            + self.services.refused();
        CloseReport {
            sent: stats.sent,
            acknowledged: stats.acknowledged,
            handled: stats.received.saturating_sub(open),
            unfinished,
            unhandled,
            returned,
            ..CloseReport::default()
        }
    }

    /// The socket is closed: whatever it still holds will not arrive.
    fn settle_accounts(&self) -> CloseReport {
        let entries = self.router.take_outbox();
        let mut unacknowledged = 0;
        let store = self.router.store_figures().unwrap_or_default();
        let (stored, mut waited) = (store.messages, store.tail.0);
        for entry in entries {
            if entry.is_stored() {
                waited += usize::from(!entry.is_in_tail());
                self.router.bury(entry, DeadLetterReason::Closed);
                continue;
            }
            // One that was never in a link has no id yet.
            if entry
                .extras
                .as_ref()
                .is_some_and(|extras| extras.id.is_some())
            {
                unacknowledged += 1;
            }
            self.router.bury(entry, DeadLetterReason::Closed);
        }
        let stats = self.stats();
        let received = self.received_report(&stats);
        let closed = usize::try_from(stats.losses.closed).unwrap_or(usize::MAX);
        let unsent = closed.saturating_sub(unacknowledged + received.unhandled);
        CloseReport {
            unsent: unsent + stats.queued_messages,
            // What links hold whose connections do not know yet that the socket is closed.
            unacknowledged: unacknowledged
                + stats
                    .unacknowledged
                    .saturating_sub(stored.saturating_sub(waited)),
            stored,
            ..received
        }
    }
}
