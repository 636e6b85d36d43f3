//! Models of the data path's hand-overs under every interleaving within a bound:
//! `RUSTFLAGS="--cfg aiomsg_loom" cargo test --lib loom`.
//!
//! A wake-up that gets lost is a deadlock here, which loom reports with the interleaving.

mod peers;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;

use crate::clock;
use crate::config::Config;
use crate::core::SocketCore;
use crate::engine::pressure::Shed;
use crate::id::Identity;
use crate::inbox::{Allowance, Chunk, FrameBudget, Inbox};
use crate::limits::{Capacity, DeliveryGuarantee, SendMode};
use crate::link::{
    Bound, Entry, Leftovers, Link, LinkLimits, NextWrite, Refused, Target, WriteBatch,
};
use crate::routing::{EndedBy, JoinOutcome};
use crate::subscription::{
    ChunkLease, Key, Member, PushMode, Settlement, Subscription, SubscriptionSpec,
};
use crate::sync::Place;
use crate::wire;

const PEER: Identity = Identity::from_bytes([1; 16]);

fn limits(frames: usize) -> LinkLimits {
    LinkLimits {
        frames,
        largest_payload: 1024,
        ..LinkLimits::of(8, 1 << 20)
    }
}

fn link(frames: usize) -> Link {
    Link::without_socket(PEER, 1, limits(frames))
}

fn message(text: &'static str) -> Entry {
    let payload = Bytes::from_static(text.as_bytes());
    Entry::new(Target::Mode, DeliveryGuarantee::AtMostOnce, payload)
}

fn texts(entries: &VecDeque<Entry>) -> Vec<&[u8]> {
    entries.iter().map(|entry| &entry.payload[..]).collect()
}

/// Waits as the writer of a connection does, and takes what there is.
fn write_once(link: &Link, batch: &mut WriteBatch) -> NextWrite {
    block_on(poll_fn(|cx| {
        let (next, freed) = link.next_write(batch, cx.waker());
        if freed {
            link.room.notify();
        }
        match next {
            NextWrite::Park => Poll::Pending,
            next => Poll::Ready(next),
        }
    }))
}

#[test]
fn loom_a_push_wakes_the_writer_that_parks() {
    loom::model(|| {
        let link = Arc::new(link(8));
        let sender = {
            let link = Arc::clone(&link);
            thread::spawn(move || link.push(&mut message("a"), Bound::Link))
        };
        let mut batch = WriteBatch::default();
        assert_eq!(write_once(&link, &mut batch), NextWrite::Write);
        assert_eq!(batch.len(), 6);
        sender.join().unwrap().unwrap();
    });
}

#[test]
fn loom_a_sender_that_waits_gets_the_room_that_the_writer_frees() {
    loom::model(|| {
        let link = Arc::new(link(1));
        link.push(&mut message("a"), Bound::Link).unwrap();
        let sender = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                let mut place = Place::new();
                let mut entry = message("b");
                block_on(poll_fn(|cx| {
                    place.poll(&link.room, cx, || link.push(&mut entry, Bound::Link).ok())
                }));
            })
        };
        let mut batch = WriteBatch::default();
        assert_eq!(write_once(&link, &mut batch), NextWrite::Write);
        assert_eq!(write_once(&link, &mut batch), NextWrite::Write);
        sender.join().unwrap();
    });
}

#[test]
fn loom_a_sender_that_gives_up_passes_its_turn_on() {
    loom::model(|| {
        let link = Arc::new(link(1));
        link.push(&mut message("a"), Bound::Link).unwrap();
        let mut first = Place::new();
        let mut entry = message("b");
        let mut cx = Context::from_waker(Waker::noop());
        let waits = first.poll(&link.room, &mut cx, || {
            link.push(&mut entry, Bound::Link).ok()
        });
        assert!(waits.is_pending());
        let second = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                let mut place = Place::new();
                let mut entry = message("c");
                block_on(poll_fn(|cx| {
                    place.poll(&link.room, cx, || link.push(&mut entry, Bound::Link).ok())
                }));
            })
        };
        let mut batch = WriteBatch::default();
        assert_eq!(write_once(&link, &mut batch), NextWrite::Write);
        // Nothing is left to write yet: this frees the room, and tells the first in line.
        let (_, freed) = link.next_write(&mut batch, Waker::noop());
        if freed {
            link.room.notify();
        }
        first.leave(&link.room);
        second.join().unwrap();
    });
}

