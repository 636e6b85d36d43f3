//! An outbox that outlives its socket, as users meet it.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use actix_aiomsg::Identity;
use actix_aiomsg::error::{OutboxError, SendError, StartError};
use actix_aiomsg::event::{DeadLetter, DeadLetterReason};
use actix_aiomsg::outbox::{DeadLetterBounds, Durability, LetterFilter, Outbox};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use bytes::Bytes;
use support::actors::{Collected, collect};
use support::folder::Scratch;
use support::raw_peer::RawPeer;
use support::{aside, eventually, within_patience};

fn outbox(scratch: &Scratch) -> Outbox {
    Outbox::new(scratch.path())
}

fn at_least_once() -> SocketBuilder {
    Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
}

/// A socket that receives, and its endpoint.
async fn receiver() -> (Socket, Collected, Endpoint) {
    let socket = Socket::start().unwrap();
    let collected = collect(&socket);
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    (socket, collected, endpoint)
}

async fn texts(collected: &mut Collected, count: usize) -> Vec<String> {
    collected.payloads(count).await
}

#[actix::test]
async fn a_given_id_stays_with_its_message_in_the_store() {
    let scratch = Scratch::new("outbox");
    let id = MessageId::from_bytes([5; 16]);
    let first = at_least_once().outbox(scratch.path()).start().unwrap();
    first.send("one").id(id).await.unwrap();
    first.close_within(Duration::ZERO).await;
    let second = at_least_once().outbox(scratch.path()).start().unwrap();
    let pending = second.pending(10).await.unwrap();
    assert_eq!(
        pending.iter().map(|message| message.id).collect::<Vec<_>>(),
        [id]
    );
    let receiver = Socket::start().unwrap();
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    second.connect(endpoint).await.unwrap();
    let message = within_patience("a message", receiver.recv()).await.unwrap();
    assert_eq!(message.origin(), Some((second.identity(), id)));
}

#[actix::test]
async fn what_is_not_acknowledged_when_a_socket_closes_is_sent_by_the_next_in_order_and_before_new_messages()
 {
    let scratch = Scratch::new("outbox");
    let first = at_least_once().outbox(scratch.path()).start().unwrap();
    let identity = first.identity();
    for text in ["one", "two", "three"] {
        first.send(text).await.unwrap();
    }
    assert_eq!(first.stats().stored_messages, 3);
    let report = first.close_within(Duration::ZERO).await;
    assert_eq!(
        (report.stored, report.unsent, report.unacknowledged),
        (3, 0, 0)
    );
    assert_eq!(first.stats().dead_letters, 0);

    let second = at_least_once()
        .outbox_with(outbox(&scratch))
        .start()
        .unwrap();
    assert_eq!(second.identity(), identity);
    assert_eq!(second.stats().restored_messages, 3);
    second.send("four").await.unwrap();
    let (_receiver, mut collected, endpoint) = receiver().await;
    second.connect(endpoint).await.unwrap();
    assert_eq!(
        texts(&mut collected, 4).await,
        ["one", "two", "three", "four"]
    );
    eventually("all to leave the store", || {
        second.stats().stored_messages == 0
    })
    .await;
    second.close().await;

    let third = at_least_once().outbox(scratch.path()).start().unwrap();
    assert_eq!(
        third.stats().restored_messages,
        0,
        "what is acknowledged is gone from disk"
    );
    third.close().await;
}

#[actix::test]
async fn messages_by_identity_wait_for_their_peer_over_a_restart() {
    let scratch = Scratch::new("outbox");
    let peer = Identity::from_name("warehouse");
    let first = at_least_once().outbox(scratch.path()).start().unwrap();
    for text in ["one", "two"] {
        first.send_to(peer, text).await.unwrap();
    }
    first.close_within(Duration::ZERO).await;

    let second = at_least_once().outbox(scratch.path()).start().unwrap();
    let (_other, mut others, endpoint) = receiver().await;
    second.connect(endpoint).await.unwrap();
    second.wait_for_peers(1).await.unwrap();
    // Whoever is connected, a peer that nobody has seen is waited for.
    second.send_to(peer, "three").await.unwrap();
    let warehouse = Socket::builder().identity(peer).start().unwrap();
    let mut collected = collect(&warehouse);
    let endpoint = warehouse.bind("tcp://127.0.0.1:0").await.unwrap();
    second.connect(endpoint).await.unwrap();
    assert_eq!(texts(&mut collected, 3).await, ["one", "two", "three"]);
    eventually("all to leave the store", || {
        second.stats().stored_messages == 0
    })
    .await;
    assert!(others.try_next().is_none());
    second.close().await;
}

