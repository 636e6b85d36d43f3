//! Senders with an outbox that are killed under load. In full with `just soak`.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use actix_aiomsg::outbox::{Durability, Outbox};
use actix_aiomsg::prelude::*;
use support::actors::{Collected, collect};
use support::folder::Folder;
use support::process::Process;
use support::{again, eventually, scale};

/// Sends numbers and says which are committed, until it is killed, or told to stop: then it stays until all are
/// acknowledged.
async fn play_sender() {
    let orders = again::order().await.expect("what to do");
    let mut orders = orders.split(' ');
    let mut next = || orders.next().expect("a word");
    let (path, port, first) = (
        next().to_owned(),
        next().to_owned(),
        next().parse::<u64>().unwrap(),
    );
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(300))
        .outbox(path)
        .start()
        .unwrap();
    eprintln!("started {}", socket.stats().restored_messages);
    socket
        .connect(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    let senders = 8;
    let tasks: Vec<_> = (0..senders)
        .map(|task| {
            let socket = socket.clone();
            actix::spawn(async move {
                for number in (first + task..).step_by(senders as usize) {
                    if socket.send(number.to_string()).await.is_ok() {
                        eprintln!("committed {number}.");
                    }
                }
            })
        })
        .collect();
    again::order().await;
    tasks.iter().for_each(|task| task.abort());
    eprintln!("stopped");
    eventually("all to be acknowledged", || {
        socket.stats().stored_messages == 0
    })
    .await;
    let report = socket.close().await;
    eprintln!("closed {}", report.stored);
}

/// Bytes of a payload, and messages that are more than memory is to hold of them: some 1,860 are.
const BYTES: usize = 4000;
const HOARD: u64 = 2400;

/// Sees to it that a hoard waits in its outbox, says what of it is committed, and connects, until it is killed, or told to stop.
async fn play_hoarder() {
    let orders = again::order().await.expect("what to do");
    let [path, port, first] = orders.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{orders}")
    };
    let first: u64 = first.parse().unwrap();
    let outbox = Outbox::new(path).durability(Durability::Eventually);
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(300))
        .outbox_with(outbox)
        .start()
        .unwrap();
    let lacks = HOARD.saturating_sub(socket.stats().restored_messages as u64);
    for number in first..first + lacks.max(100).next_multiple_of(100) {
        let sending = socket.send(format!("{number:0>BYTES$}"));
        if number % 100 < 99 {
            sending.await.unwrap();
            continue;
        }
        // With it, all before it are.
        sending.durability(Durability::Commit).await.unwrap();
        for number in number - 99..=number {
            eprintln!("committed {number}.");
        }
    }
    eprintln!("hoards {}", socket.stats().stored_bytes);
    let all = socket.stats().stored_messages;
    socket
        .connect(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    eventually("some to be acknowledged", || {
        socket.stats().stored_messages < all
    })
    .await;
    eprintln!("moves");
    again::order().await;
    eventually("all to be acknowledged", || {
        socket.stats().stored_messages == 0
    })
    .await;
    let report = socket.close().await;
    eprintln!("closed {}", report.stored);
}

/// The numbers that a child has said to be committed, up to the end of its output.
async fn committed(sender: &mut Process, into: &mut BTreeSet<u64>) {
    for line in sender.stderr.rest().await {
        note_commit(&line, into);
    }
}

fn note_commit(line: &str, into: &mut BTreeSet<u64>) {
    assert!(!line.contains("panicked"), "{line}");
    // A line that the kill has cut says nothing.
    let number = line
        .strip_prefix("committed ")
        .and_then(|rest| rest.strip_suffix('.'));
    if let Some(number) = number {
        into.insert(number.parse().unwrap());
    }
}

