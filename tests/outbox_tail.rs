//! More waits in an outbox than memory is to hold: it is in the store alone, comes in order, and keeps its receipt and its time.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_aiomsg::error::{SendError, StoreError};
use actix_aiomsg::event::DeadLetterReason;
use actix_aiomsg::outbox::{Change, Durability, Outbox, OutboxStore, Table};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::actors::{Collected, collect};
use support::folder::Scratch;
use support::{eventually, memory, scale, within_patience};
use tokio::sync::Mutex;

const MIB: u64 = 1024 * 1024;

/// Bytes of a payload: in memory, some 1,860 messages are 8 MiB.
const BYTES: usize = 4000;

/// What one test takes of memory is no figure of another one.
static ALONE: Mutex<()> = Mutex::const_new(());

fn text(number: u64) -> String {
    format!("{number:0>BYTES$}")
}

fn over(scratch: &Scratch) -> SocketBuilder {
    let outbox = Outbox::new(scratch.path()).capacity(2_000_000, usize::MAX / 2);
    let outbox = outbox.check_at_start(false);
    Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox_with(outbox.durability(Durability::Eventually))
}

/// Sends these, and waits now and then until they are committed.
async fn fill(socket: &Socket, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let sending = socket.send(text(number));
        match number % 250 {
            249 => sending.durability(Durability::Commit).await,
            _ => sending.await,
        }
        .unwrap();
    }
}

async fn receiver() -> (Socket, Collected, Endpoint) {
    let socket = Socket::start().unwrap();
    let collected = collect(&socket);
    let endpoint = socket.bind("tcp://127.0.0.1:0").await.unwrap();
    (socket, collected, endpoint)
}

fn resident() -> u64 {
    memory::resident(std::process::id())
}

#[actix::test]
async fn memory_does_not_grow_with_what_waits_and_all_of_it_arrives_in_order_over_a_restart() {
    let _alone = ALONE.lock().await;
    let all = match scale::of(20) {
        1 => 5_000,
        part => part * 12_500,
    };
    let scratch = Scratch::new("tail");
    let socket = over(&scratch).start().unwrap();
    fill(&socket, 0..all / 2).await;
    let half = resident();
    fill(&socket, all / 2..all).await;
    let grown = resident().saturating_sub(half);
    assert!(grown < 6 * MIB, "{grown} bytes more");
    let stats = socket.stats();
    assert_eq!(
        (stats.stored_messages, stats.outbox_messages),
        (all as usize, all as usize)
    );
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.stored, report.unacknowledged), (all as usize, 0));

    let (before, begin) = (resident(), Instant::now());
    let socket = over(&scratch).start().unwrap();
    let opened = begin.elapsed();
    let grown_by_start = resident().saturating_sub(before);
    assert!(grown_by_start < 32 * MIB, "{grown_by_start} bytes more");
    assert_eq!(socket.stats().restored_messages, all as usize);
    let (receiver, mut collected, endpoint) = receiver().await;
    fill(&socket, all..all + 10).await;
    socket.connect(endpoint).await.unwrap();
    let begin = Instant::now();
    for number in 0..all + 10 {
        let (_, payload) = collected.next().await;
        assert!(
            payload == text(number),
            "{number}: {}",
            payload.trim_start_matches('0')
        );
    }
    println!(
        "{all} waiting: the second half took {} KiB of memory, a start {} KiB in {opened:.1?}, delivered in {:.1?}",
        grown / 1024,
        grown_by_start / 1024,
        begin.elapsed()
    );
    eventually("all to be acknowledged", || {
        socket.stats().stored_messages == 0
    })
    .await;
    assert_eq!(receiver.stats().duplicates, 0);
    // What is sent now goes as ever.
    socket.send("the last").await.unwrap();
    assert_eq!(collected.next().await.1, "the last");
    let report = within_patience("the end", socket.close()).await;
    assert_eq!((report.stored, report.unacknowledged), (0, 0));
}