#[test]
fn loom_what_is_pushed_while_a_link_closes_is_refused_or_comes_back() {
    loom::model(|| {
        let link = Arc::new(link(8));
        let sender = {
            let link = Arc::clone(&link);
            thread::spawn(move || link.push(&mut message("a"), Bound::Link))
        };
        let mut batch = WriteBatch::default();
        let _ = link.next_write(&mut batch, Waker::noop());
        let Leftovers { unsent, .. } = link.close(batch);
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(texts(&unsent), [b"a"]),
            Err(refused) => {
                assert_eq!(refused, Refused::Closed);
                assert!(unsent.is_empty());
            }
        }
    });
}

#[test]
fn loom_what_is_shed_while_the_writer_takes_and_the_link_closes_is_accounted_for_once() {
    loom::model(|| {
        let link = Arc::new(link(1));
        link.push(&mut message("a"), Bound::Link).unwrap();
        let sender = {
            let link = Arc::clone(&link);
            thread::spawn(move || link.push_shedding(&mut message("b"), Shed::Oldest))
        };
        let mut batch = WriteBatch::default();
        let _ = link.next_write(&mut batch, Waker::noop());
        let Leftovers { unsent, .. } = link.close(batch);
        let left = texts(&unsent);
        match sender.join().unwrap() {
            Err(refused) => {
                assert_eq!(refused, Refused::Closed);
                assert_eq!(left, [b"a"]);
            }
            Ok(shedding) if shedding.taken => {
                assert_eq!(texts(&shedding.lost), [b"a"]);
                assert_eq!(left, [b"b"]);
            }
            Ok(shedding) => {
                // The writer had the first in hand already, which takes all the room there is.
                assert!(shedding.lost.is_empty());
                assert_eq!(left, [b"a"]);
            }
        }
    });
}

#[test]
fn loom_frames_that_wait_for_the_budget_all_get_their_turn() {
    // Within the budget, and beside it.
    for bytes in [1, 2] {
        loom::model(move || {
            let budget = Arc::new(FrameBudget::new(1));
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let mut allowance = Allowance::new(&budget);
                    thread::spawn(move || {
                        block_on(poll_fn(|cx| allowance.poll_take(cx, bytes)));
                        allowance.finish();
                    })
                })
                .collect();
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(budget.held(), 0);
        });
    }
}

fn chunk(link: &Arc<Link>) -> Chunk {
    let mut bytes = wire::data_header(1).to_vec();
    bytes.push(b'x');
    let cost = bytes.len();
    Chunk::new(Arc::clone(link), bytes.into(), 1, cost)
}

const ONE_AT_A_TIME: Capacity = Capacity {
    messages: 1,
    bytes: 6,
};

#[test]
fn loom_readers_that_wait_for_room_all_get_it() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(ONE_AT_A_TIME));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || {
                    let mut place = Place::new();
                    block_on(poll_fn(|cx| inbox.poll_reserve(cx, &mut place, 6)));
                    // It was woken and finds nothing to read: its turn goes to the next.
                    inbox.unreserve(6);
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn loom_a_full_inbox_and_an_empty_one_lose_no_wake_up() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(ONE_AT_A_TIME));
        let reader = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let link = Arc::new(link(8));
                for _ in 0..2 {
                    let mut place = Place::new();
                    block_on(poll_fn(|cx| inbox.poll_reserve(cx, &mut place, 6)));
                    inbox.push(chunk(&link), 6).expect("it is open");
                }
            })
        };
        for _ in 0..2 {
            let mut place = Place::new();
            let taken = block_on(poll_fn(|cx| inbox.poll_take(cx, &mut place))).unwrap();
            inbox.release(&taken, taken.messages(), taken.cost());
        }
        reader.join().unwrap();
        assert_eq!(inbox.load(), (0, 0));
    });
}

