//! A copy of an outbox that is started beside its original: noticed, said, and nothing lost. And a disk that is full for a while.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_aiomsg::Dedupe;
use actix_aiomsg::error::{OutboxError, SendError};
use actix_aiomsg::outbox::{Outbox, OutboxFile};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use support::actors::collect;
use support::folder::Folder;
use support::process::Process;
use support::{again, aside, eventually, scale};

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
    let (recipient, mut events) = Probe::recipient();
    socket.socket_events(recipient);
    actix::spawn(async move {
        loop {
            if let SocketEvent::OutboxCopied { refused_for, .. } = events.next().await.unwrap() {
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

/// Two messages wait in the file before it is copied.
async fn original_and_copy(folder: &Folder) -> (PathBuf, PathBuf) {
    let (original, copy) = (folder.file("original"), folder.file("copy"));
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox(&original)
        .start()
        .unwrap();
    for text in ["one", "two"] {
        socket.send(text).await.unwrap();
    }
    socket.close_within(Duration::ZERO).await;
    std::fs::copy(&original, &copy).unwrap();
    (original, copy)
}

/// A process of this test that sends from the file at this path, to this port.
fn start_machine(test: &str, path: &Path, port: u16, adopted: &str) -> Process {
    let mut machine = again::start(test, "machine");
    machine.say(&format!("{} {port} {adopted}", path.display()));
    machine
}

#[actix::test]
async fn a_copy_of_an_outbox_beside_its_original_is_noticed_said_and_loses_nothing() {
    const TEST: &str = "a_copy_of_an_outbox_beside_its_original_is_noticed_said_and_loses_nothing";
    if again::part().is_some() {
        return play_machine().await;
    }
    let folder = Folder::new("copied");
    let (original, copy) = original_and_copy(&folder).await;
    let receiver = Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .start()
        .unwrap();
    let mut arrivals = collect(&receiver);
    let port = receiver.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let start = |path: &Path, adopted: &str| start_machine(TEST, path, port, adopted);
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

#[actix::test]
async fn a_copy_that_is_started_before_its_original_costs_the_original_nothing() {
    const TEST: &str = "a_copy_that_is_started_before_its_original_costs_the_original_nothing";
    if again::part().is_some() {
        return play_machine().await;
    }
    let folder = Folder::new("copied");
    let (original, copy) = original_and_copy(&folder).await;
    let receiver = Socket::builder()
        .heartbeat_interval(Duration::from_millis(100))
        .dedupe(Dedupe::within(100, Duration::from_secs(3600)))
        .start()
        .unwrap();
    let mut arrivals = collect(&receiver);
    let port = receiver.bind("127.0.0.1:0").await.unwrap().port().unwrap();
    let start = |path: &Path| start_machine(TEST, path, port, "keep");
    let mut second = start(&copy);
    assert_eq!(arrivals.payloads(2).await, ["one", "two"]);
    // Now it is the original that is refused. It says so, and keeps what it has and gets.
    let mut first = start(&original);
    first.say("three");
    says(&mut first, "committed three").await;
    first
        .stderr
        .find(|line| line.contains("WARN") && line.contains("copied outbox?"))
        .await;
    says(&mut first, "event true").await;
    first.say("count");
    says(&mut first, "stored 3").await;
    // Once the copy has ended, it connects by itself. What the copy has delivered is known by its ids.
    second.close_stdin();
    says(&mut second, "closed").await;
    first.say("wait");
    says(&mut first, "all acknowledged").await;
    assert_eq!(arrivals.payloads(1).await, ["three"]);
    assert!(arrivals.is_empty());
    assert!(receiver.stats().duplicates >= 2);
    first.close_stdin();
    says(&mut first, "closed").await;
}

#[actix::test]
async fn a_file_that_is_copied_while_it_is_in_use_is_whole_or_refused() {
    let folder = Folder::new("copied");
    let original = folder.file("original");
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox(&original)
        .start()
        .unwrap();
    let committed = Arc::new(AtomicU64::new(0));
    let sender = {
        let (socket, committed) = (socket.clone(), Arc::clone(&committed));
        actix::spawn(async move {
            for number in 1.. {
                socket.send(format!("{number:0>500}")).await.unwrap();
                committed.store(number, Ordering::SeqCst);
            }
        })
    };
    let (mut whole, mut refused) = (0, 0);
    for round in 0..scale::of(400) {
        let copy = folder.file(&format!("copy-{round}"));
        let wanted = committed.load(Ordering::SeqCst) + 1;
        let is_on = || committed.load(Ordering::SeqCst) >= wanted;
        eventually("a commit", is_on).await;
        let before = committed.load(Ordering::SeqCst);
        let (from, to) = (original.clone(), copy.clone());
        let opened = aside(move || {
            copy_in_pieces(&from, &to);
            OutboxFile::open(&to)
        });
        match opened.await {
            Ok(mut file) => {
                let mut next = 1;
                let read = file.for_each_message(|message| {
                    assert_eq!(message.payload, format!("{next:0>500}"));
                    next += 1;
                    ControlFlow::Continue(())
                });
                read.unwrap();
                assert!(next > before, "{next} of {before}");
                whole += 1;
            }
            Err(OutboxError::Damaged { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        std::fs::remove_file(copy).unwrap();
    }
    println!("{whole} copies were whole, {refused} were refused");
    sender.abort();
    socket.close_within(Duration::ZERO).await;
}

/// As `cp` does it, and slower, so that the file changes in between.
fn copy_in_pieces(from: &Path, to: &Path) {
    let mut file = File::open(from).unwrap();
    let mut copy = File::create(to).unwrap();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return,
            length => copy.write_all(&piece[..length]).unwrap(),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
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
    let (recipient, mut events) = Probe::recipient();
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
                .find(|event| matches!(event, SocketEvent::OutboxFailing { .. }).then_some(()))
                .await
                .expect("that it fails");
            std::fs::remove_file(&filler).unwrap();
        }
    }
    events
        .find(|event| (event == SocketEvent::OutboxRecovered).then_some(()))
        .await
        .expect("that it works");
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