#[actix::test]
async fn what_waits_in_the_store_alone_has_its_receipt_and_its_time() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new("tail");
    let (recipient, mut dead) = Probe::<DeadLetter>::recipient();
    let socket = over(&scratch).on_dead_letter(recipient).start().unwrap();
    fill(&socket, 0..2500).await;
    let mut mortal = Vec::new();
    for ttl in [Duration::from_millis(20), Duration::from_secs(3600)] {
        let sending = socket.send(format!("{ttl:?}")).time_to_live(ttl);
        mortal.push(sending.receipt().await.unwrap());
    }
    let receipt = socket.send("with a receipt").receipt().await.unwrap();
    let letter = dead.next().await.unwrap();
    assert_eq!(
        (&letter.payload[..], letter.reason),
        (&b"20ms"[..], DeadLetterReason::Expired)
    );
    eventually("it to leave the store", || {
        socket.stats().stored_messages == 2502
    })
    .await;
    let (_receiver, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    for number in 0..2500 {
        assert_eq!(
            collected.next().await.1.trim_start_matches('0'),
            match number {
                0 => String::new(),
                _ => number.to_string(),
            }
        );
    }
    assert_eq!(collected.payloads(2).await, ["3600s", "with a receipt"]);
    within_patience("the receipt", receipt).await.unwrap();
    let (late, expired) = (mortal.pop().unwrap(), mortal.pop().unwrap());
    within_patience("its receipt", late).await.unwrap();
    within_patience("its end", expired).await.unwrap_err();
    eventually("all to be acknowledged", || {
        socket.stats().stored_messages == 0
    })
    .await;
}

#[actix::test]
async fn what_is_at_most_once_or_by_identity_does_not_wait_for_what_is_in_the_store_alone() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new("past");
    let socket = over(&scratch).start().unwrap();
    fill(&socket, 0..2500).await;
    let (receiver, mut collected, endpoint) = receiver().await;
    let once = socket.send("at most once");
    once.guarantee(DeliveryGuarantee::AtMostOnce).await.unwrap();
    let by_identity = socket.send_to(receiver.identity(), "by identity");
    by_identity.await.unwrap();
    socket.connect(endpoint).await.unwrap();
    let all = collected.payloads(2502).await;
    let place = |text: &str| all.iter().position(|other| other == text).unwrap();
    let last = place(&text(2499));
    assert_eq!(last, 2501, "the others have overtaken it");
    assert!(
        place("at most once") > place(&text(0)),
        "but not those in memory"
    );
    assert!(place("by identity") < last);
}

#[actix::test]
async fn what_waits_in_the_store_alone_stays_when_the_socket_closes_and_its_receipt_ends() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new("tail");
    let socket = over(&scratch).start().unwrap();
    fill(&socket, 0..2500).await;
    let receipt = socket.send("with a receipt").receipt().await.unwrap();
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!((report.stored, report.unsent), (2501, 0));
    within_patience("its end", receipt).await.unwrap_err();
    let socket = over(&scratch).start().unwrap();
    assert_eq!(socket.stats().restored_messages, 2501);
    let pending = socket.pending(10_000).await.unwrap();
    assert_eq!(pending.last().unwrap().payload, "with a receipt");
}

#[actix::test]
async fn what_stands_behind_a_message_that_is_long_unacknowledged_goes_to_who_has_room() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new("behind");
    let socket = over(&scratch).start().unwrap();
    let slow = Socket::start().unwrap();
    let endpoint = slow.bind("tcp://127.0.0.1:0").await.unwrap();
    socket.connect(endpoint).await.unwrap();
    // More than all that is to be in memory; its receiver has it for long.
    let large = "x".repeat(9 * 1024 * 1024);
    socket.send(large).await.unwrap();
    let _held = within_patience("the large one", slow.recv()).await.unwrap();
    let (_quick, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    within_patience("both peers", socket.wait_for_peers(2))
        .await
        .unwrap();
    for round in 0..3 {
        // One of two is for the other, unless that has no room for it.
        for _ in 0..2 {
            socket.send(round.to_string()).await.unwrap();
        }
        while collected.next().await.1 != round.to_string() {}
    }
}

/// A store whose content can be damaged while it is in use.
#[derive(Clone, Default)]
struct Shelf(Arc<std::sync::Mutex<Entries>>);

type Entries = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

