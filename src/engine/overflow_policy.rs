//! Policy for a message that a full queue has no room for.

use std::time::Duration;

use super::pressure::{Backlog, Shed};
use crate::limits::{Limits, Overflow};

/// The queue that has no room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FullQueue {
    /// The outbox: messages for peers that are not connected.
    Outbox,
    /// The link of the only peer that the message may go to, or the links of all of them.
    Link,
    /// The link of one of the peers that all get the message.
    PublishLink,
}

/// The action for such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverflowAction {
    /// The message waits, for so long if there is a limit.
    Wait(Option<Duration>),
    /// The message goes back to its sender.
    Refuse,
    /// The message is accepted, and one is dropped.
    Drop(Shed),
    /// The connection of the slow peer ends.
    Disconnect,
}

/// The overflow policy of a full queue. A peer that has come back is not disconnected for its backlog until it
/// has had time to take it; a peer that senders wait for has that time only while it takes something.
pub(crate) fn overflow_policy(
    limits: &Limits,
    full: FullQueue,
    backlog: impl FnOnce() -> Backlog,
) -> Overflow {
    let policy = match full {
        FullQueue::Outbox => limits.outbox_overflow,
        FullQueue::Link => limits.link_overflow,
        FullQueue::PublishLink => limits.publish_overflow,
    };
    if policy != Overflow::Disconnect {
        return policy;
    }
    match (full, backlog()) {
        (_, Backlog::Taken) | (FullQueue::Link | FullQueue::Outbox, Backlog::Stalled) => {
            Overflow::Wait
        }
        (FullQueue::PublishLink, Backlog::Stalled) | (_, Backlog::None) => policy,
    }
}

impl From<Overflow> for OverflowAction {
    fn from(policy: Overflow) -> Self {
        match policy {
            Overflow::Wait => Self::Wait(None),
            Overflow::WaitFor(patience) => Self::Wait(Some(patience)),
            Overflow::Fail => Self::Refuse,
            Overflow::DropOldest => Self::Drop(Shed::Oldest),
            Overflow::DropNewest => Self::Drop(Shed::Newest),
            Overflow::Disconnect => Self::Disconnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKLOGS: [Backlog; 3] = [Backlog::None, Backlog::Taken, Backlog::Stalled];

    fn limits(link: Overflow, publish: Overflow) -> Limits {
        Limits {
            link_overflow: link,
            publish_overflow: publish,
            ..Limits::default()
        }
    }

    #[test]
    fn each_queue_has_a_policy_of_its_own() {
        let mut limits = limits(Overflow::DropNewest, Overflow::Fail);
        limits.outbox_overflow = Overflow::DropOldest;
        let of = |full| overflow_policy(&limits, full, || panic!("nobody is disconnected"));
        assert_eq!(of(FullQueue::Link), Overflow::DropNewest);
        assert_eq!(of(FullQueue::PublishLink), Overflow::Fail);
        assert_eq!(of(FullQueue::Outbox), Overflow::DropOldest);
    }

    #[test]
    fn a_peer_is_not_disconnected_for_what_had_waited_for_it_while_it_has_time() {
        let limits = limits(Overflow::Disconnect, Overflow::Disconnect);
        let of = |full| BACKLOGS.map(|backlog| overflow_policy(&limits, full, || backlog));
        let expected = [Overflow::Disconnect, Overflow::Wait, Overflow::Wait];
        assert_eq!(of(FullQueue::Link), expected);
        let expected = [Overflow::Disconnect, Overflow::Wait, Overflow::Disconnect];
        assert_eq!(
            of(FullQueue::PublishLink),
            expected,
            "others wait for a peer that takes nothing"
        );
    }

    #[test]
    fn each_policy_is_one_action() {
        let patience = Duration::from_millis(7);
        for (policy, action) in [
            (Overflow::Wait, OverflowAction::Wait(None)),
            (
                Overflow::WaitFor(patience),
                OverflowAction::Wait(Some(patience)),
            ),
            (Overflow::Fail, OverflowAction::Refuse),
            (Overflow::DropOldest, OverflowAction::Drop(Shed::Oldest)),
            (Overflow::DropNewest, OverflowAction::Drop(Shed::Newest)),
            (Overflow::Disconnect, OverflowAction::Disconnect),
        ] {
            assert_eq!(OverflowAction::from(policy), action);
        }
    }
}
