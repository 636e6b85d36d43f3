//! What the end of a connection means for the messages that it leaves without an acknowledgement.

use std::time::Instant;

use super::router::Router;
use super::table::PeerTable;
use crate::engine::{Blame, PeerEnd};
use crate::event::DeadLetterReason;
use crate::limits::SendMode;
use crate::link::{Entry, Leftovers, Link, Target, Unacknowledged};

/// Who ended a connection, as far as messages may be the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The peer: it closed it, or reset it.
    Peer,
    /// The network: it failed, or nothing came through.
    Network,
    /// Our side, or a time limit of ours.
    Us,
}

/// Payloads from this size on may be above a frame limit of the peer that is lower than ours.
const LARGE: usize = 16 * 1024;

impl Router {
    /// Counts the transmissions of the messages, and whether the peer ends its connections because of one of
    /// them. Yields those that are to be sent again, in order.
    pub(super) fn judge(
        &self,
        table: &PeerTable,
        link: &Link,
        left: &mut Leftovers,
        by: EndedBy,
        now: Instant,
    ) -> Vec<Entry> {
        let ends = left.peer_ends(link.peer(), now, self.lifecycle.uptime());
        let resend_limit = self.limits.current().resend_limit;
        let mut again = Vec::with_capacity(ends.len());
        for (left, end) in std::mem::take(&mut left.unacknowledged)
            .into_iter()
            .zip(ends)
        {
            let Unacknowledged {
                mut entry,
                transmissions,
                ..
            } = left;
            let total = count(&mut entry, transmissions);
            if transmissions > 0 && resend_limit.is_some_and(|limit| total > limit) {
                self.bury(entry, DeadLetterReason::ResendLimit);
            } else if self.is_convicted(table, link, &mut entry, end, by) {
                let detail = likely_reason(&mut entry, link);
                entry.target = Target::Peer(link.peer());
                self.bury_with(entry, DeadLetterReason::PeerCannotTake, Some(detail));
            } else {
                again.push(entry);
            }
        }
        again
    }

    /// A connection that held a message has ended. True if that was because of the message, and nobody is left to
    /// try it with.
    fn is_convicted(
        &self,
        table: &PeerTable,
        link: &Link,
        entry: &mut Entry,
        end: PeerEnd,
        by: EndedBy,
    ) -> bool {
        let tells = match by {
            // Of two connections that begin together each end may have turned away the one that the other kept.
            EndedBy::Peer => !link.has_turned_away_another(),
            // For the message, and never against it.
            EndedBy::Network => end == PeerEnd::Without,
            EndedBy::Us => false,
        };
        let was_sent = matches!(end, PeerEnd::Among | PeerEnd::Alone(_));
        if !tells || (!was_sent && entry.blame_at(link.peer()).is_none()) {
            return false;
        }
        let blame = entry.blame_of(link.peer());
        blame.handle_end(end);
        let convicted = blame.is_convicted();
        let may_go_elsewhere =
            entry.target == Target::Mode && self.config.send_mode == SendMode::RoundRobin;
        let is_taken_by = |other: &Link| {
            !entry
                .blame_at(other.peer())
                .is_some_and(Blame::is_convicted)
        };
        convicted && !(may_go_elsewhere && table.members.iter().any(|other| is_taken_by(other)))
    }
}

/// Counts transmissions; yields all of them.
fn count(entry: &mut Entry, transmissions: u32) -> u32 {
    let extras = entry.extras.get_or_insert_default();
    extras.transmissions += transmissions;
    extras.transmissions
}

fn likely_reason(entry: &mut Entry, link: &Link) -> String {
    let bytes = entry.payload.len();
    let times = entry.blame_of(link.peer()).ends_alone();
    let reason = match bytes {
        LARGE.. => "it may be above the peer's frame limit",
        _ => "it may end the peer's process",
    };
    format!(
        "the peer ended {times} connections while this message of {bytes} bytes waited alone for its \
         acknowledgement, and none without it: {reason}"
    )
}