/// The next dead letter.
async fn dead_letter(heard: &mut Probe<DeadLetter>) -> (String, DeadLetterReason) {
    let letter = heard.next().await.unwrap();
    (
        String::from_utf8_lossy(&letter.payload).into_owned(),
        letter.reason,
    )
}

#[actix::test]
async fn a_peer_that_does_not_come_within_its_time_is_given_up_and_its_messages_leave_the_store() {
    let scratch = Scratch::new("outbox");
    let (recipient, mut heard) = Probe::recipient();
    let outbox = outbox(&scratch).absent(Duration::from_millis(200));
    let socket = at_least_once()
        .outbox_with(outbox)
        .on_dead_letter(recipient)
        .start()
        .unwrap();
    socket
        .send_to(Identity::from_name("nobody"), "lost")
        .await
        .unwrap();
    assert_eq!(
        dead_letter(&mut heard).await,
        ("lost".to_owned(), DeadLetterReason::PeerGone)
    );
    assert_eq!(socket.stats().stored_messages, 0);
    socket.close().await;
    let next = at_least_once().outbox(scratch.path()).start().unwrap();
    assert_eq!(next.stats().restored_messages, 0);
    next.close().await;
}

#[actix::test]
async fn a_time_to_live_goes_on_while_nobody_runs() {
    let scratch = Scratch::new("outbox");
    let socket = at_least_once().outbox(scratch.path()).start().unwrap();
    socket
        .send("old")
        .time_to_live(Duration::from_secs(1))
        .await
        .unwrap();
    socket
        .send("new")
        .time_to_live(Duration::from_secs(3600))
        .await
        .unwrap();
    socket.close_within(Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (recipient, mut heard) = Probe::recipient();
    let next = at_least_once()
        .outbox(scratch.path())
        .on_dead_letter(recipient)
        .start()
        .unwrap();
    assert_eq!(
        dead_letter(&mut heard).await,
        ("old".to_owned(), DeadLetterReason::Expired)
    );
    let (_receiver, mut collected, endpoint) = receiver().await;
    next.connect(endpoint).await.unwrap();
    assert_eq!(texts(&mut collected, 1).await, ["new"]);
    next.close().await;
}

#[actix::test]
async fn a_full_outbox_does_what_its_policy_says() {
    let scratch = Scratch::new("outbox");
    let small = |policy| outbox(&scratch).capacity(2, 1024 * 1024).overflow(policy);
    let socket = at_least_once()
        .outbox_with(small(Overflow::Fail))
        .start()
        .unwrap();
    for text in ["one", "two"] {
        socket.send(text).await.unwrap();
    }
    let refusal = socket.send("three").await.unwrap_err();
    assert_eq!(refusal, SendError::Full("three".into()));
    assert_eq!(
        socket.try_send("three").unwrap_err(),
        SendError::Full("three".into())
    );
    socket.close_within(Duration::ZERO).await;

    let patience = Overflow::WaitFor(Duration::from_millis(20));
    let socket = at_least_once()
        .outbox_with(small(patience))
        .start()
        .unwrap();
    assert_eq!(
        socket.send("three").await.unwrap_err(),
        SendError::Full("three".into())
    );
    socket.close_within(Duration::ZERO).await;

    let socket = at_least_once()
        .outbox_with(small(Overflow::Wait))
        .start()
        .unwrap();
    let waiting = socket.clone();
    let waiting = actix::spawn(async move { waiting.send("three").await });
    let (_receiver, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    assert_eq!(texts(&mut collected, 3).await, ["one", "two", "three"]);
    within_patience("the message that waited", waiting)
        .await
        .unwrap()
        .unwrap();
    socket.close().await;

    let refusal = at_least_once()
        .outbox_with(small(Overflow::DropOldest))
        .start()
        .unwrap_err();
    assert!(
        refusal.to_string().contains("an outbox is to lose nothing"),
        "{refusal}"
    );
}

#[actix::test]
async fn an_outbox_that_cannot_be_had_is_an_error_that_says_what_to_do() {
    let scratch = Scratch::new("outbox");
    let publisher = Socket::builder()
        .send_mode(SendMode::Publish)
        .outbox(scratch.path());
    let refusal = publisher.start().unwrap_err();
    assert!(
        refusal.to_string().contains("a socket that publishes"),
        "{refusal}"
    );
    assert!(!scratch.path().exists());

    let socket = at_least_once().outbox(scratch.path()).start().unwrap();
    let refusal = at_least_once().outbox(scratch.path()).start().unwrap_err();
    assert!(
        matches!(refusal, StartError::Outbox(OutboxError::Locked { .. })),
        "{refusal}"
    );
    assert!(
        refusal.to_string().contains("end the other one"),
        "{refusal}"
    );
    let identity = socket.identity();
    socket.close().await;

    let other = Identity::from_name("other");
    let refusal = at_least_once()
        .identity(other)
        .outbox(scratch.path())
        .start()
        .unwrap_err();
    assert!(
        matches!(
            refusal,
            StartError::Outbox(OutboxError::OtherIdentity { .. })
        ),
        "{refusal}"
    );
    let same = at_least_once()
        .identity(identity)
        .outbox(scratch.path())
        .start()
        .unwrap();
    same.close().await;

    std::fs::write(scratch.path(), "a letter").unwrap();
    let refusal = at_least_once().outbox(scratch.path()).start().unwrap_err();
    assert!(
        refusal.to_string().contains("choose another path"),
        "{refusal}"
    );
    assert_eq!(std::fs::read(scratch.path()).unwrap(), b"a letter");
}

#[actix::test]
async fn only_messages_at_least_once_are_stored() {
    let scratch = Scratch::new("outbox");
    let socket = Socket::builder().outbox(scratch.path()).start().unwrap();
    socket.send("at most once").await.unwrap();
    assert_eq!(socket.stats().stored_messages, 0);
    socket
        .send("kept")
        .guarantee(DeliveryGuarantee::AtLeastOnce)
        .await
        .unwrap();
    assert_eq!(socket.stats().stored_messages, 1);
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.stored, report.unsent), (1, 1));
}

