//! Routing without actors: peers join and leave by hand, and nothing is ever written.

use super::blame::EndedBy;
use super::join_leave::JoinOutcome;
use crate::config::Config;
use crate::id::Identity;
use crate::link::Link;
use crate::link::Target;
use crate::sync::AtomicUsize;
use crate::sync::Ordering;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use crate::address::Role;
use crate::core::SocketCore;
use crate::engine::{IdRun, Sighting};
use crate::error::SendError;
use crate::id::MessageId;
use crate::limits::{Dedupe, DeliveryGuarantee, SendMode};
use crate::link::WriteBatch;
use crate::socket::Sending;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn core(settings: impl FnOnce(&mut Config)) -> Arc<SocketCore> {
    let mut config = Config::new();
    config.identity = Identity::from_bytes([0; 16]);
    settings(&mut config);
    SocketCore::new(config, Instant::now())
}

pub(super) const fn peer(number: u8) -> Identity {
    Identity::from_bytes([number; 16])
}

pub(super) fn join(core: &Arc<SocketCore>, number: u8) -> Arc<Link> {
    join_as(core, peer(number))
}

fn join_as(core: &Arc<SocketCore>, identity: Identity) -> Arc<Link> {
    let (link, joined) = try_join_as(core, identity, Role::BindEnd);
    assert!(matches!(joined, JoinOutcome::Accepted));
    link
}

/// Asks to join, as a peer may do that is connected already.
pub(super) fn try_join_as(
    core: &Arc<SocketCore>,
    identity: Identity,
    role: Role,
) -> (Arc<Link>, JoinOutcome) {
    let link = Link::new(
        identity,
        core.lifecycle.next_serial(),
        Arc::downgrade(&core.router),
        core.router.link_limits(),
        Vec::new(),
    );
    let link = Arc::new(link.with_role(role));
    let joined = core.router.join(&link, Instant::now());
    (link, joined)
}

pub(super) fn leave(core: &Arc<SocketCore>, link: &Link) {
    assert!(core.leave(link, WriteBatch::default(), Instant::now(), EndedBy::Peer));
}

pub(super) fn send(core: &Arc<SocketCore>, target: Target) -> Sending<'_> {
    Sending::new(&core.router, target, Bytes::from_static(b"message"))
}

