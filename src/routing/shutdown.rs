//! The end of a socket, and what became of its messages.

use super::{SocketCore, SocketPhase, Stats};
use crate::event::{DeadLetterReason, SocketEvent};
use crate::sync::Ordering;

/// The account of a socket's messages at its close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// Messages handed to the kernel in the socket's life; a published one counts once for each peer.
    pub sent: u64,
    /// Messages that peers acknowledged in the socket's life.
    pub acknowledged: u64,
    /// Accepted messages that were not handed to the kernel before the deadline, and are lost.
    pub unsent: usize,
    /// Messages for which an acknowledgement was still awaited. They may have arrived.
    pub unacknowledged: usize,
    /// Received messages that handlers were through with, in the socket's life.
    pub handled: u64,
    /// Received messages that a handler had begun, or put off, and not finished.
    pub unfinished: usize,
    /// Messages that were received, were sent at most once, and had not been taken by a handler. They are lost.
    pub unhandled: usize,
    /// Messages that were received, want an acknowledgement, and had not been taken by a handler. Their senders
    /// have them and send them again.
    pub returned: usize,
}

impl CloseReport {
    /// True if messages are lost, or may be.
    pub(crate) fn is_loss(&self) -> bool {
        self.unsent + self.unacknowledged + self.unfinished + self.unhandled > 0
    }
}

impl SocketCore {
    /// Ends the socket, for this reason, and says what became of its messages. Once it has ended,
    /// that does not change.
    pub(crate) fn end(&self, reason: &str) -> CloseReport {
        if self.reason.set(reason.to_owned()).is_err() {
            return self.report();
        }
        self.phase
            .fetch_max(SocketPhase::Closed as usize, Ordering::SeqCst);
        self.subscriptions.close();
        self.asks.close();
        for link in self.links().iter() {
            link.abort();
        }
        let report = self.settle_accounts();
        // Whoever waits for the end finds the report.
        let _ = self.report.set(report);
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
        self.socket_events.announce(&SocketEvent::Closed {
            reason: reason.to_owned(),
        });
        report
    }

    /// What became of the socket's messages; what is known so far while it is open.
    pub(crate) fn report(&self) -> CloseReport {
        self.report.get().copied().unwrap_or_else(|| {
            let stats = self.stats();
            CloseReport {
                unsent: stats.outbox_messages + stats.queued_messages,
                unacknowledged: stats.unacknowledged,
                ..self.received_report(&stats)
            }
        })
    }

    /// The part of the report that does not depend on what the socket still holds for its peers.
    fn received_report(&self, stats: &Stats) -> CloseReport {
        let unfinished = self.subscriptions.in_hand();
        let unclaimed = self.subscriptions.load().0.saturating_sub(unfinished);
        let unhandled = unclaimed + self.counters.unhandled.load(Ordering::Relaxed);
        let returned = self.counters.returned.load(Ordering::Relaxed);
        let losses = stats.losses;
        let failed = losses.poison
            + losses.rejected
            + losses.undecodable
            + losses.unwanted
            + losses.unclaimed;
        let open = (unfinished + unhandled + returned) as u64 + failed + stats.duplicates;
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
        let entries = self.table.lock().outbox.take_all();
        let mut unacknowledged = 0;
        for entry in entries {
            // One that was never in a link has no id yet.
            if entry
                .extras
                .as_ref()
                .is_some_and(|extras| extras.id.is_some())
            {
                unacknowledged += 1;
            }
            self.bury(entry, DeadLetterReason::Closed);
        }
        let stats = self.stats();
        let received = self.received_report(&stats);
        let closed = usize::try_from(stats.losses.closed).unwrap_or(usize::MAX);
        let unsent = closed.saturating_sub(unacknowledged + received.unhandled);
        CloseReport {
            unsent: unsent + stats.queued_messages,
            // What links hold whose connections do not know yet that the socket is closed.
            unacknowledged: unacknowledged + stats.unacknowledged,
            ..received
        }
    }

    /// Nobody is told anything more; what was announced is still delivered.
    pub(crate) fn end_announcements(&self) {
        self.peer_events.end();
        self.socket_events.end();
        self.dead_letters.end();
    }
}
