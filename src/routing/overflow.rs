//! Messages that are refused for want of room: the overflow policies at work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::outbox::OutboxEntry;
use super::router::Router;
use super::send_refusal::SendRefusal;
use super::slow_subscribers::Look;
use super::table::PeerTable;
use crate::clock;
use crate::engine::pressure::{Backlog, Shed};
use crate::engine::{FullQueue, LogPermit, OverflowAction, overflow_policy};
use crate::event::DeadLetterReason;
use crate::id::Identity;
use crate::limits::{Overflow, SendMode};
use crate::link::{Bound, Entry, Link, Target, take};
use crate::telemetry::{self, Topic};

/// Result of the overflow policy for a refusal.
#[derive(Debug)]
pub(crate) enum Overflowed {
    /// The message is accepted: it, or another one for it, may have become a dead letter.
    Accepted,
    /// The message waits where it was refused, for so long if there is a limit. A published one looks then at all links
    /// that are full.
    Wait(SendRefusal, Option<Duration>),
    /// The message goes back to its sender.
    Refused(SendRefusal),
}

impl Router {
    /// Applies the overflow policy to a message that was refused.
    #[cold]
    pub(crate) fn overflow(
        &self,
        entry: &mut Entry,
        mut refusal: SendRefusal,
        look: Look,
    ) -> Overflowed {
        loop {
            let Some(policy) = self.policy_for(entry, &refusal) else {
                return Overflowed::Refused(refusal);
            };
            let action = OverflowAction::from(policy);
            match action {
                OverflowAction::Wait(limit) => match self.wait(entry, refusal, limit, look) {
                    Ok(overflowed) => return overflowed,
                    Err(again) => {
                        refusal = again;
                        continue;
                    }
                },
                OverflowAction::Refuse => return Overflowed::Refused(refusal),
                OverflowAction::Drop(_) | OverflowAction::Disconnect => {}
            }
            // It may have been refused only because others stand in line.
            let attempt = self.try_take(entry);
            let taken = match attempt {
                Ok(()) => true,
                Err(again) if self.policy_for(entry, &again) != Some(policy) => {
                    refusal = again;
                    continue;
                }
                Err(again) => self.make_way(entry, &again, action),
            };
            if taken {
                return Overflowed::Accepted;
            }
        }
    }

    /// A message waits; if it is published, for subscribers that are slow and not for those that are
    /// stalled. After those are given up it may be refused by others.
    fn wait(
        &self,
        entry: &mut Entry,
        refusal: SendRefusal,
        limit: Option<Duration>,
        look: Look,
    ) -> Result<Overflowed, SendRefusal> {
        let link = match &refusal {
            SendRefusal::LinkFull(link) if self.publishes(entry) => link,
            _ => return Ok(Overflowed::Wait(refusal, limit)),
        };
        match self.handle_full_link(link, entry, limit, look) {
            Some(again) => Ok(Overflowed::Wait(refusal, limit.and(Some(again)))),
            None => self.try_take(entry).map(|()| Overflowed::Accepted),
        }
    }

    /// The policy of the queue that refused; `None` where no room would help.
    pub(crate) fn policy_for(&self, entry: &Entry, refusal: &SendRefusal) -> Option<Overflow> {
        let full = match refusal {
            SendRefusal::Closed | SendRefusal::UnknownPeer(_) | SendRefusal::TooLate => {
                return None;
            }
            SendRefusal::OutboxFull | SendRefusal::HeldFull(_) => FullQueue::Outbox,
            SendRefusal::LinkFull(_) if self.publishes(entry) => FullQueue::PublishLink,
            SendRefusal::LinksFull | SendRefusal::LinkFull(_) => FullQueue::Link,
        };
        Some(overflow_policy(&self.limits.current(), full, || {
            self.backlog_of(refusal)
        }))
    }

    /// Progress of the peers whose links are full with their backlogs.
    fn backlog_of(&self, refusal: &SendRefusal) -> Backlog {
        let now = self.lifecycle.uptime();
        if let SendRefusal::LinkFull(link) = refusal {
            return link.backlog(now);
        }
        let routes = self.routes.load();
        let backlogs = routes.iter().map(|link| link.backlog(now));
        // Without links there is nobody to disconnect.
        backlogs.min().unwrap_or(Backlog::Taken)
    }

    pub(crate) fn publishes(&self, entry: &Entry) -> bool {
        entry.target == Target::Mode && self.config.send_mode == SendMode::Publish
    }

