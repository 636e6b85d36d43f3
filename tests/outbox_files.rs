//! Outbox files that something has changed: what becomes of each is decided in a process of its own.
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use actix_aiomsg::Identity;
use actix_aiomsg::error::SendError;
use actix_aiomsg::prelude::*;
use support::actors::collect;
use support::process::Process;
use support::{again, scale};

const MESSAGES: usize = 200;

fn text(number: usize) -> String {
    format!("{number} {}", "x".repeat(number * 7 % 900))
}

/// A file with messages, of which some were acknowledged, so that it has been written here and there; and the same as a
/// process leaves it that is killed.
async fn make(path: &Path, killed: &Path) {
    let at_least_once = || {
        let builder = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
        builder.outbox(path).start().unwrap()
    };
    let socket = at_least_once();
    let receiver = Socket::start().unwrap();
    let mut collected = collect(&receiver);
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    socket.connect(endpoint).await.unwrap();
    for number in 0..50 {
        socket
            .send(format!("handled {number}"))
            .acknowledged()
            .await
            .unwrap();
    }
    collected.payloads(50).await;
    receiver.close().await;
    socket.close().await;
    let socket = at_least_once();
    for number in 0..MESSAGES {
        socket.send(text(number)).await.unwrap();
    }
    fs::copy(path, killed).unwrap();
    assert_eq!(socket.close_within(Duration::ZERO).await.stored, MESSAGES);
}

/// Opens the files that it is told of, and says what it found: the messages that are there as they were, and those that are set
/// aside, or the refusal.
async fn play_opener() {
    while let Some(path) = again::order().await {
        let opened = Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox(&path)
            .start();
        match opened {
            Err(error) => eprintln!("refused {error}"),
            Ok(socket) => {
                let stats = socket.stats();
                let receiver = Socket::start().unwrap();
                let mut collected = collect(&receiver);
                let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
                socket.connect(endpoint).await.unwrap();
                let texts = collected.payloads(stats.restored_messages).await;
                let right = (0..)
                    .zip(&texts)
                    .all(|(number, found)| *found == text(number));
                let sound = if right { "sound" } else { "other" };
                socket.close().await;
                receiver.close().await;
                eprintln!(
                    "opened {} {} {sound}",
                    stats.restored_messages, stats.damaged_records
                );
            }
        }
    }
}

/// Fills the disk that a limit for files stands for, frees it, and says how many messages were stored before and in all.
async fn play_filler(path: &str) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox(path)
        .start()
        .unwrap();
    let (_, hard) = rlimit::Resource::FSIZE.get().unwrap();
    let limit = fs::metadata(path).unwrap().len() + 1024 * 1024;
    rlimit::Resource::FSIZE.set(limit, hard).unwrap();
    let payload = |number: usize| format!("{number} {}", "x".repeat(16 * 1024));
    let mut stored = 0;
    let refused = loop {
        match socket.send(payload(stored)).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SendError::NotStored { .. }), "{refused}");
    assert_eq!(refused.into_payload(), payload(stored));
    assert!(socket.stats().store_failing);
    let before = stored;
    for _ in 0..3 {
        let again = socket.send(payload(stored)).await;
        assert!(
            matches!(again, Err(SendError::NotStored { .. })),
            "{again:?}"
        );
    }
    rlimit::Resource::FSIZE.set(hard, hard).unwrap();
    for _ in 0..20 {
        socket.send(payload(stored)).await.unwrap();
        stored += 1;
    }
    assert!(!socket.stats().store_failing);
    let report = socket.close_within(Duration::ZERO).await;
    assert_eq!(report.stored, stored);
    eprintln!("stored {before} {stored}");
}

