//! Committed messages a second and the time of `send`, with an outbox of redb, beside a log of segments under the same group
//! commit and plain redb with a commit for each message; and how long a start takes that finds many.
//!
//! `cargo bench --features outbox --bench outbox [-- MESSAGES]`; the file is in the folder for temporary files, or in
//! `AIOMSG_BENCH_DIR`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actix_aiomsg::error::StoreError;
use actix_aiomsg::outbox::{Change, Durability, Outbox, OutboxStore, Table};
use actix_aiomsg::prelude::*;

/// For how long each case is measured.
const TIME: Duration = Duration::from_secs(4);
const PAYLOAD: [u8; 200] = [7; 200];

/// Appends each commit with a checksum, and syncs once. It never reads: a lower bound of what a log costs.
struct SegmentLog(File);

impl OutboxStore for SegmentLog {
    fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for change in changes {
            let (Change::Put { key, .. } | Change::Remove { key, .. }) = change;
            let value = match change {
                Change::Put { value, .. } => value,
                Change::Remove { .. } => &[][..],
            };
            let begin = bytes.len();
            bytes.extend((key.len() as u32).to_be_bytes());
            bytes.extend((value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            let checksum = crc32fast::hash(&bytes[begin..]);
            bytes.extend(checksum.to_be_bytes());
        }
        (self.0.write_all(&bytes))
            .and_then(|()| self.0.sync_data())
            .map_err(StoreError::new)
    }

    fn read(
        &mut self,
        _: Table,
        _: &[u8],
        _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Err(StoreError::new("a log that never reads"))
    }
}

fn fresh(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("aiomsg-bench-{}-{name}", std::process::id()));
    // It may not be there.
    let _ = std::fs::remove_file(&path);
    path
}

fn report(what: &str, senders: usize, time: Duration, mut took: Vec<Duration>, commits: u64) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let rate = took.len() as f64 / time.as_secs_f64();
    let each = took.len() as f64 / commits as f64;
    println!(
        "{what:<28} {senders:>3} senders: {rate:>9.0}/s, p50 {:>9.1?}, p99 {:>9.1?}, {each:>5.1} messages a commit",
        at(0.5),
        at(0.99),
    );
}

/// As many senders as said, each of which sends when its last message is accepted. Nobody receives.
async fn send_all(what: &str, outbox: Outbox, senders: usize) {
    let outbox = outbox.capacity(10_000_000, usize::MAX / 2);
    let socket = Socket::builder()
        .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
        .outbox_with(outbox)
        .start()
        .expect("the outbox opens");
    let begin = Instant::now();
    let tasks = (0..senders).map(|_| {
        let socket = socket.clone();
        actix::spawn(async move {
            let mut took = Vec::new();
            while begin.elapsed() < TIME {
                let sent = Instant::now();
                socket.send(&PAYLOAD[..]).await.expect("it is stored");
                took.push(sent.elapsed());
            }
            took
        })
    });
    let mut took = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        took.extend(task.await.expect("a sender ends"));
    }
    let time = begin.elapsed();
    report(what, senders, time, took, socket.stats().stored_commits);
    socket.close_within(Duration::ZERO).await;
}

fn plain_redb(path: &Path) {
    let table: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("messages");
    let database = redb::Database::create(path).expect("a database");
    let (begin, mut took) = (Instant::now(), Vec::new());
    while begin.elapsed() < TIME {
        let sent = Instant::now();
        let mut transaction = database.begin_write().expect("a transaction");
        transaction.set_two_phase_commit(true);
        let mut messages = transaction.open_table(table).expect("a table");
        (messages.insert(took.len() as u64, &PAYLOAD[..])).expect("an entry");
        drop(messages);
        transaction.commit().expect("a commit");
        took.push(sent.elapsed());
    }
    let (time, commits) = (begin.elapsed(), took.len() as u64);
    report("plain redb", 1, time, took, commits);
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.unwrap_or(0) / 1024
}

async fn open_many(path: &Path, messages: usize) {
    let start = |check| {
        let outbox = Outbox::new(path).capacity(messages, usize::MAX / 2);
        Socket::builder()
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .outbox_capacity(messages, usize::MAX / 2)
            .outbox_with(
                outbox
                    .durability(Durability::Eventually)
                    .check_at_start(check),
            )
            .start()
            .expect("the outbox opens")
    };
    let begin = Instant::now();
    let socket = start(true);
    for _ in 0..messages {
        socket.send(&PAYLOAD[..100]).await.expect("there is room");
    }
    socket.close_within(Duration::ZERO).await;
    let bytes = std::fs::metadata(path).map_or(0, |data| data.len()) / 1024 / 1024;
    println!(
        "{messages} messages: stored in {:.1?}, a file of {bytes} MiB",
        begin.elapsed()
    );
    for check in [true, false] {
        let before = resident();
        let begin = Instant::now();
        let socket = start(check);
        let took = begin.elapsed();
        let checked = if check { "checked" } else { "not checked" };
        println!(
            "  opened, {checked}, in {took:.1?}; {} MiB of memory more",
            resident().saturating_sub(before)
        );
        assert_eq!(socket.stats().restored_messages, messages);
        socket.close_within(Duration::ZERO).await;
    }
}

fn main() {
    // Of `cargo bench` itself.
    let wanted = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let folder =
        std::env::var_os("AIOMSG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    actix::System::new().block_on(async {
        for senders in [1, 64] {
            let path = fresh(&folder, "redb");
            send_all("outbox in redb", Outbox::new(&path), senders).await;
            std::fs::remove_file(&path).expect("it was made");
            let path = fresh(&folder, "log");
            let mut options = OpenOptions::new();
            let file = options
                .create_new(true)
                .append(true)
                .open(&path)
                .expect("a file");
            send_all(
                "outbox in a log of segments",
                Outbox::with_store("log", SegmentLog(file)),
                senders,
            )
            .await;
            std::fs::remove_file(&path).expect("it was made");
        }
        let path = fresh(&folder, "plain");
        plain_redb(&path);
        std::fs::remove_file(&path).expect("it was made");
        let path = fresh(&folder, "many");
        open_many(&path, wanted.unwrap_or(1_000_000)).await;
        std::fs::remove_file(&path).expect("it was made");
    });
}
