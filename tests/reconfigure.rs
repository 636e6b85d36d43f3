//! Bounds, policies and timers of sockets that change while the sockets are in use.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::error::ReconfigureError;
use actix_aiomsg::limits::{Capacity, Limits};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{Probe, ScriptedPeer, TestKit, pause_time};
use support::each::each;
use support::scale;
use tokio::time::Instant;

const KIB: usize = 1024;

/// Waits as the clock stands, until a condition holds.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[actix::test]
async fn traffic_goes_on_without_loss_while_every_bound_changes_all_the_time() {
    pause_time();
    let messages = u32::try_from(scale::of(60_000)).unwrap();
    for guarantee in [
        DeliveryGuarantee::AtMostOnce,
        DeliveryGuarantee::AtLeastOnce,
    ] {
        let kit = TestKit::new();
        let client = kit.builder().delivery_guarantee(guarantee).start().unwrap();
        let server = kit.socket();
        kit.connect(&client, &server).await;
        let next = Rc::new(Cell::new(0));
        each(&server, move |message| -> ResponseFuture<()> {
            let number = u32::from_be_bytes(message.payload()[..4].try_into().unwrap());
            let next = Rc::clone(&next);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(number, next.get(), "each once, and in order");
                next.set(number + 1);
            })
        });
        let sending = async {
            for number in 0..messages {
                let mut payload = number.to_be_bytes().to_vec();
                payload.resize(4 + number as usize % 300, 0);
                client.send(payload).await.unwrap();
            }
            client.flush().await.unwrap();
            eventually("everything to be handled", || {
                server.stats().inbox_messages == 0
            })
            .await;
        };
        let changing = async {
            for turn in 0.. {
                let most = [1, 3, 50, 1_000][turn % 4];
                let bytes = [0, 2 * KIB, 64 * KIB][turn % 3];
                let changes = |limits: &mut Limits| {
                    limits.link_capacity = Capacity::new(most, bytes);
                    limits.unacknowledged_capacity =
                        Capacity::new([2, 1_000, 40][turn % 3], 16 * KIB);
                    limits.inbox_capacity =
                        Capacity::new([1_000, 10][turn % 2], [KIB, 0, 32 * KIB][turn % 3]);
                    limits.memory_budget = [64 * KIB, 4 * KIB, 0][turn % 3];
                };
                client.reconfigure(changes).unwrap();
                server.reconfigure(changes).unwrap();
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = changing => {}
        }
        assert_eq!(server.stats().received, u64::from(messages));
        kit.assert_no_dead_letters();
        kit.assert_no_panics();
    }
}