    /// The refusal of a message that may not overtake those in line.
    #[cold]
    pub(crate) fn who_is_full(&self) -> SendRefusal {
        if self.routes.load().is_empty() {
            SendRefusal::OutboxFull
        } else {
            SendRefusal::LinksFull
        }
    }

    /// Drops messages, or a connection. True if the message is accepted; otherwise it is worth
    /// another attempt.
    fn make_way(&self, entry: &mut Entry, refusal: &SendRefusal, action: OverflowAction) -> bool {
        let shed = match action {
            OverflowAction::Drop(shed) => shed,
            OverflowAction::Wait(_) | OverflowAction::Refuse | OverflowAction::Disconnect => {
                Shed::Oldest
            }
        };
        let link = match refusal {
            SendRefusal::LinkFull(link) => Some(Arc::clone(link)),
            SendRefusal::LinksFull => self.next_link(),
            SendRefusal::OutboxFull => return self.drop_waiting(entry, None, shed),
            SendRefusal::HeldFull(peer) => return self.drop_waiting(entry, Some(*peer), shed),
            SendRefusal::Closed | SendRefusal::UnknownPeer(_) | SendRefusal::TooLate => None,
        };
        // Without a link the peers have left meanwhile, or come.
        let Some(link) = link else { return false };
        if action == OverflowAction::Disconnect {
            let peer = link.peer();
            if let Some(LogPermit { unlogged }) = telemetry::line(Topic::TooSlow, peer) {
                tracing::warn!(%peer, unlogged, "a peer is too slow: its connection ends");
            }
            link.cut_off();
            // One connection is enough: the message waits for the others' room, or for the peer.
            return matches!(refusal, SendRefusal::LinksFull) && self.enqueue_behind(entry);
        }
        if self.publishes(entry) {
            link.start_shedding(shed);
            return false;
        }
        let Ok(shedding) = link.push_shedding(entry, shed) else {
            return false;
        };
        if !shedding.taken {
            self.bury(take(entry), DeadLetterReason::Overflow);
        }
        self.bury_shed(shedding.lost, &link);
        true
    }

    /// Accounts for what a link has dropped.
    pub(super) fn bury_shed(&self, lost: VecDeque<Entry>, link: &Link) {
        for mut lost in lost {
            lost.target = Target::Peer(link.peer());
            self.bury(lost, DeadLetterReason::Overflow);
        }
    }

    fn next_link(&self) -> Option<Arc<Link>> {
        let routes = self.routes.load();
        let turn = self.turns.take(routes.len().max(1));
        routes.get(turn).cloned()
    }

    /// Drops messages for the same peer, or for the send mode, until the outbox has room.
    fn drop_waiting(&self, entry: &mut Entry, peer: Option<Identity>, shed: Shed) -> bool {
        let mut table = self.table();
        while !table.has_room(entry, Bound::Link) {
            let oldest = match shed {
                Shed::Oldest => table.outbox.drop_first(peer),
                Shed::Newest => None,
            };
            let last = oldest.is_none();
            let lost = oldest.unwrap_or_else(|| take(entry));
            self.bury(lost, DeadLetterReason::Overflow);
            if last {
                return true;
            }
        }
        false
    }

    /// Puts a message into the outbox although there are routes, which are withdrawn until it is
    /// empty again. False if it is full.
    fn enqueue_behind(&self, entry: &mut Entry) -> bool {
        let mut table = self.table();
        if !self.lifecycle.is_open() || !table.has_room(entry, Bound::Link) {
            return false;
        }
        table.withdraw_closed();
        table.outbox.push_back(take(entry));
        self.settle(&mut table);
        true
    }

    /// Accounts for a message that waited until it was no longer worth sending. False for any other.
    pub(crate) fn bury_if_expired(&self, entry: &mut Entry) -> bool {
        let expired = entry.expires().is_some() && entry.is_expired(clock::now());
        if expired {
            self.bury(take(entry), DeadLetterReason::Expired);
        }
        expired
    }

    /// The next message that waits for the send mode and is still worth sending.
    pub(super) fn pop_waiting(&self, table: &mut PeerTable) -> Option<OutboxEntry> {
        loop {
            let waiting = table.outbox.pop_front()?;
            let expires = waiting.entry.expires();
            if expires.is_none_or(|expires| expires > clock::now()) {
                return Some(waiting);
            }
            self.bury(waiting.entry, DeadLetterReason::Expired);
        }
    }
}
