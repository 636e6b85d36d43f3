//! Peers that come and go, and a long mixed load: nothing is left behind. In full with `just soak`;
//! `AIOMSG_SOAK_SECONDS` makes the mixed load as long as you like.
#![cfg(target_os = "linux")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;
use support::counting::{CountingAllocator, live_bytes};
use support::each::each;
use support::proxy::FaultProxy;
use support::raw_peer::RawPeer;
use support::{aside, eventually, memory, scale};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Both tests measure the process: where they share one, they take turns.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A socket that sends everything back, and where it listens.
async fn echo(builder: SocketBuilder) -> (Socket, SocketAddr) {
    let socket = builder.start().unwrap();
    each(&socket, |message| {
        // A peer that is gone, or full, gets nothing.
        let _ = message.reply(message.payload().clone());
    });
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    (socket, ([127, 0, 0, 1], port).into())
}

/// One peer that comes and goes, each in its own way.
async fn come_and_go(number: u64, address: SocketAddr) {
    let mut identity = [9; 16];
    identity[..8].copy_from_slice(&number.to_be_bytes());
    match number % 5 {
        // One that leaves in good order.
        0 => {
            aside(move || {
                let mut peer = RawPeer::introduced(address, identity);
                peer.data(b"here");
                assert_eq!(peer.expect_data(), b"here");
                peer.finish();
                peer.expect_end();
            })
            .await
        }
        // One whose answers come too late.
        1 => {
            aside(move || {
                let mut peer = RawPeer::introduced(address, identity);
                (0..10).for_each(|_| peer.data_req(identity, &[1; 1000]));
                peer.reset();
            })
            .await
        }
        // One that never says who it is.
        2 => aside(move || drop(RawPeer::connect(address))).await,
        // One that breaks off.
        3 => aside(move || RawPeer::introduced(address, identity).say(&[0, 0])).await,
        // One of ours.
        _ => {
            let socket = Socket::start().unwrap();
            socket.connect(address).await.unwrap();
            socket.send("here").await.unwrap();
            let received = socket.recv().await.unwrap();
            assert_eq!(received.payload(), "here");
            drop(received);
            socket.close().await;
        }
    }
}

/// So many peers, a few at a time; returns when the socket has none left.
async fn cycles(numbers: std::ops::Range<u64>, socket: &Socket, address: SocketAddr) {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let (next, end) = (Arc::clone(&next), numbers.end);
            actix::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    come_and_go(number, address).await;
                }
            })
        })
        .collect();
    for one in crowd {
        one.await.expect("it was served");
    }
    eventually("all to be gone", || socket.stats().connections == 0).await;
}

#[actix::test]
async fn peers_that_come_and_go_leave_no_descriptor_and_no_memory_behind() {
    let _alone = ALONE.lock().await;
    let count = scale::of(10_000);
    let warm = count / 4;
    let builder = Socket::builder().absence_grace(Duration::from_millis(50));
    let (socket, address) = echo(builder).await;
    cycles(0..warm, &socket, address).await;
    // Identities are remembered for the grace period: what is left is what stays.
    let settled = async || {
        let mut least = live_bytes();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            least = least.min(live_bytes());
        }
        least
    };
    let before = (settled().await, memory::descriptors());
    cycles(warm..count, &socket, address).await;
    let after = (settled().await, memory::descriptors());
    println!(
        "{count} cycles: {} to {} bytes, {} to {} descriptors",
        before.0, after.0, before.1, after.1
    );
    assert_eq!(after.1, before.1, "descriptors");
    let stats = socket.stats();
    assert_eq!((stats.peers, stats.connections), (0, 0));
    assert!(
        after.0 < before.0 + 64 * KIB,
        "{} bytes are left behind",
        after.0 - before.0
    );
}

/// How long the mixed load lasts.
fn soak_time() -> Duration {
    match std::env::var("AIOMSG_SOAK_SECONDS") {
        Ok(text) => Duration::from_secs(text.parse().expect("whole seconds")),
        Err(_) => Duration::from_secs(scale::of(100)),
    }
}

