//! Senders with an outbox that are killed under load. In full with `just soak`.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use support::actors::collect;
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

/// The numbers that a child has said to be committed, up to the end of its output.
async fn committed(sender: &mut Process, into: &mut BTreeSet<u64>) {
    for line in sender.stderr.rest().await {
        assert!(!line.contains("panicked"), "{line}");
        // A line that the kill has cut says nothing.
        let number = line
            .strip_prefix("committed ")
            .and_then(|rest| rest.strip_suffix('.'));
        if let Some(number) = number {
            into.insert(number.parse().unwrap());
        }
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