/// Polls once, waking nobody.
pub(super) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Counts how often a task was woken.
#[derive(Default)]
pub(super) struct Wakes(pub(super) AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_waits_for_room_in_the_outbox_is_woken_when_an_absent_peer_is_given_up() {
    let core = core(|config| config.limits.outbox_capacity.messages = 1);
    let absent = join(&core, 1);
    let _other = join(&core, 2);
    leave(&core, &absent);
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut waiting = pin!(send(&core, Target::Peer(peer(1))));
    let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    core.handle_sweep(Instant::now() + core.config.absence_grace * 2);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn who_is_to_be_asked_in_turn_is_nobody_whose_connection_is_ending() {
    let core = core(|_| {});
    let (ending, other) = (join(&core, 1), join(&core, 2));
    // It keeps its connection until what it has is written.
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    ending.finish();
    for _ in 0..4 {
        let asked = core.router.peer_in_turn();
        assert_eq!(asked.map(|link| link.peer()), Some(other.peer()));
    }
    other.finish();
    assert!(core.router.peer_in_turn().is_none());
}

#[test]
fn what_was_lost_behind_a_connection_that_ended_is_new_when_it_comes_again_by_the_next() {
    let core = core(|config| config.dedupe = Some(Dedupe::within(9, PATIENCE)));
    let id = MessageId::from_bytes([9; 16]);
    let arrive = |link: &Link| {
        let again = link.handle_requests(&[IdRun::new(id)]);
        let seen = link.handle_arrival(&*core.router, id);
        again.is_empty() && seen == Sighting::New
    };
    let first = join(&core, 1);
    assert!(arrive(&first));
    leave(&core, &first);
    let second = join(&core, 1);
    assert!(!arrive(&second), "it is in hand");
    first.handle_loss(&[id]);
    assert!(arrive(&second));
}

#[test]
fn what_is_for_somebody_never_seen_is_given_up_a_while_after_others_have_come() {
    let core = core(|_| {});
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    let later = |times: u32| Instant::now() + core.config.absence_grace * times;
    core.handle_sweep(later(100));
    assert_eq!(core.stats().outbox_messages, 1, "nobody is there at all");
    let _other = join(&core, 2);
    core.handle_sweep(Instant::now());
    assert_eq!(core.stats().outbox_messages, 1, "it may come yet");
    core.handle_sweep(later(2));
    let stats = core.stats();
    assert_eq!((stats.outbox_messages, stats.losses.peer_gone), (0, 1));
}

#[test]
fn one_who_waits_for_an_absent_peer_does_not_delay_those_who_send_to_anybody() {
    let core = core(|config| config.limits.outbox_capacity.messages = 1);
    let absent = join(&core, 1);
    let _present = join(&core, 2);
    leave(&core, &absent);
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    let mut waiting = send(&core, Target::Peer(peer(1)));
    assert!(poll(&mut waiting).is_pending());
    assert!(matches!(
        poll(&mut send(&core, Target::Mode)),
        Poll::Ready(Ok(()))
    ));
    assert!(send(&core, Target::Mode).try_now().is_ok());
}

#[test]
fn a_peer_may_leave_while_others_wait_to_send_to_it() {
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..3000 {
            let core = core(|config| config.limits.link_capacity.messages = 1);
            let link = join(&core, 1);
            assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
            let gate = Arc::new(std::sync::Barrier::new(2));
            let sender = {
                let (core, gate) = (Arc::clone(&core), Arc::clone(&gate));
                thread::spawn(move || {
                    let mut waiting = send(&core, Target::Peer(peer(1)));
                    assert!(poll(&mut waiting).is_pending());
                    gate.wait();
                    while poll(&mut waiting).is_pending() {}
                })
            };
            gate.wait();
            leave(&core, &link);
            sender.join().expect("the sender ends");
        }
        done.send(()).expect("the test waits");
    });
    finished
        .recv_timeout(PATIENCE)
        .expect("leaving and sending wait for each other");
}

#[test]
fn what_a_link_gives_back_comes_before_what_was_sent_later() {
    let core = core(|_| {});
    let first = join(&core, 1);
    let numbered = |number: u8| {
        let payload = Bytes::copy_from_slice(&[number]);
        Sending::new(&core.router, Target::Mode, payload)
    };
    assert!(poll(&mut numbered(1)).is_ready());
    assert!(poll(&mut numbered(2)).is_ready());
    leave(&core, &first);
    assert!(poll(&mut numbered(3)).is_ready());
    let second = join(&core, 2);
    assert!(poll(&mut numbered(4)).is_ready());
    let left = second.close(WriteBatch::default()).unsent;
    let order: Vec<u8> = left.iter().map(|entry| entry.payload[0]).collect();
    assert_eq!(order, [1, 2, 3, 4]);
}

#[test]
fn a_publish_copy_is_a_dead_letter_only_while_others_have_theirs() {
    let core = core(|config| config.send_mode = SendMode::Publish);
    let (first, second) = (join(&core, 1), join(&core, 2));
    assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    leave(&core, &first);
    assert_eq!(core.stats().dead_letters, 1);
    leave(&core, &second);
    let stats = core.stats();
    assert_eq!((stats.dead_letters, stats.outbox_messages), (1, 1));
}

#[test]
fn a_publish_copy_goes_to_nobody_who_had_one_of_his_own() {
    let core = core(|config| config.send_mode = SendMode::Publish);
    let (first, second) = (join(&core, 1), join(&core, 2));
    assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    let mut written = WriteBatch::default();
    first.next_write(&mut written, Waker::noop());
    first.next_write(&mut written, Waker::noop());
    leave(&core, &first);
    leave(&core, &second);
    assert_eq!(join(&core, 1).load().frames, 0, "it has it");
    assert_eq!(join(&core, 2).load().frames, 1, "it was not written to it");
}

/// A connection that we made, and by which the peer has said who it is.
fn made_by_us(core: &Arc<SocketCore>, number: u8, serial: u64) -> Arc<Link> {
    let weak = Arc::downgrade(&core.router);
    let link = Link::new(
        peer(number),
        serial,
        weak,
        core.router.link_limits(),
        Vec::new(),
    );
    Arc::new(link.with_role(Role::ConnectEnd))
}