#[actix::test]
async fn a_full_disk_is_an_error_with_the_payload_and_costs_nothing_that_was_committed() {
    const TEST: &str =
        "a_full_disk_is_an_error_with_the_payload_and_costs_nothing_that_was_committed";
    if again::part().is_some() {
        let path = again::order().await.expect("a path");
        return play_filler(&path).await;
    }
    let path = std::env::temp_dir().join(format!("aiomsg-outbox-full-{}", Identity::random()));
    // A write above the limit is then an error, and no signal that ends the process.
    let mut filler = again::start_after("trap '' XFSZ", TEST, "filler");
    filler.say(&path.display().to_string());
    for (level, line) in [
        ("WARN", "the outbox cannot store messages"),
        ("INFO", "the outbox stores messages again"),
    ] {
        let is_it = |told: &str| told.contains(level) && told.contains(line);
        filler.stderr.find(is_it).await;
    }
    let stored = again::told(&mut filler, "stored ").await;
    let stored: Vec<usize> = stored
        .split(' ')
        .map(|count| count.parse().unwrap())
        .collect();
    assert!(stored[0] > 10, "{stored:?}");
    assert!(filler.exit().await.success());

    let socket = Socket::builder().outbox(&path).start().unwrap();
    assert_eq!(socket.stats().restored_messages, stored[1]);
    let receiver = Socket::start().unwrap();
    let mut collected = collect(&receiver);
    let endpoint = receiver.bind("tcp://127.0.0.1:0").await.unwrap();
    socket.connect(endpoint).await.unwrap();
    let texts = collected.payloads(stored[1]).await;
    let numbers = texts
        .iter()
        .map(|text| text.split(' ').next().unwrap().parse().unwrap());
    assert_eq!(
        numbers.collect::<Vec<usize>>(),
        (0..stored[1]).collect::<Vec<_>>()
    );
    socket.close().await;
    fs::remove_file(&path).unwrap();
}

/// Chance, from one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// The file, cut or with a bit that is another, at any place or among those that say most about the file.
fn change(content: &[u8], dice: &mut Dice) -> (String, Vec<u8>) {
    let mut content = content.to_vec();
    let end = match dice.below(4) {
        0 => 512,
        _ => content.len(),
    };
    let at = dice.below(end);
    if dice.below(3) == 0 {
        content.truncate(at);
        return (format!("cut at {at}"), content);
    }
    let bit = dice.below(8);
    content[at] ^= 1 << bit;
    (format!("bit {bit} flipped at {at}"), content)
}

#[actix::test]
async fn a_file_that_was_cut_or_changed_is_refused_untouched_or_has_all_its_messages() {
    const TEST: &str =
        "a_file_that_was_cut_or_changed_is_refused_untouched_or_has_all_its_messages";
    if again::part().is_some() {
        return play_opener().await;
    }
    let folder = std::env::temp_dir().join(format!("aiomsg-outbox-files-{}", Identity::random()));
    fs::create_dir(&folder).unwrap();
    let [path, killed, case] = ["outbox", "killed", "case"].map(|name| folder.join(name));
    make(&path, &killed).await;
    let originals = [fs::read(&path).unwrap(), fs::read(&killed).unwrap()];
    let dice = &mut Dice(1);
    let (mut opener, mut opened, mut refused) = (again::start(TEST, "opener"), 0, 0);
    let told = async |opener: &mut Process| {
        let says = |line: &str| line.starts_with("opened ") || line.starts_with("refused ");
        opener.say(&case.display().to_string());
        opener.stderr.find(says).await
    };
    let whole = format!("opened {MESSAGES} 0 sound");
    for original in &originals {
        fs::write(&case, original).unwrap();
        assert_eq!(told(&mut opener).await, whole);
    }
    let cases = scale::of(1000);
    for index in 0..cases {
        let (what, content) = change(&originals[index as usize % 2], dice);
        fs::write(&case, &content).unwrap();
        let line = told(&mut opener).await;
        if line == whole {
            opened += 1;
            continue;
        }
        // An empty file is a new one.
        if content.is_empty() && line == "opened 0 0 sound" {
            continue;
        }
        assert!(line.starts_with("refused "), "{what}: {line}");
        assert!(
            fs::read(&case).unwrap() == content,
            "{what}: it was written to: {line}"
        );
        refused += 1;
    }
    println!("{cases} files: {opened} opened with all messages, {refused} refused");
    assert!(opened > 0 && refused > 0);
    fs::remove_dir_all(&folder).unwrap();
}