#[test]
fn loom_what_a_lease_gives_back_wakes_another_member_of_the_group() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::new(ONE_AT_A_TIME));
        let link = Arc::new(link(8));
        let mut place = Place::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(inbox.poll_reserve(&mut cx, &mut place, 6).is_ready());
        inbox.push(chunk(&link), 6).expect("it is open");
        let in_hand = inbox.try_take().unwrap().unwrap();
        let other = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let mut place = Place::new();
                block_on(poll_fn(|cx| inbox.poll_take(cx, &mut place))).unwrap()
            })
        };
        inbox.give_back(in_hand).unwrap();
        assert_eq!(other.join().unwrap().messages(), 1);
    });
}

fn core() -> Arc<SocketCore> {
    SocketCore::new(Config::new(), clock::now())
}

fn member(core: &Arc<SocketCore>, serial: u64) -> Arc<Link> {
    let weak = Arc::downgrade(&core.router);
    Arc::new(Link::new(PEER, serial, weak, limits(8), Vec::new()))
}

/// Messages are sent while a first peer joins.
fn messages_reach_the_first_peer_in_order(core: &Arc<SocketCore>) {
    let link = member(core, 1);
    let joiner = {
        let (core, link) = (Arc::clone(core), Arc::clone(&link));
        thread::spawn(move || {
            let joined = core.router.join(&link, clock::now());
            assert!(matches!(joined, JoinOutcome::Accepted));
        })
    };
    for text in ["a", "b"] {
        core.router.try_take(&mut message(text)).unwrap();
    }
    joiner.join().unwrap();
    let Leftovers { unsent, .. } = link.close(WriteBatch::default());
    assert_eq!(texts(&unsent), [b"a", b"b"]);
}

#[test]
fn loom_messages_keep_their_order_while_the_first_peer_joins() {
    loom::model(|| {
        messages_reach_the_first_peer_in_order(&core());
    });
}

#[test]
fn loom_messages_keep_their_order_while_the_only_peer_leaves_and_returns() {
    loom::model(|| {
        let core = core();
        let first = member(&core, 1);
        core.router.join(&first, clock::now());
        core.router.try_take(&mut message("a")).unwrap();
        let leaver = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                assert!(core.leave(&first, WriteBatch::default(), clock::now(), EndedBy::Peer));
            })
        };
        core.router.try_take(&mut message("b")).unwrap();
        leaver.join().unwrap();
        let second = member(&core, 2);
        core.router.join(&second, clock::now());
        core.router.try_take(&mut message("c")).unwrap();
        let Leftovers { unsent, .. } = second.close(WriteBatch::default());
        assert_eq!(texts(&unsent), [b"a", b"b", b"c"]);
    });
}

#[test]
fn loom_what_was_for_a_peer_goes_to_its_next_connection_while_the_last_one_leaves() {
    let named = |text: &'static str| {
        let mut entry = message(text);
        entry.target = Target::Peer(PEER);
        entry
    };
    loom::model(move || {
        let core = core();
        let first = member(&core, 1);
        core.router.join(&first, clock::now());
        core.router.try_take(&mut named("a")).unwrap();
        let leaver = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                assert!(core.leave(&first, WriteBatch::default(), clock::now(), EndedBy::Peer));
            })
        };
        // The peer is quick to return: too early, it is refused and comes again.
        let second = member(&core, 2);
        let joined = core.router.join(&second, clock::now());
        core.router.try_take(&mut named("b")).unwrap();
        leaver.join().unwrap();
        match joined {
            JoinOutcome::Duplicate(_) => {
                let again = core.router.join(&second, clock::now());
                assert!(matches!(again, JoinOutcome::Accepted));
            }
            joined => assert!(matches!(joined, JoinOutcome::Accepted)),
        }
        let Leftovers { unsent, .. } = second.close(WriteBatch::default());
        assert_eq!(texts(&unsent), [b"a", b"b"]);
    });
}

#[test]
fn loom_what_is_published_while_the_first_peer_joins_reaches_it_in_order() {
    loom::model(|| {
        let config = Config {
            send_mode: SendMode::Publish,
            ..Config::new()
        };
        messages_reach_the_first_peer_in_order(&SocketCore::new(config, clock::now()));
    });
}