#[test]
fn a_connection_that_a_later_one_has_overtaken_is_not_read_any_more() {
    for (heard, begins_late, admitted) in [
        (true, false, false),
        (true, true, true),
        (false, false, true),
    ] {
        let core = core(|_| {});
        let early = core.lifecycle.next_serial();
        let later = join(&core, 1);
        if heard {
            later.note_heard();
        }
        leave(&core, &later);
        let serial = match begins_late {
            true => core.lifecycle.next_serial(),
            false => early,
        };
        let link = made_by_us(&core, 1, serial);
        let joined = core.router.join(&link, Instant::now());
        assert_eq!(
            matches!(joined, JoinOutcome::Accepted),
            admitted,
            "{joined:?}"
        );
        let other = made_by_us(&core, 2, early);
        let joined = core.router.join(&other, Instant::now());
        assert!(matches!(joined, JoinOutcome::Accepted), "{joined:?}");
    }
}

#[test]
fn what_is_for_a_peer_that_went_away_is_held_for_the_grace_period() {
    let core = core(|_| {});
    let (absent, _other) = (join(&core, 1), join(&core, 2));
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    leave(&core, &absent);
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    let grace = core.config.absence_grace;
    core.handle_sweep(Instant::now() + grace / 2);
    assert_eq!(core.stats().outbox_messages, 2);
    core.handle_sweep(Instant::now() + grace * 2);
    assert_eq!(core.stats().losses.peer_gone, 2);
    assert_unknown(&core, 1);
}

fn assert_unknown(core: &Arc<SocketCore>, number: u8) {
    let expected = SendError::UnknownPeer {
        peer: peer(number),
        payload: Bytes::from_static(b"message"),
    };
    let sent = poll(&mut send(core, Target::Peer(peer(number))));
    assert_eq!(sent, Poll::Ready(Err(expected)));
}

#[test]
fn what_is_for_a_peer_that_went_away_is_a_dead_letter_at_once_where_that_is_the_policy() {
    let core = core(|config| config.hold_for_absent = false);
    let (absent, other) = (join(&core, 1), join(&core, 2));
    assert!(poll(&mut send(&core, Target::Peer(peer(1)))).is_ready());
    leave(&core, &absent);
    assert_eq!(core.stats().losses.peer_gone, 1);
    let sent = poll(&mut send(&core, Target::Peer(peer(1))));
    assert_eq!(sent, Poll::Ready(Ok(())));
    let stats = core.stats();
    assert_eq!((stats.losses.peer_gone, stats.outbox_messages), (2, 0));
    assert_unknown(&core, 3);
    leave(&core, &other);
    // Nobody is there, and this one was never seen: it may come yet.
    let sent = poll(&mut send(&core, Target::Peer(peer(3))));
    assert_eq!(sent, Poll::Ready(Ok(())));
    let grace = core.config.absence_grace;
    core.handle_sweep(Instant::now() + grace * 2);
    assert_eq!(core.stats().outbox_messages, 1);
    let _other = join(&core, 2);
    core.handle_sweep(Instant::now() + grace * 2);
    let stats = core.stats();
    assert_eq!((stats.losses.peer_gone, stats.outbox_messages), (3, 0));
}

