use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::clock;
use crate::config::Config;
use crate::core::SocketCore;
use crate::id::Identity;
use crate::inbox::Chunk;
use crate::link::{Link, LinkLimits};
use crate::payload::{AskEnvelope, AskKind, Filter};
use crate::subscription::{Delivery, Key, Member, PushMode, Subscription, SubscriptionSpec};
use crate::wire;

const PEER: Identity = Identity::from_bytes([7; 16]);

fn core() -> Arc<SocketCore> {
    SocketCore::new(Config::new(), clock::now())
}

/// A chunk of one message.
fn chunk(payload: &[u8]) -> Chunk {
    let frame = [&wire::data_header(payload.len())[..], payload].concat();
    let link = Link::without_socket(PEER, 1, LinkLimits::of(8, 1024));
    let cost = frame.len();
    Chunk::new(Arc::new(link), frame.into(), 1, cost)
}

/// A message comes from the only connection.
fn receive_payload(core: &SocketCore, payload: &[u8]) {
    let subscriptions = &core.inbound.subscriptions;
    let list = subscriptions.load_list();
    subscriptions.deliver(&list, chunk(payload), PushMode::Over);
}

fn receive(core: &SocketCore, number: u8) {
    receive_payload(core, &[number]);
}

/// Takes everything. When it looks at the first message that is moved to it, the connection reads others.
fn reading_meanwhile(
    core: &Arc<SocketCore>,
    read: impl Fn(&SocketCore) + Send + Sync + 'static,
) -> SubscriptionSpec {
    let (core, has_read): (Weak<SocketCore>, _) = (Arc::downgrade(core), AtomicBool::new(false));
    let filter = Filter::matching("reads meanwhile", move |_| {
        if !has_read.swap(true, Ordering::Relaxed) {
            read(&core.upgrade().expect("it is open"));
        }
        true
    });
    SubscriptionSpec {
        filter,
        ..SubscriptionSpec::all(Key::Recipient(2))
    }
}

/// The messages that wait, in order.
fn waiting(subscription: &Subscription) -> Vec<u8> {
    let mut numbers = Vec::new();
    for chunk in subscription.inbox.drain() {
        chunk.for_each(|_, _, payload| numbers.push(payload[0]));
    }
    numbers
}

#[test]
fn what_is_read_while_unclaimed_messages_are_moved_comes_behind_them() {
    let core = core();
    receive(&core, 1);
    receive(&core, 2);
    let spec = reading_meanwhile(&core, |core| receive(core, 3));
    let subscription = core.inbound.subscriptions.open(spec);
    receive(&core, 4);
    assert_eq!(waiting(&subscription), [1, 2, 3, 4]);
    assert_eq!(subscription.inbox.load(), (0, 0));
}

#[test]
fn what_is_read_while_the_messages_of_one_who_is_gone_are_moved_comes_behind_them() {
    let core = core();
    let subscriptions = &core.inbound.subscriptions;
    let alone = SubscriptionSpec::all(Key::Recipient(1));
    let (gone, _) = subscriptions.join(alone, Member::new(1, "gone", || false));
    receive(&core, 1);
    receive(&core, 2);
    let subscription = subscriptions.open(reading_meanwhile(&core, |core| receive(core, 3)));
    gone.notice_the_dead();
    receive(&core, 4);
    assert_eq!(waiting(&subscription), [1, 2, 3, 4]);
    assert_eq!(gone.inbox.load(), (0, 0));
}

#[test]
fn an_older_message_that_is_moved_supersedes_no_newer_one() {
    let core = core();
    receive(&core, 1);
    receive(&core, 2);
    let last = SubscriptionSpec {
        delivery: Delivery::Conflating,
        ..reading_meanwhile(&core, |core| receive(core, 3))
    };
    let subscription = core.inbound.subscriptions.open(last);
    assert_eq!(waiting(&subscription), [3]);
    assert_eq!(subscription.report().skipped, 2);
    assert_eq!(subscription.inbox.load(), (0, 0));
}

#[test]
fn what_is_moved_twice_keeps_its_order() {
    let core = core();
    let subscriptions = &core.inbound.subscriptions;
    let alone = SubscriptionSpec::all(Key::Recipient(1));
    let (gone, _) = subscriptions.join(alone, Member::new(1, "gone", || false));
    receive(&core, 1);
    gone.notice_the_dead();
    receive(&core, 2);
    // By a list that was loaded before it has left.
    let stale = Arc::new(vec![Arc::clone(&gone)]);
    subscriptions.deliver(&stale, chunk(&[3]), PushMode::Over);
    receive(&core, 4);
    let subscription = subscriptions.open(reading_meanwhile(&core, |core| receive(core, 5)));
    assert_eq!(waiting(&subscription), [1, 2, 3, 4, 5]);
}

#[test]
fn what_comes_by_an_older_list_during_a_move_is_moved_as_well() {
    let core = core();
    let subscriptions = &core.inbound.subscriptions;
    let stale = Arc::clone(&subscriptions.load_list());
    receive(&core, 1);
    receive(&core, 2);
    let spec = reading_meanwhile(&core, move |core| {
        let subscriptions = &core.inbound.subscriptions;
        subscriptions.deliver(&stale, chunk(&[3]), PushMode::Over);
        receive(core, 4);
    });
    let subscription = subscriptions.open(spec);
    assert_eq!(waiting(&subscription), [1, 2, 3, 4]);
}

const ASK: [u8; 16] = [1; 16];

#[test]
fn an_ask_that_was_cancelled_before_anybody_served_is_cancelled_when_it_is_moved() {
    let core = core();
    receive_payload(&core, &AskEnvelope::new(AskKind::Ask, ASK).write(b"q"));
    receive_payload(&core, &AskEnvelope::new(AskKind::Cancel, ASK).write(b""));
    core.inbound.asks.start_serving();
    let spec = SubscriptionSpec {
        filter: Filter::matching("asks", |payload| {
            AskEnvelope::read(payload).is_some_and(|(envelope, _)| envelope.kind == AskKind::Ask)
        }),
        ..SubscriptionSpec::all(Key::Recipient(1))
    };
    let serving = core.inbound.subscriptions.open(spec.serving());
    assert_eq!(serving.inbox.load().0, 1);
    assert!(core.inbound.asks.begin(PEER, ASK).is_none());
    assert_eq!(core.inbound.subscriptions.load().0, 1, "the cancel is gone");
}

#[test]
fn a_cancel_that_nobody_wants_is_counted_and_is_no_dead_letter() {
    let core = core();
    receive_payload(&core, &AskEnvelope::new(AskKind::Cancel, ASK).write(b""));
    core.inbound.subscriptions.close();
    assert_eq!(core.stats().dead_letters, 0);
    assert_eq!(core.inbound.asks.taken(), 1);
}