#[actix::test]
async fn whenever_a_sender_is_killed_nothing_that_was_committed_is_lost() {
    const TEST: &str = "whenever_a_sender_is_killed_nothing_that_was_committed_is_lost";
    if again::part().is_some() {
        return play_sender().await;
    }
    let folder = Folder::new("killed");
    let path = folder.file("outbox");
    let receiver = Socket::builder()
        .inbox_capacity(64, 64 * 1024)
        .start()
        .unwrap();
    let mut arrivals = collect(&receiver);
    let port = receiver.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let orders = |first: u64| format!("{} {port} {first}", path.display());

    let (mut promised, mut arrived, mut deliveries) = (BTreeSet::new(), BTreeSet::new(), 0u64);
    let kills = scale::of(200);
    for round in 0..kills {
        let mut sender = again::start(TEST, "sender");
        sender.say(&orders(round * 1_000_000));
        // A quarter of them while the outbox is being opened, the others at any moment of the load.
        if round % 4 != 3 {
            sender
                .stderr
                .find(|line| line.starts_with("committed"))
                .await;
        }
        let [random, ..] = *MessageId::random().as_bytes();
        let pause = Duration::from_micros(u64::from(random) * 1000);
        tokio::time::sleep(pause).await;
        sender.kill();
        committed(&mut sender, &mut promised).await;
        while let Some((_, number)) = arrivals.try_next() {
            deliveries += 1;
            arrived.insert(number.parse::<u64>().unwrap());
        }
    }
    let mut last = again::start(TEST, "sender");
    last.say(&orders(kills * 1_000_000));
    last.stderr.find(|line| line.starts_with("committed")).await;
    last.say("stop");
    last.stderr.find(|line| line == "closed 0").await;
    committed(&mut last, &mut promised).await;
    while let Some((_, number)) = arrivals.try_next() {
        deliveries += 1;
        arrived.insert(number.parse::<u64>().unwrap());
    }
    let lost: Vec<_> = promised.difference(&arrived).collect();
    println!(
        "{kills} kills: {} committed, {} arrived in {deliveries} deliveries, {} lost",
        promised.len(),
        arrived.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
}

#[actix::test]
async fn whenever_a_sender_is_killed_nothing_is_lost_that_was_in_the_store_alone() {
    const TEST: &str = "whenever_a_sender_is_killed_nothing_is_lost_that_was_in_the_store_alone";
    if again::part().is_some() {
        return play_hoarder().await;
    }
    let folder = Folder::new("killed");
    let path = folder.file("outbox");
    let receiver = Socket::builder()
        .inbox_capacity(64, 256 * 1024)
        .start()
        .unwrap();
    let mut arrivals = collect(&receiver);
    let port = receiver.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let start = |round: u64| {
        let mut sender = again::start(TEST, "hoarder");
        sender.say(&format!("{} {port} {}", path.display(), round * 1_000_000));
        sender
    };
    let (mut promised, mut arrived) = (BTreeSet::new(), Arrived::default());
    let kills = scale::of(100);
    for round in 0..kills {
        let mut sender = start(round);
        // A quarter of them while the outbox is opened and filled, the others while what is in it goes its way and comes into memory.
        if round % 4 != 3 {
            let told = hoards(&mut sender, &mut promised).await;
            assert!(told > 9 * 1024 * 1024, "{told}");
            sender.stderr.find(|line| line == "moves").await;
        }
        let [random, ..] = *MessageId::random().as_bytes();
        tokio::time::sleep(Duration::from_millis(u64::from(random) * 4)).await;
        sender.kill();
        committed(&mut sender, &mut promised).await;
        arrived.take(&mut arrivals);
    }
    let mut last = start(kills);
    hoards(&mut last, &mut promised).await;
    last.say("stop");
    last.stderr.find(|line| line == "closed 0").await;
    arrived.take(&mut arrivals);
    let lost: Vec<_> = promised.difference(&arrived.numbers).collect();
    println!(
        "{kills} kills: {} committed, {} arrived in {} deliveries, {} lost",
        promised.len(),
        arrived.numbers.len(),
        arrived.deliveries,
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
}

/// Reads what a child says to be committed until it says how much waits: the bytes of that.
async fn hoards(sender: &mut Process, into: &mut BTreeSet<u64>) -> u64 {
    loop {
        let line = sender.stderr.find(|_| true).await;
        note_commit(&line, into);
        if let Some(bytes) = line.strip_prefix("hoards ") {
            return bytes.parse().unwrap();
        }
    }
}

/// Messages as they have come.
#[derive(Default)]
struct Arrived {
    numbers: BTreeSet<u64>,
    deliveries: u64,
}

impl Arrived {
    /// Takes what has come so far. What comes for the first time stands behind all that has come before.
    fn take(&mut self, arrivals: &mut Collected) {
        while let Some((_, number)) = arrivals.try_next() {
            let number = number.parse().unwrap();
            self.deliveries += 1;
            let last = self.numbers.last().copied();
            assert!(
                !self.numbers.insert(number) || last < Some(number),
                "{number} behind {last:?}"
            );
        }
    }
}