#[test]
fn many_links_share_the_budget_and_what_is_published_to_all_counts_once() {
    const KIB: usize = 1024;
    for mode in [SendMode::RoundRobin, SendMode::Publish] {
        let core = core(|config| {
            config.send_mode = mode;
            config.limits.memory_budget = 2048 * KIB;
            config.limits.publish_overflow = crate::limits::Overflow::Fail;
        });
        let mut links: Vec<_> = (1..=4).map(|number| join(&core, number)).collect();
        assert_eq!(core.stats().link_share_bytes, 256 * KIB);
        links.extend((5..=64).map(|number| join(&core, number)));
        let share = core.stats().link_share_bytes;
        assert!((12 * KIB..=16 * KIB).contains(&share), "{share}");
        let fill = |target, size: usize| {
            let payload = Bytes::from(vec![0; size]);
            let mut taken = 0;
            while poll(&mut Sending::new(&core.router, target, payload.clone()))
                == Poll::Ready(Ok(()))
            {
                taken += size;
            }
            taken
        };
        if mode == SendMode::Publish {
            let taken = fill(Target::Mode, 32 * KIB);
            assert_eq!(taken, 224 * KIB, "with the headers seven fit");
            continue;
        }
        let (last, gone) = links.split_last().unwrap();
        let target = Target::Peer(last.peer());
        let taken = fill(target, KIB);
        assert!((share / 2..=share).contains(&taken), "{taken} of {share}");
        // Those that leave give their share to those that stay.
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut waiting = Sending::new(&core.router, target, vec![0; 2 * KIB].into());
        let waits = std::pin::Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker));
        assert!(waits.is_pending());
        gone.iter().for_each(|link| leave(&core, link));
        assert!(wakes.0.load(Ordering::SeqCst) > 0);
        assert!(poll(&mut waiting).is_ready());
        assert_eq!(core.stats().link_share_bytes, 256 * KIB);
    }
}

/// Peers that are not told by one byte.
pub(super) fn join_many(core: &Arc<SocketCore>, numbers: std::ops::Range<u32>) -> Vec<Arc<Link>> {
    let identities = numbers.map(|number| {
        let mut identity = [7; 16];
        identity[..4].copy_from_slice(&number.to_be_bytes());
        Identity::from_bytes(identity)
    });
    identities.map(|identity| join_as(core, identity)).collect()
}

#[test]
fn joins_that_nobody_looks_for_copy_no_list_and_whoever_sends_finds_all() {
    let core = core(|_| {});
    let mut links = join_many(&core, 0..100);
    let version = core.router.routes.version();
    links.extend(join_many(&core, 100..500));
    assert!(!core.router.has_unpublished_joins(), "nobody misses them");
    assert_eq!(core.router.routes.version(), version, "nothing was copied");
    for _ in 0..500 {
        assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    }
    assert!(links.iter().all(|link| link.load().frames == 1));

    // Now that somebody sends, the router publishes what comes.
    links.extend(join_many(&core, 500..501));
    assert!(core.router.has_unpublished_joins());
    core.router.publish_joins();
    for _ in 0..501 {
        assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    }
    assert!(links.last().unwrap().load().frames > 0);
}

#[test]
fn a_publish_reaches_peers_that_nobody_had_looked_for() {
    let core = core(|config| config.send_mode = SendMode::Publish);
    let links = join_many(&core, 0..300);
    assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    core.router.flush_batch();
    assert!(links.iter().all(|link| link.load().frames == 1));
}

#[test]
fn what_is_published_without_waiting_is_gathered_for_all_links() {
    let core = core(|config| config.send_mode = SendMode::Publish);
    let links = join_many(&core, 0..3);
    let all_have = |frames| links.iter().all(|link| link.load().frames == frames);
    for _ in 0..3 {
        send(&core, Target::Mode).try_now().unwrap();
    }
    assert!(all_have(0));
    core.router.flush_batch();
    assert!(all_have(3));
}

#[test]
fn the_router_looks_at_links_for_as_long_as_one_waits_for_acknowledgements() {
    let core = core(|config| config.guarantee = DeliveryGuarantee::AtLeastOnce);
    let link = join(&core, 1);
    let is_restless = || core.lifecycle.sweep_clock().is_requested();
    let start = Instant::now();
    core.handle_sweep(start);
    assert!(!is_restless());
    assert!(poll(&mut send(&core, Target::Mode)).is_ready());
    let mut batch = WriteBatch::default();
    let _ = link.next_write(&mut batch, Waker::noop());
    let head = batch.block.as_ref().unwrap().head();
    let id = MessageId::from_bytes(head[5..21].try_into().unwrap());
    let _ = link.next_write(&mut batch, Waker::noop());
    for sweep in 1..4 {
        core.handle_sweep(start + Duration::from_millis(500) * sweep);
        assert!(is_restless());
    }
    core.handle_sweep(start + core.limits.current().resend_timeout * 2);
    assert_eq!(link.counts().resent, 1);
    link.acknowledge(&[id], core.lifecycle.uptime());
    core.handle_sweep(start + core.limits.current().resend_timeout * 3);
    assert!(!is_restless());
}