/// A subscription whose subscriber is gone, and in its inbox a chunk of two messages.
fn deserted(core: &Arc<SocketCore>) -> Arc<Subscription> {
    let key = Key::Handler {
        address: 1,
        message: "modelled",
        filter: String::new(),
    };
    let gone = Member::new(1, "modelled", || false);
    let (subscription, _) = core
        .inbound
        .subscriptions
        .join(SubscriptionSpec::all(key), gone);
    let one = [&wire::data_header(1)[..], b"x"].concat();
    let two = [&one[..], &one].concat();
    let mut place = Place::new();
    let mut cx = Context::from_waker(Waker::noop());
    let reserved = subscription
        .inbox
        .poll_reserve(&mut cx, &mut place, two.len());
    assert!(reserved.is_ready());
    let cost = two.len();
    let chunk = Chunk::new(member(core, 1), two.into(), 2, cost);
    subscription.inbox.push(chunk, cost).expect("it is open");
    subscription
}

/// Takes the chunk, handles its first message, and is revoked.
fn handle_one(subscription: &Arc<Subscription>) {
    let Some(Ok(chunk)) = subscription.inbox.try_take() else {
        return;
    };
    let mut lease = ChunkLease::new(subscription, chunk, Vec::new());
    assert!(lease.next().is_some());
    lease.settle(Settlement::Finished);
}

#[test]
fn loom_what_a_revoked_lease_had_not_handled_is_handled_once_by_another_member() {
    loom::model(|| {
        let core = core();
        let subscription = deserted(&core);
        let other = {
            let subscription = Arc::clone(&subscription);
            thread::spawn(move || handle_one(&subscription))
        };
        handle_one(&subscription);
        other.join().unwrap();
        // Whoever found nothing comes again when it is woken.
        handle_one(&subscription);
        assert!(subscription.inbox.try_take().is_none());
        assert_eq!(subscription.inbox.load(), (0, 0));
    });
}

#[test]
fn loom_what_a_revoked_lease_gives_back_is_somebody_elses_when_its_subscription_ends() {
    loom::model(|| {
        let core = core();
        let subscription = deserted(&core);
        let ender = {
            let ended = Arc::clone(&subscription);
            thread::spawn(move || ended.notice_the_dead())
        };
        let handled = subscription.inbox.try_take().map(|chunk| {
            let mut lease = ChunkLease::new(&subscription, chunk.unwrap(), Vec::new());
            assert!(lease.next().is_some());
            lease.settle(Settlement::Finished);
        });
        ender.join().unwrap();
        let left = if handled.is_some() { 1 } else { 2 };
        assert_eq!(core.inbound.subscriptions.load().0, left);
        assert_eq!(subscription.inbox.load().0, 0);
    });
}

/// The only connection reads a message of one byte.
fn read(core: &Arc<SocketCore>, link: &Arc<Link>, number: u8) {
    let frame = [&wire::data_header(1)[..], &[number]].concat();
    let chunk = Chunk::new(Arc::clone(link), frame.into(), 1, 6);
    let subscriptions = &core.inbound.subscriptions;
    let list = Arc::clone(&subscriptions.load_list());
    thread::yield_now();
    subscriptions.deliver(&list, chunk, PushMode::Over);
}

#[test]
fn loom_what_is_read_while_somebody_subscribes_reaches_it_in_order() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let core = core();
        let link = member(&core, 1);
        read(&core, &link, 1);
        let comes = {
            let core = Arc::clone(&core);
            let all = SubscriptionSpec::all(Key::Calls);
            thread::spawn(move || core.inbound.subscriptions.open(all))
        };
        read(&core, &link, 2);
        read(&core, &link, 3);
        let subscription = comes.join().unwrap();
        let mut numbers = Vec::new();
        for chunk in subscription.inbox.drain() {
            chunk.for_each(|_, _, payload| numbers.push(payload[0]));
        }
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(core.inbound.subscriptions.load(), (0, 0));
    });
}
