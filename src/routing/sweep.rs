//! The router's sweep: what is overdue, resent, or stands still.

use std::time::Instant;

use super::room::RoomGuard;
use super::router::Router;
use crate::engine::pressure::{Movement, Relief};
use crate::event::DeadLetterReason;
use crate::link::{GivenUp, Link};

/// Progress of the socket's handlers with its received messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HandlerProgress {
    /// Messages received so far.
    pub(crate) received: u64,
    /// Messages that are not handled.
    pub(crate) unhandled: usize,
    /// Those of them that wait for their peers to read our answers, and for no handler.
    pub(crate) parked: usize,
}

impl HandlerProgress {
    fn handlers_have_work(self) -> bool {
        self.unhandled > self.parked
    }
}

impl Router {
    /// The router's sweep: gives up overdue messages in the outbox, and resends overdue ones on the
    /// links.
    pub(crate) fn handle_sweep(&self, now: Instant, progress: HandlerProgress) {
        if let Some(dedupe) = self.receiving.dedupe() {
            dedupe.handle_sweep(self.lifecycle.uptime());
        }
        let (mut expired, overdue) = {
            let outbox = &mut self.table().outbox;
            (outbox.take_expired(now), outbox.take_overdue(now))
        };
        expired.extend(self.take_expired_in_tail(now));
        if !expired.is_empty() || !overdue.is_empty() {
            for entry in expired {
                self.bury(entry, DeadLetterReason::Expired);
            }
            for entry in overdue {
                self.bury(entry, DeadLetterReason::PeerGone);
            }
            self.note_room();
        }
        self.sweep_links(now, progress);
    }

    /// A link holds messages until they are acknowledged: the sweeps that follow look at links.
    pub(crate) fn note_restless(&self) {
        self.lifecycle.sweep_clock().request_sweep();
    }

    /// Looks at the links, if any may need that. Those of thousands of idle peers do not.
    fn sweep_links(&self, now: Instant, progress: HandlerProgress) {
        let restless = self.lifecycle.sweep_clock().take_request();
        if !restless && !progress.handlers_have_work() {
            return;
        }
        let mut relief_left = None;
        for link in self.links().iter() {
            let mut room = self.resend_overdue(link, now);
            room.note(link.watch_backlog(self.lifecycle.uptime()));
            drop(room);
            self.end_standstill(link, progress, &mut relief_left);
            if link.is_restless() {
                self.note_restless();
            }
        }
    }

    /// The sweep of a link that is not among those of the peers.
    pub(crate) fn sweep_apart(&self, link: &Link, now: Instant) {
        drop(self.resend_overdue(link, now));
    }

    /// Resends what is overdue on a link, or gives it up.
    fn resend_overdue<'a>(&'a self, link: &'a Link, now: Instant) -> RoomGuard<'a> {
        let resend_limit = self.limits.current().resend_limit;
        let mut room = self.room_at(link);
        let (freed, expired) = link.sweep_trials(now);
        room.note(freed || !expired.is_empty());
        for entry in expired {
            self.bury(entry, DeadLetterReason::Expired);
        }
        let given_up = link.handle_sweep(self.lifecycle.uptime(), now, resend_limit);
        room.note(!given_up.is_empty());
        for (entry, why) in given_up {
            let reason = match why {
                GivenUp::Expired => DeadLetterReason::Expired,
                GivenUp::ResendLimit => DeadLetterReason::ResendLimit,
            };
            self.bury(entry, reason);
        }
        room
    }

    /// Gives way if both ends of a link wait for each other. `left` is what links may still take for that, once
    /// it is known.
    fn end_standstill(&self, link: &Link, progress: HandlerProgress, left: &mut Option<usize>) {
        let waited_for = !(self.waiting.anywhere.is_empty() && link.room.is_empty());
        let both_wait = waited_for && progress.handlers_have_work();
        let taken = if both_wait { link.relief_bytes() } else { 0 };
        let movement = Movement {
            both_wait,
            handlers_have_work: progress.handlers_have_work(),
            ack_patience: self.limits.current().handler_patience(),
            handled: progress.received.wrapping_sub(progress.unhandled as u64),
            left: match both_wait {
                true => *left.get_or_insert_with(|| self.relief_left()),
                false => 0,
            },
        };
        let mut room = self.room_at(link);
        if link.handle_standstill(self.lifecycle.uptime(), movement) == Relief::Room {
            tracing::debug!(peer = %link.peer(), "both ends wait for each other: taking more");
            let more = link.relief_bytes().saturating_sub(taken);
            *left = left.map(|left| left.saturating_sub(more));
            room.note(true);
        }
    }

    /// Bytes that links may still take above their bounds: a quarter of the memory budget in all.
    fn relief_left(&self) -> usize {
        let all = self.limits.current().memory_budget / 4;
        let links = self.links();
        let taken = links.iter().map(|link| link.relief_bytes());
        all.saturating_sub(taken.fold(0, usize::saturating_add))
    }
}