#[actix::test]
async fn what_need_not_be_committed_at_once_is_committed_when_the_socket_closes() {
    let scratch = Scratch::new("outbox");
    let outbox = outbox(&scratch).durability(Durability::Eventually);
    let socket = at_least_once().outbox_with(outbox).start().unwrap();
    for number in 0..100 {
        socket.send(number.to_string()).await.unwrap();
    }
    socket.try_send("tried").unwrap();
    socket
        .send("last")
        .durability(Durability::Commit)
        .await
        .unwrap();
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!(report.stored, 102);
    let next = at_least_once().outbox(scratch.path()).start().unwrap();
    assert_eq!(next.stats().restored_messages, 102);
    let (_receiver, mut collected, endpoint) = receiver().await;
    next.connect(endpoint).await.unwrap();
    let mut expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    expected.extend(["tried".to_owned(), "last".to_owned()]);
    assert_eq!(texts(&mut collected, 102).await, expected);
    next.close().await;
}

#[actix::test]
async fn a_receipt_of_a_stored_message_resolves_by_its_acknowledgement_and_ends_with_the_socket() {
    let scratch = Scratch::new("outbox");
    let socket = at_least_once().outbox(scratch.path()).start().unwrap();
    let early = socket.send("early").receipt().await.unwrap();
    let (receiving, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    within_patience("a receipt", early).await.unwrap();
    socket.send("acknowledged").acknowledged().await.unwrap();
    assert_eq!(socket.stats().stored_messages, 0);
    assert_eq!(texts(&mut collected, 2).await, ["early", "acknowledged"]);
    receiving.close().await;
    let late = socket.send("late").receipt().await.unwrap();
    socket.close_within(Duration::ZERO).await;
    let outcome = within_patience("a receipt", late).await;
    assert_eq!(outcome, Err(ReceiptError::Closed));
}

#[actix::test]
async fn a_burst_to_a_slow_peer_waits_in_the_outbox_and_arrives_in_order() {
    let scratch = Scratch::new("outbox");
    let socket = at_least_once()
        .link_capacity(16, 4096)
        .unacknowledged_capacity(16, 4096)
        .outbox_with(outbox(&scratch).durability(Durability::Eventually))
        .start()
        .unwrap();
    let (_receiver, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    socket.wait_for_peers(1).await.unwrap();
    for number in 0..1000 {
        socket.send(number.to_string()).await.unwrap();
    }
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(texts(&mut collected, 1000).await, expected);
    eventually("all to leave the store", || {
        socket.stats().stored_messages == 0
    })
    .await;
    socket.close().await;
}

#[actix::test]
async fn what_is_pending_is_listed_in_the_order_of_the_commits_until_it_is_acknowledged() {
    let scratch = Scratch::new("outbox");
    let socket = at_least_once().outbox(scratch.path()).start().unwrap();
    let peer = Identity::from_name("warehouse");
    socket.send("one").await.unwrap();
    socket.send_to(peer, "two").await.unwrap();
    let expires = Duration::from_secs(3600);
    socket.send("three").time_to_live(expires).await.unwrap();
    let pending = socket.pending(10).await.unwrap();
    let shown = |pending: &[actix_aiomsg::outbox::PendingMessage]| -> Vec<_> {
        let shown = pending.iter().map(|message| {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            (text, message.peer, message.expires.is_some())
        });
        shown.collect()
    };
    let all = [
        ("one".to_owned(), None, false),
        ("two".to_owned(), Some(peer), false),
        ("three".to_owned(), None, true),
    ];
    assert_eq!(shown(&pending), all);
    assert_eq!(shown(&socket.pending(2).await.unwrap()), all[..2]);
    let (_receiver, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    assert_eq!(texts(&mut collected, 2).await, ["one", "three"]);
    eventually("all but one to leave the store", || {
        socket.stats().stored_messages == 1
    })
    .await;
    assert_eq!(shown(&socket.pending(10).await.unwrap()), all[1..2]);
    socket.close_within(Duration::ZERO).await;
    socket.pending(10).await.unwrap_err();
    let without = Socket::start().unwrap();
    assert_eq!(without.pending(10).await.unwrap(), []);
}

#[actix::test]
async fn a_link_that_drops_what_is_oldest_drops_nothing_that_is_stored() {
    let scratch = Scratch::new("outbox");
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let socket = Socket::builder()
        .link_capacity(8, 1024 * 1024)
        .link_overflow(Overflow::DropOldest)
        .outbox(scratch.path())
        .on_dead_letter(recipient)
        .start()
        .unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], endpoint.port().unwrap()).into();
    // It reads nothing.
    let _peer = aside(move || RawPeer::introduced(address, [7; 16])).await;
    within_patience("the peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    let peer = Identity::from_bytes([7; 16]);
    let large = Bytes::from(vec![b'l'; 64 * 1024]);
    let flood = async |count| {
        for _ in 0..count {
            socket.send_to(peer, large.clone()).await.unwrap();
        }
    };
    // More than the buffers of a connection take.
    flood(400).await;
    for _ in 0..3 {
        let stored = socket.send_to(peer, "stored");
        stored
            .guarantee(DeliveryGuarantee::AtLeastOnce)
            .await
            .unwrap();
    }
    flood(20).await;
    let stats = socket.stats();
    assert_eq!(stats.stored_messages, 3);
    assert!(stats.losses.overflow >= 20);
    for _ in 0..stats.losses.overflow {
        let letter = dead.next().await.unwrap();
        assert_eq!(letter.reason, DeadLetterReason::Overflow);
        assert!(letter.payload == large, "{:?}", letter.payload);
    }
}

#[actix::test]
async fn what_was_to_be_sent_has_its_metadata_when_it_is_redriven() {
    let scratch = Scratch::new("outbox");
    let socket = at_least_once()
        .outbox_with(outbox(&scratch).absent(Duration::ZERO))
        .dead_letter_queue(DeadLetterBounds::new())
        .start()
        .unwrap();
    let peer = Identity::from_name("stock");
    let sending = socket.send_to(peer, "ten apples").header("tenant", "a");
    sending.await.unwrap();
    eventually("it to be a letter", || socket.stats().kept_letters == 1).await;
    let receiver = Socket::builder()
        .identity(peer)
        .read_metadata(true)
        .start()
        .unwrap();
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    socket.connect(endpoint).await.unwrap();
    within_patience("the peer", socket.wait_for_peers(1))
        .await
        .unwrap();
    let redriven = socket.dead_letter_queue().redrive(LetterFilter::all());
    assert_eq!(redriven.await.unwrap().sent, 1);
    let message = within_patience("a message", receiver.recv()).await.unwrap();
    assert_eq!(message.header("tenant"), Some("a"));
}

#[actix::test]
async fn a_peer_for_whom_stored_messages_wait_is_known_no_longer_than_any_other() {
    let scratch = Scratch::new("outbox");
    let socket = Socket::builder()
        .outbox(scratch.path())
        .absence_grace(Duration::from_millis(100))
        .start()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    let (stays, goes) = (Socket::start().unwrap(), Socket::start().unwrap());
    for peer in [&stays, &goes] {
        peer.connect(endpoint.clone()).await.unwrap();
    }
    socket.wait_for_peers(2).await.unwrap();
    let gone = goes.identity();
    goes.close().await;
    eventually("it to be gone", || socket.stats().peers == 1).await;
    let stored = socket.send_to(gone, "stored");
    stored
        .guarantee(DeliveryGuarantee::AtLeastOnce)
        .await
        .unwrap();
    eventually("it to be known no more", || {
        let refused = socket.try_send_to(gone, "at most once");
        matches!(refused, Err(SendError::UnknownPeer { .. }))
    })
    .await;
    assert_eq!(socket.pending(10).await.unwrap().len(), 1);
}