impl Shelf {
    /// Changes the last byte of the only record that ends with this text, and its checksum.
    fn damage(&self, text: &str) {
        let mut entries = self.0.lock().unwrap();
        let is_it = |value: &[u8]| {
            let (content, _) = value.split_last_chunk::<4>().unwrap();
            content.ends_with(text.as_bytes())
        };
        let records = entries
            .iter_mut()
            .filter(|((table, _), value)| *table == Table::Messages && is_it(value));
        let [(_, record)] = records.collect::<Vec<_>>().try_into().unwrap();
        let sum = record.len() - 5;
        record[sum] ^= 1;
    }
}

impl OutboxStore for Shelf {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut entries = self.0.lock().unwrap();
        for change in changes {
            match *change {
                Change::Put { table, key, value } => {
                    entries.insert((table, key.to_vec()), value.to_vec());
                }
                Change::Remove { table, key } => {
                    entries.remove(&(table, key.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let entries = self.0.lock().unwrap();
        let mut here = entries
            .range((table, from.to_vec())..)
            .take_while(|((name, _), _)| *name == table);
        let _ = here.try_for_each(|((_, key), value)| visit(key, value));
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[actix::test]
async fn a_record_that_is_damaged_while_it_waits_counts_no_longer_when_its_turn_has_come() {
    let _alone = ALONE.lock().await;
    let shelf = Shelf::default();
    let outbox = Outbox::with_store("a shelf", shelf.clone());
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox_with(outbox.durability(Durability::Eventually))
        .start()
        .unwrap();
    fill(&socket, 0..2500).await;
    let send = |text: &str| {
        socket
            .send(text.to_owned())
            .durability(Durability::Commit)
            .receipt()
    };
    let receipt = send("in memory").await.unwrap();
    socket
        .send("forgotten")
        .durability(Durability::Commit)
        .await
        .unwrap();
    drop(send("whole").await.unwrap());
    shelf.damage("in memory");
    shelf.damage("forgotten");
    let (_receiver, mut collected, endpoint) = receiver().await;
    socket.connect(endpoint).await.unwrap();
    collected.payloads(2500).await;
    // What somebody waits for is in memory as well, and needs no record.
    assert_eq!(collected.payloads(2).await, ["in memory", "whole"]);
    within_patience("the receipt", receipt).await.unwrap();
    eventually("nothing to be left", || {
        let stats = socket.stats();
        (stats.stored_messages, stats.stored_bytes) == (0, 0)
    })
    .await;
    assert_eq!(socket.stats().damaged_records, 2);
    socket.send("the last").await.unwrap();
    assert_eq!(collected.payloads(1).await, ["the last"]);
}

#[actix::test]
async fn what_an_outbox_has_in_memory_is_within_its_bound_and_some_hundred_bytes_for_each() {
    let _alone = ALONE.lock().await;
    const MESSAGES: usize = 20_000;
    const PAYLOAD: usize = 100;
    let scratch = Scratch::new("tail");
    let outbox = Outbox::new(scratch.path()).capacity(MESSAGES, usize::MAX / 2);
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox_with(outbox.overflow(Overflow::Fail))
        .start()
        .unwrap();
    let absent = Identity::from_name("absent");
    let hour = Duration::from_secs(3600);
    let by_identity = || socket.send_to(absent, vec![1; PAYLOAD]);
    let mortal = || socket.send(vec![1; PAYLOAD]).time_to_live(hour);
    let store = async |count: usize| {
        for number in 0..count {
            // Neither kind is in the store alone, whatever its number.
            let sending = match number % 2 {
                0 => by_identity(),
                _ => mortal(),
            };
            match number % 250 {
                249 => sending.await,
                _ => sending.durability(Durability::Eventually).await,
            }
            .unwrap();
        }
    };
    store(MESSAGES / 4).await;
    let before = resident();
    store(MESSAGES / 4 * 3).await;
    let each = resident().saturating_sub(before) / (MESSAGES as u64 / 4 * 3);
    println!("{each} bytes of memory for each message of {PAYLOAD} bytes");
    assert!(each < 1024, "{each}");
    for refused in [by_identity(), mortal()] {
        assert!(matches!(refused.await, Err(SendError::Full(_))));
    }
    assert_eq!(socket.stats().stored_messages, MESSAGES);
    socket.close_within(Duration::ZERO).await;
}
