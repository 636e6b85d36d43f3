//! Bounds and policies that change while messages wait. Nothing is ever written.

use crate::core::SocketCore;
use crate::lifecycle::SocketPhase;
use crate::limits::Limits;
use crate::link::Target;
use crate::sync::Ordering;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::tests::{Wakes, core, join, leave, peer, poll, send};
use crate::error::{Closed, ReconfigureError, SendError};
use crate::limits::Capacity;
use crate::limits::{Overflow, SendMode};
use crate::socket::Sending;
use crate::subscription::{Key, SubscriptionSpec};

const KIB: usize = 1024;

fn change(core: &Arc<SocketCore>, change: impl Fn(&mut Limits)) {
    core.reconfigure(|limits| {
        change(limits);
        Ok(())
    })
    .unwrap();
}

/// Sends until nothing more is taken without waiting, and says how much was.
fn fill(core: &Arc<SocketCore>, target: Target) -> usize {
    (0..10_000)
        .take_while(|_| {
            let mut sending = send(core, target);
            // At first it may let the writer go first.
            (0..2).any(|_| poll(&mut sending) == Poll::Ready(Ok(())))
        })
        .count()
}

/// Waits in line, and counts how often it is told to look again.
fn wait(sending: &mut Sending<'_>) -> Arc<Wakes> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let waits = Pin::new(sending).poll(&mut Context::from_waker(&waker));
    assert!(waits.is_pending());
    wakes
}

fn was_told(wakes: &Wakes) -> bool {
    wakes.0.load(Ordering::SeqCst) > 0
}

#[test]
fn what_waits_for_room_in_any_queue_goes_when_its_bound_is_raised() {
    let roomy = {
        |limits: &mut Limits| {
            limits.link_capacity = Capacity::new(9, KIB);
            limits.outbox_capacity = Capacity::new(9, 64 * KIB);
        }
    };
    for mode in [SendMode::RoundRobin, SendMode::Publish] {
        for (target, connected) in [
            (Target::Mode, true),
            (Target::Mode, false),
            (Target::Peer(peer(1)), true),
            (Target::Peer(peer(1)), false),
        ] {
            let core = core(|config| {
                config.send_mode = mode;
                config.limits.link_capacity.messages = 3;
                config.limits.outbox_capacity.messages = 3;
                config.limits.publish_overflow = Overflow::Wait;
            });
            let _link = connected.then(|| join(&core, 1));
            assert_eq!(fill(&core, target), 3);
            let mut waiting = send(&core, target);
            let wakes = wait(&mut waiting);
            change(&core, roomy);
            assert!(was_told(&wakes), "{mode:?} {target:?} {connected}");
            assert_eq!(poll(&mut waiting), Poll::Ready(Ok(())));
            assert_eq!(fill(&core, target), 5);
        }
    }
}

#[test]
fn a_lowered_bound_refuses_what_is_new_and_loses_nothing() {
    let core = core(|config| {
        config.limits.link_overflow = Overflow::Fail;
        config.limits.outbox_overflow = Overflow::Fail;
    });
    accept(&core, 20);
    let lowered = |limits: &mut Limits| {
        limits.outbox_capacity = Capacity::new(5, KIB);
        limits.link_capacity = Capacity::new(6, KIB);
    };
    change(&core, lowered);
    let refused = poll(&mut send(&core, Target::Mode));
    assert!(matches!(refused, Poll::Ready(Err(SendError::Full(_)))));
    assert_eq!(core.stats().outbox_messages, 20);
    // The first peer gets as much as the new bound allows; the rest waits.
    let first = join(&core, 1);
    assert_eq!(first.load().frames, 6);
    change(&core, |limits: &mut Limits| {
        limits.link_capacity = Capacity::new(2, KIB);
    });
    assert_eq!(core.stats().queued_messages, 6);
    let second = join(&core, 2);
    assert_eq!(second.load().frames, 2, "the newest bound");
    leave(&core, &first);
    assert_eq!(core.stats().outbox_messages, 18);
    assert_eq!(core.stats().dead_letters, 0);
}

