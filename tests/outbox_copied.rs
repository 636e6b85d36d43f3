//! A copy of an outbox that is started beside its original: noticed, said, and nothing lost. And a disk that is full for a while.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use actix_aiomsg::error::SendError;
use actix_aiomsg::outbox::Outbox;
use actix_aiomsg::prelude::*;
use support::actors::collect;
use support::folder::Folder;
use support::heard::ear;
use support::process::Process;
use support::{again, eventually};

/// Sends what it is told, from an outbox, until it is told nothing more.
async fn play_machine() {
    let orders = again::order().await.expect("what to do");
    let words: Vec<&str> = orders.split(' ').collect();
    let [path, port, adopted] = words[..] else {
        panic!("{orders}")
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let outbox = Outbox::new(path);
    let outbox = match adopted {
        "keep" => outbox,
        name => outbox.adopt(Identity::from_name(name)),
    };
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .resend_timeout(Duration::from_millis(300))
        .heartbeat_interval(Duration::from_millis(100))
        .heartbeat_timeout(Duration::from_millis(400))
        .outbox_with(outbox)
        .start()
        .unwrap();
    eprintln!(
        "started {} {}",
        socket.identity(),
        socket.stats().restored_messages
    );
    let (recipient, mut events) = ear();
    socket.socket_events(recipient);
    actix::spawn(async move {
        loop {
            if let SocketEvent::OutboxCopied { refused_for, .. } = events.next().await {
                eprintln!("event {}", refused_for > Duration::from_millis(400));
            }
        }
    });
    socket
        .connect(format!("tcp://127.0.0.1:{port}"))
        .await
        .unwrap();
    while let Some(order) = again::order().await {
        match order.as_str() {
            "wait" => {
                eventually("all to be acknowledged", || {
                    socket.stats().stored_messages == 0
                })
                .await;
                eprintln!("all acknowledged");
            }
            "count" => eprintln!("stored {}", socket.stats().stored_messages),
            text => {
                socket.send(text.to_owned()).await.unwrap();
                eprintln!("committed {text}");
            }
        }
    }
    socket.close_within(Duration::ZERO).await;
    eprintln!("closed");
}

async fn says(machine: &mut Process, line: &str) {
    machine.stderr.find(|said| said == line).await;
}

#[actix::test]
async fn a_copy_of_an_outbox_beside_its_original_is_noticed_said_and_loses_nothing() {
    const TEST: &str = "a_copy_of_an_outbox_beside_its_original_is_noticed_said_and_loses_nothing";
    if again::part().is_some() {
        return play_machine().await;
    }
    let folder = Folder::new("copied");
    let (original, copy) = (folder.file("original"), folder.file("copy"));
    // Two messages wait when the file is copied.
    {
        let socket = Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox(&original)
            .start()
            .unwrap();
        for text in ["one", "two"] {
            socket.send(text).await.unwrap();
        }
        socket.close_within(Duration::ZERO).await;
    }
    std::fs::copy(&original, &copy).unwrap();

    let receiver = Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .start()
        .unwrap();
    let mut arrivals = collect(&receiver);
    let port = receiver.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let start = |path: &PathBuf, adopted: &str| {
        let mut machine = again::start(TEST, "machine");
        machine.say(&format!("{} {port} {adopted}", path.display()));
        machine
    };
    let mut first = start(&original, "keep");
    assert_eq!(arrivals.payloads(2).await, ["one", "two"]);
    let mut second = start(&copy, "keep");
    second.say("three");
    says(&mut second, "committed three").await;
    // It says so in an event and in its log.
    let warning = second
        .stderr
        .find(|line| line.contains("WARN") && line.contains("copied outbox?"))
        .await;
    assert!(warning.contains("Outbox::adopt"), "{warning}");
    says(&mut second, "event true").await;
    // The original goes on, and the copy has lost nothing and was acknowledged nothing.
    first.say("four");
    says(&mut first, "committed four").await;
    assert_eq!(arrivals.payloads(1).await, ["four"]);
    second.say("count");
    says(&mut second, "stored 3").await;
    second.kill();
    second.stderr.rest().await;

    let mut adopted = start(&copy, "second-machine");
    let identity = Identity::from_name("second-machine");
    says(&mut adopted, &format!("started {identity} 3")).await;
    let mut texts = BTreeSet::new();
    for _ in 0..3 {
        let (peer, text) = arrivals.next().await;
        assert_eq!(peer, identity);
        texts.insert(text);
    }
    let expected = ["one", "two", "three"].map(str::to_owned);
    assert_eq!(texts, BTreeSet::from(expected));
    for machine in [&mut first, &mut adopted] {
        machine.say("wait");
        says(machine, "all acknowledged").await;
        machine.close_stdin();
        says(machine, "closed").await;
    }
    // The second time nothing is new about it.
    let mut again = start(&copy, "second-machine");
    says(&mut again, &format!("started {identity} 0")).await;
    again.kill();
}

/// Fills a small file system, is told, and goes on once there is room.
async fn play_full_disk(folder: PathBuf) {
    let (outbox, filler) = (folder.join("outbox"), folder.join("filler"));
    std::fs::write(&filler, vec![1; 4 * 1024 * 1024]).unwrap();
    let start = || {
        Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox(&outbox)
            .start()
            .unwrap()
    };
    let socket = start();
    let (recipient, mut events) = ear();
    socket.socket_events(recipient);
    let payload = |number: u64| [&number.to_be_bytes()[..], &[7; 10_000]].concat();
    let mut committed = BTreeSet::new();
    let mut number = 0;
    // Every message of a while is refused with its payload, and every other one is committed.
    for refusals_wanted in [3, 0] {
        let (mut refusals, mut accepted) = (0, 0);
        while refusals < refusals_wanted || (refusals_wanted == 0 && accepted < 20) {
            number += 1;
            match socket.send(payload(number)).await {
                Ok(()) => {
                    committed.insert(number);
                    accepted += 1;
                }
                Err(SendError::NotStored { payload: back, .. }) => {
                    assert_eq!(back[..], payload(number)[..]);
                    refusals += 1;
                    // The store is tried again with each message.
                    assert!(number < 100_000);
                }
                Err(other) => panic!("{other}"),
            }
        }
        if refusals_wanted > 0 {
            assert!(socket.stats().store_failing && !committed.is_empty());
            events
                .find("that it fails", |event| {
                    matches!(event, SocketEvent::OutboxFailing { .. }).then_some(())
                })
                .await;
            std::fs::remove_file(&filler).unwrap();
        }
    }
    events
        .find("that it works", |event| {
            (event == SocketEvent::OutboxRecovered).then_some(())
        })
        .await;
    assert!(!socket.stats().store_failing);
    socket.close_within(Duration::ZERO).await;
    let socket = start();
    let pending = socket.pending(usize::MAX).await.unwrap();
    let found = pending
        .iter()
        .map(|it| u64::from_be_bytes(*it.payload.first_chunk().unwrap()));
    assert_eq!(found.collect::<BTreeSet<_>>(), committed);
    socket.close_within(Duration::ZERO).await;
    eprintln!("done {}", committed.len());
}

#[actix::test]
async fn a_disk_that_fills_and_is_freed_costs_nothing_that_was_committed() {
    const TEST: &str = "a_disk_that_fills_and_is_freed_costs_nothing_that_was_committed";
    if let Some(part) = again::part() {
        return play_full_disk(part.into()).await;
    }
    let folder = Folder::new("copied");
    let path = folder.path().to_str().expect("a text").to_owned();
    // In a mount namespace of its own, which goes with the child.
    let mounted = |then: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size=8m aiomsg \"$0\" && {then}");
        command.args(["--mount", "sh", "-c", &script, &path]);
        command
    };
    let possible = mounted("exit 0").output();
    if !possible
        .as_ref()
        .is_ok_and(|output| output.status.success())
    {
        println!("skipped: a tmpfs cannot be mounted in a namespace of its own here: {possible:?}");
        return;
    }
    let mut child = again::start_by(mounted("exec \"$@\""), TEST, &path);
    let done = again::told_number(&mut child, "done").await;
    println!("{done} messages were committed before the disk was full and after it was freed");
    assert!(done >= 20);
}