#[cfg(all(test, not(aiomsg_loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::super::join_leave::JoinOutcome;
    use super::super::tests::{Wakes, core, join, leave, peer, poll, send, try_join_as};
    use crate::address::Role;
    use crate::core::SocketCore;
    use crate::id::MessageId;
    use crate::limits::{DeliveryGuarantee, Overflow};
    use crate::link::{Link, NextWrite, Target, WriteBatch};
    use crate::socket::Sending;
    use crate::sync::Ordering;
    use crate::wire::{self, Envelope, Walk};

    fn write_all(link: &Link) {
        let mut batch = WriteBatch::default();
        while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {
            batch.written = batch.len();
        }
    }

    const LIVES: Duration = Duration::from_secs(60);

    /// A message that is tried alone, on this link; something happens while its peer is away for the last time.
    fn on_trial(core: &Arc<SocketCore>, while_away: impl FnOnce()) -> Arc<Link> {
        let mut link = join(core, 1);
        let mut suspect = send(core, Target::Peer(peer(1))).time_to_live(LIVES);
        assert!(poll(&mut suspect).is_ready());
        write_all(&link);
        leave(core, &link);
        link = join(core, 1);
        write_all(&link);
        leave(core, &link);
        while_away();
        join(core, 1)
    }

    #[test]
    fn what_waits_in_the_outbox_behind_a_trial_goes_when_that_is_given_up() {
        let core = core(|config| config.guarantee = DeliveryGuarantee::AtLeastOnce);
        let begin = Instant::now();
        let link = on_trial(&core, || {
            assert!(poll(&mut send(&core, Target::Mode)).is_ready());
        });
        write_all(&link);
        assert_eq!(
            core.stats().outbox_messages,
            1,
            "it waits for the end of the trial"
        );
        core.handle_sweep(begin + LIVES + Duration::from_secs(1));
        assert_eq!(core.stats().losses.expired, 1);
        let stats = core.stats();
        assert_eq!(
            (stats.outbox_messages, stats.queued_messages),
            (0, 1),
            "{stats:?}"
        );
    }

    /// The messages that are written until there is nothing to write: their ids and payloads.
    fn written(link: &Link) -> Vec<(MessageId, Bytes)> {
        let mut batch = WriteBatch::default();
        let mut written = Vec::new();
        while link.next_write(&mut batch, Waker::noop()).0 == NextWrite::Write {
            let block = batch.block.as_ref().unwrap().head();
            let mut rest = block;
            while let Ok(Walk::Frame(frame)) = wire::walk(rest, u32::MAX) {
                if let Ok(Envelope::DataReq(id, payload)) = Envelope::decode(frame.envelope) {
                    written.push((id, Bytes::copy_from_slice(payload)));
                }
                rest = &rest[frame.len()..];
            }
            batch.written = batch.len();
        }
        written
    }

    #[test]
    fn a_message_that_is_never_alone_goes_last_and_then_alone() {
        let core = core(|config| config.guarantee = DeliveryGuarantee::AtLeastOnce);
        let poison = Bytes::from_static(b"poison");
        let to = Target::Peer(peer(1));
        let mut suspect = Sending::new(&core.router, to, poison.clone()).time_to_live(LIVES);
        assert!(poll(&mut suspect).is_ready());
        let mut ends = 0;
        let link = loop {
            // Whenever the peer is away somebody sends it something more.
            assert!(poll(&mut send(&core, to)).is_ready());
            let link = join(&core, 1);
            if written(&link).iter().all(|(_, payload)| *payload != poison) {
                break link;
            }
            leave(&core, &link);
            ends += 1;
        };
        assert_eq!(ends, 5);
        leave(&core, &link);
        let link = join(&core, 1);
        loop {
            let now = written(&link);
            if let [(_, payload)] = &now[..]
                && *payload == poison
            {
                break;
            }
            assert!(!now.is_empty(), "it is not tried");
            let ids: Vec<_> = now.into_iter().map(|(id, _)| id).collect();
            core.router.acknowledge(&link, &ids);
        }
        assert_eq!(link.load().unacknowledged, 1, "all others are through");
    }

    #[test]
    fn the_end_of_a_connection_for_which_another_was_turned_away_says_nothing_of_a_message() {
        // A connection besides, of which the peer may keep the other one only if it did not make both.
        for (besides, sent_at_once) in [
            (None, 1),
            (Some(Role::ConnectEnd), 2),
            (Some(Role::BindEnd), 1),
        ] {
            let core = core(|config| config.guarantee = DeliveryGuarantee::AtLeastOnce);
            for _ in 0..2 {
                assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
            }
            for _ in 0..2 {
                let link = join(&core, 1);
                write_all(&link);
                if let Some(role) = besides {
                    let (_, outcome) = try_join_as(&core, peer(1), role);
                    assert!(matches!(outcome, JoinOutcome::Duplicate(Some(_))));
                    assert!(link.has_newcomer());
                }
                leave(&core, &link);
            }
            let link = join(&core, 1);
            write_all(&link);
            assert_eq!(link.counts().sent, sent_at_once, "{besides:?}");
        }
    }

    #[test]
    fn no_peer_is_cut_off_for_what_waits_behind_a_trial() {
        let core = core(|config| {
            config.guarantee = DeliveryGuarantee::AtLeastOnce;
            config.limits.link_overflow = Overflow::Disconnect;
        });
        let begin = Instant::now();
        let link = on_trial(&core, || {});
        write_all(&link);
        assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_pending());
        // Longer than a peer has for what had waited for it.
        core.handle_sweep(begin + LIVES / 2);
        assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_pending());
        assert_eq!(link.close_cause(), None);
    }

    #[test]
    fn whoever_waits_behind_a_trial_is_woken_when_that_ends_without_an_acknowledgement() {
        let core = core(|config| config.guarantee = DeliveryGuarantee::AtLeastOnce);
        let (begin, lives) = (Instant::now(), LIVES);
        let link = on_trial(&core, || {});
        write_all(&link);
        assert_eq!(link.load().unacknowledged, 1, "it is tried alone");
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut waiting = pin!(send(&core, Target::Peer(peer(1))));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        // As a task does, it tries again when it is woken, and only then.
        let has_gone_on = (1..=4).any(|sweep| {
            core.handle_sweep(begin + lives + Duration::from_secs(sweep));
            let woken = wakes.0.swap(0, Ordering::SeqCst) > 0;
            let polled = woken.then(|| waiting.as_mut().poll(&mut Context::from_waker(&waker)));
            polled.is_some_and(|polled| polled.is_ready())
        });
        assert_eq!(core.stats().losses.expired, 1);
        assert!(has_gone_on, "it waits for ever");
    }
}