#[actix::test]
async fn a_bound_of_the_receiver_that_is_raised_lets_its_peer_go_on() {
    pause_time();
    let kit = TestKit::new();
    let (client, server) = (kit.socket(), kit.socket());
    kit.connect(&client, &server).await;
    let tight = |limits: &mut Limits| {
        limits.inbox_capacity = Capacity::new(10, KIB);
    };
    server.reconfigure(tight).unwrap();
    let tight = |limits: &mut Limits| {
        limits.link_capacity = Capacity::new(10, KIB);
        limits.link_overflow = Overflow::Fail;
    };
    client.reconfigure(tight).unwrap();
    // Nobody subscribes: the messages wait in the inbox, on the way, and in the link.
    let mut sent = 0;
    let mut refused = 0;
    while refused < 10 {
        match client.send(vec![0; 100]).await {
            Ok(()) => (sent, refused) = (sent + 1, 0),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                refused += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = server.stats();
    assert!(before.inbox_messages < sent && before.inbox_bytes <= KIB);
    server
        .reconfigure(|limits: &mut Limits| {
            limits.inbox_capacity = Capacity::new(1_000, KIB * KIB);
        })
        .unwrap();
    eventually("the rest", || server.stats().inbox_messages == sent).await;
    assert_eq!(client.stats().queued_messages, 0);
    kit.assert_no_dead_letters();
}

#[actix::test]
async fn heartbeats_and_the_verdict_on_a_silent_peer_go_by_the_new_timers() {
    pause_time();
    let kit = TestKit::new();
    let socket = kit
        .builder()
        .heartbeat_interval(Duration::from_secs(3_600))
        .heartbeat_timeout(Duration::from_secs(7_200))
        .start()
        .unwrap();
    let endpoint = socket.bind(kit.endpoint()).await.unwrap();
    let me = Identity::random();
    let (mut peer, _) = ScriptedPeer::introduced(&endpoint, me).await.unwrap();
    let down = socket.watch(me);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let changed = Instant::now();
    let second = Duration::from_secs(1);
    let changes = |limits: &mut Limits| {
        limits.heartbeat_interval = second * 2;
        limits.heartbeat_timeout = second * 20;
    };
    socket.reconfigure(changes).unwrap();
    // The sweep comes as rarely as it did, once more.
    let beats = async {
        let mut came = Vec::new();
        while let Some(frame) = peer.next_of_any_kind().await.unwrap() {
            assert_eq!(frame, actix_aiomsg::wire::Envelope::Heartbeat);
            came.push(changed.elapsed());
        }
        came
    };
    let (beats, down) = tokio::join!(beats, down);
    assert_eq!(down.reason, DownReason::Silent);
    assert!(!beats.is_empty());
    let (first, last) = (beats[0], beats[beats.len() - 1]);
    assert!(first <= Duration::from_secs(3_600 / 16 + 3), "{beats:?}");
    assert!(last <= first + second * 25, "{beats:?}");
}

#[actix::test]
async fn what_waits_for_its_acknowledgement_is_resent_by_the_new_timer() {
    pause_time();
    let kit = TestKit::new();
    let socket = kit
        .builder()
        .resend_timeout(Duration::from_secs(3_600))
        .start()
        .unwrap();
    let endpoint = socket.bind(kit.endpoint()).await.unwrap();
    let me = Identity::random();
    let (mut peer, _) = ScriptedPeer::introduced(&endpoint, me).await.unwrap();
    let receipt = socket.send("once more").receipt().await.unwrap();
    let first = peer.next().await.unwrap();
    let changed = Instant::now();
    let second = Duration::from_secs(1);
    let changes = |limits: &mut Limits| {
        limits.resend_timeout = second * 3;
        limits.resend_limit = Some(1);
    };
    socket.reconfigure(changes).unwrap();
    assert_eq!(peer.next().await.unwrap(), first, "the very same");
    let elapsed = changed.elapsed();
    assert!(second * 3 <= elapsed && elapsed < second * 5, "{elapsed:?}");
    receipt.await.unwrap_err();
    assert_eq!(kit.dead_letters()[0].reason, DeadLetterReason::ResendLimit);
}

#[actix::test]
async fn a_peer_above_the_connection_limit_comes_in_when_that_is_raised() {
    let kit = TestKit::new();
    let server = kit.builder().max_connections(1).start().unwrap();
    let first = kit.socket();
    kit.connect(&first, &server).await;
    let (events, mut refusals) = Probe::recipient();
    server.socket_events(events);
    let second = kit.socket();
    let endpoint = server.bind(kit.endpoint()).await.unwrap();
    second.connect(endpoint).await.unwrap();
    let full = |event| matches!(event, SocketEvent::Overloaded { .. }).then_some(());
    refusals.find(full).await.unwrap();
    server
        .reconfigure(|limits: &mut Limits| {
            limits.max_connections = 2;
        })
        .unwrap();
    second.wait_for_peers(1).await.unwrap();
    // Those that are there stay when it is lowered.
    server
        .reconfigure(|limits: &mut Limits| {
            limits.max_connections = 1;
        })
        .unwrap();
    assert_eq!(server.stats().peers, 2);
}

#[actix::test]
async fn a_socket_refuses_changes_that_contradict_each_other_and_those_that_come_too_late() {
    let kit = TestKit::new();
    let socket = kit.socket();
    let refused = socket.reconfigure(|limits| {
        limits.inbox_capacity = Capacity::new(1, 1);
        limits.outbox_overflow = Overflow::Disconnect;
    });
    assert!(matches!(refused, Err(ReconfigureError::Configuration(why)) if why.contains("outbox")));
    assert_eq!(socket.stats().limits.inbox_capacity.messages, 4096);
    socket.close().await;
    let refused = socket.reconfigure(|_: &mut Limits| {});
    assert!(matches!(refused, Err(ReconfigureError::Closed(_))));
}

#[actix::test]
async fn an_error_or_a_panic_of_the_closure_changes_nothing() {
    let socket = Socket::builder().start().unwrap();
    let before = socket.stats().limits;
    let declined = socket.reconfigure(|limits| {
        limits.max_handshakes = 1;
        Err("the file names no such limit")
    });
    let Err(ReconfigureError::Declined(reason)) = declined else {
        panic!("{declined:?}");
    };
    assert_eq!(reason, "the file names no such limit");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        socket.reconfigure(|limits| {
            limits.max_handshakes = 1;
            assert!(limits.max_handshakes > 1, "in the middle of a change");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(socket.stats().limits, before);
    socket
        .reconfigure(|limits| limits.max_handshakes = 2)
        .unwrap();
    assert_eq!(socket.stats().limits.max_handshakes, 2);
}

#[actix::test]
async fn changes_of_several_threads_at_a_time_are_all_made() {
    let socket = Socket::builder().start().unwrap();
    let before = socket.stats().limits.max_handshakes;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    socket
                        .reconfigure(|limits| limits.max_handshakes += 1)
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(socket.stats().limits.max_handshakes, before + 400);
}