fn accept(core: &Arc<SocketCore>, count: usize) {
    for _ in 0..count {
        assert_eq!(poll(&mut send(core, Target::Mode)), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_backlog_goes_to_the_links_as_soon_as_they_take_more() {
    let core = core(|config| config.limits.link_capacity.messages = 4);
    accept(&core, 10);
    let link = join(&core, 1);
    assert_eq!((link.load().frames, core.stats().outbox_messages), (4, 6));
    change(&core, |limits: &mut Limits| {
        limits.link_capacity = Capacity::new(100, 64 * KIB);
    });
    assert_eq!((link.load().frames, core.stats().outbox_messages), (10, 0));
}

#[test]
fn a_message_that_waits_goes_by_the_new_policy() {
    for (policy, outcome) in [
        (Overflow::Fail, Err(())),
        (Overflow::DropNewest, Ok(())),
        (Overflow::DropOldest, Ok(())),
    ] {
        let core = core(|config| config.limits.link_capacity.messages = 2);
        let _link = join(&core, 1);
        assert_eq!(fill(&core, Target::Mode), 2);
        let (mut first, mut second) = (
            send(&core, Target::Mode),
            send(&core, Target::Peer(peer(1))),
        );
        let wakes = [wait(&mut first), wait(&mut second)];
        change(&core, |limits: &mut Limits| {
            limits.link_overflow = policy;
        });
        for (waiting, wakes) in [&mut first, &mut second].into_iter().zip(wakes) {
            assert!(was_told(&wakes));
            let Poll::Ready(sent) = poll(waiting) else {
                panic!("{policy:?} does not wait");
            };
            assert_eq!(sent.map_err(drop), outcome);
        }
        let dropped = if outcome.is_ok() { 2 } else { 0 };
        assert_eq!(core.stats().losses.overflow, dropped);
    }
}

#[test]
fn the_budget_is_shared_out_anew() {
    let core = core(|_| {});
    let links: Vec<_> = (1..=16).map(|number| join(&core, number)).collect();
    assert_eq!(core.stats().link_share_bytes, 256 * KIB);
    change(&core, |limits: &mut Limits| {
        limits.memory_budget = 32 * KIB;
    });
    let limits = core.stats().limits;
    // The share is a figure of its own; the limits stay as they were set.
    assert_eq!(core.stats().link_share_bytes, KIB);
    assert_eq!(limits.link_capacity.bytes, 256 * KIB);
    assert_eq!(limits.memory_budget, 32 * KIB);
    let target = Target::Peer(links[3].peer());
    let taken = fill(&core, target);
    assert!(
        (80..=90).contains(&taken),
        "{taken} of twelve bytes in 1 KiB"
    );
    let mut waiting = send(&core, target);
    let wakes = wait(&mut waiting);
    change(&core, |limits: &mut Limits| {
        limits.memory_budget = 64 * KIB;
    });
    assert!(was_told(&wakes));
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn inboxes_that_are_there_and_those_to_come_get_the_new_bounds_and_readers_are_told() {
    let core = core(|config| {
        config.limits.inbox_capacity = Capacity {
            messages: 10,
            bytes: KIB,
        }
    });
    let reserve = |key, bytes, waker: &Waker| {
        let subscription = core.inbound.subscriptions.open(SubscriptionSpec::all(key));
        let mut place = crate::sync::Place::new();
        let mut cx = Context::from_waker(waker);
        let reserved = subscription.poll_reserve(&mut cx, &mut place, bytes);
        (reserved.is_ready(), place)
    };
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    // An empty inbox takes a chunk of any size.
    assert!(reserve(Key::Calls, 600, &waker).0);
    let (fits, _in_line) = reserve(Key::Calls, 600, &waker);
    assert!(!fits && !was_told(&wakes));
    change(&core, |limits: &mut Limits| {
        limits.inbox_capacity = Capacity::new(10, 2 * KIB);
    });
    assert!(was_told(&wakes));
    change(&core, |limits: &mut Limits| {
        limits.inbox_capacity = Capacity::new(10, 100);
    });
    assert!(reserve(Key::Recipient(1), 90, &waker).0);
    assert!(!reserve(Key::Recipient(1), 90, &waker).0, "a new one");
    assert_eq!(core.stats().limits.inbox_capacity.bytes, 100);
}

#[test]
fn what_would_not_start_changes_nothing() {
    let core = core(|_| {});
    let before = core.stats().limits;
    let soon = Duration::from_millis(1);
    let wrongs: [fn(&mut Limits); 6] = [
        |limits: &mut Limits| {
            limits.outbox_overflow = Overflow::Disconnect;
        },
        |limits: &mut Limits| {
            limits.heartbeat_interval = Duration::ZERO;
        },
        |limits: &mut Limits| {
            limits.heartbeat_timeout = Duration::ZERO;
        },
        |limits: &mut Limits| {
            limits.resend_timeout = Duration::ZERO;
        },
        |limits: &mut Limits| {
            limits.max_handshakes = 0;
        },
        |limits: &mut Limits| {
            limits.max_connections = 0;
        },
    ];
    for wrong in wrongs {
        let refused = core.reconfigure(|limits| {
            limits.link_capacity = Capacity::new(1, 1);
            limits.write_timeout = soon;
            wrong(limits);
            Ok(())
        });
        assert!(matches!(refused, Err(ReconfigureError::Configuration(_))));
        assert_eq!(core.stats().limits, before);
    }
    core.enter(SocketPhase::Closing);
    let refused = core.reconfigure(|_| Ok(()));
    assert!(matches!(refused, Err(ReconfigureError::Closed(Closed))));
}

#[test]
fn every_change_is_seen_in_the_figures_and_what_is_not_mentioned_stays() {
    let core = core(|_| {});
    change(&core, |_: &mut Limits| {});
    let second = Duration::from_secs(1);
    let changes = |limits: &mut Limits| {
        limits.link_capacity = Capacity::new(1, 2);
        limits.unacknowledged_capacity = Capacity::new(3, 4);
        limits.outbox_capacity = Capacity::new(5, 6);
        limits.inbox_capacity = Capacity::new(7, 8);
        limits.memory_budget = 18;
        limits.max_connections = 10;
        limits.max_handshakes = 11;
        limits.link_overflow = Overflow::Fail;
        limits.publish_overflow = Overflow::DropNewest;
        limits.outbox_overflow = Overflow::DropOldest;
        limits.heartbeat_interval = second;
        limits.heartbeat_timeout = second * 2;
        limits.write_timeout = second * 3;
        limits.resend_timeout = second * 4;
        limits.resend_limit = Some(5);
    };
    change(&core, changes);
    change(&core, |limits: &mut Limits| {
        limits.max_handshakes = 12;
        limits.resend_limit = None;
    });
    let limits = core.stats().limits;
    assert_eq!(limits.link_capacity, Capacity::new(1, 2));
    assert_eq!(limits.unacknowledged_capacity, Capacity::new(3, 4));
    assert_eq!(limits.outbox_capacity, Capacity::new(5, 6));
    assert_eq!(limits.inbox_capacity, Capacity::new(7, 8));
    assert_eq!(limits.memory_budget, 18);
    assert_eq!((limits.max_connections, limits.max_handshakes), (10, 12));
    assert_eq!(limits.link_overflow, Overflow::Fail);
    assert_eq!(limits.publish_overflow, Overflow::DropNewest);
    assert_eq!(limits.outbox_overflow, Overflow::DropOldest);
    assert_eq!(limits.heartbeat_interval, second);
    assert_eq!(limits.heartbeat_timeout, second * 2);
    assert_eq!(limits.write_timeout, second * 3);
    assert_eq!(limits.resend_timeout, second * 4);
    assert_eq!(limits.resend_limit, None);
}