/// A socket that sends all the while and reads its echoes.
async fn chatterbox(builder: SocketBuilder, through: SocketAddr, bytes: usize) {
    let quickly = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(20));
    let socket = builder.reconnect(quickly).start().unwrap();
    socket.connect(through).await.unwrap();
    let reader = socket.clone();
    actix::spawn(async move { while reader.recv().await.is_ok() {} });
    let payload = bytes::Bytes::from(vec![7; bytes]);
    loop {
        let sending = socket.send(payload.clone());
        if tokio::time::timeout(Duration::from_secs(1), sending)
            .await
            .is_ok_and(|sent| sent.is_err())
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn memory_stays_flat_under_a_long_mixed_load_with_cuts() {
    let _alone = ALONE.lock().await;
    let time = soak_time();
    let small = |builder: SocketBuilder| {
        builder
            .absence_grace(Duration::from_millis(200))
            .outbox_capacity(10_000, MIB)
    };
    let (server, address) = echo(small(Socket::builder())).await;
    let proxy = FaultProxy::start(address);
    let through = proxy.address();
    let loads = [
        (Socket::builder(), 100),
        (Socket::builder(), 40 * KIB),
        (
            Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce),
            1000,
        ),
        (Socket::builder().send_mode(SendMode::Publish), 3 * KIB),
    ];
    let loads: Vec<_> = loads
        .into_iter()
        .map(|(builder, bytes)| actix::spawn(chatterbox(small(builder), through, bytes)))
        .collect();
    const SAMPLES: u32 = 40;
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut cycle = 0;
    for sample in 1..=SAMPLES {
        let mut largest = (0, 0);
        while start.elapsed() < time * sample / SAMPLES {
            tokio::time::sleep(Duration::from_millis(20)).await;
            come_and_go(cycle, address).await;
            cycle += 1;
            if cycle % 8 == 0 {
                proxy.cut();
            }
            let now = (live_bytes(), memory::resident(std::process::id()));
            largest = (now.0.max(largest.0), now.1.max(largest.1));
        }
        samples.push(largest);
    }
    let received = server.stats().received;
    for load in loads {
        load.abort();
    }
    let quarter = samples.len() / 4;
    let second = Quarter::of(&samples[quarter..2 * quarter]);
    let last = Quarter::of(&samples[3 * quarter..]);
    println!(
        "{time:?}, {received} messages, {cycle} peers came and went, {} cuts; in the second quarter {second}; in the last {last}",
        cycle / 8,
    );
    assert!(received > 1000, "{received} messages");
    for (what, second, last) in [
        ("live", second.live, last.live),
        ("resident", second.resident, last.resident),
    ] {
        let (before, after) = (second.typical, last.typical);
        assert!(
            after < before + 2 * MIB,
            "{what}: {before} to {after} bytes"
        );
        // A burst may come at any time.
        let (before, after) = (second.most, last.most);
        let most = before * 5 / 4 + 16 * MIB;
        assert!(after < most, "{what}: at most {before}, then {after} bytes");
    }
}

/// What so many samples of memory amount to, in bytes.
struct Memory {
    typical: usize,
    most: usize,
}

impl Memory {
    fn of(mut samples: Vec<usize>) -> Self {
        samples.sort_unstable();
        Self {
            typical: samples[samples.len() / 2],
            most: samples[samples.len() - 1],
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { typical, most } = self;
        write!(f, "{} KiB, at most {}", typical / KIB, most / KIB)
    }
}

/// A quarter of a long load.
struct Quarter {
    live: Memory,
    resident: Memory,
}

impl Quarter {
    fn of(samples: &[(usize, u64)]) -> Self {
        let live = samples.iter().map(|sample| sample.0);
        let resident = samples.iter().map(|sample| sample.1 as usize);
        Self {
            live: Memory::of(live.collect()),
            resident: Memory::of(resident.collect()),
        }
    }
}

impl std::fmt::Display for Quarter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "live {}; resident {}", self.live, self.resident)
    }
}
