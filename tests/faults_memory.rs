//! What processes cost under load, counted by Linux. In full with `just soak`.
#![cfg(target_os = "linux")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use support::again;
use support::each::each;
use support::memory;
use support::raw_peer::{HEARTBEAT, RawPeer};
use support::{eventually, scale};

const MIB: u64 = 1024 * 1024;

/// A message of `bytes` that begins with its number.
fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![b'.'; bytes];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

/// Counts messages, which must come in order and without a gap.
fn count_in_order(socket: &Socket) -> Arc<AtomicU64> {
    let next = Arc::<AtomicU64>::default();
    let count = Arc::clone(&next);
    each(socket, move |message| {
        let expected = count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(message.payload()[..8], expected.to_be_bytes());
    });
    next
}

/// Words of an order.
fn numbers<const N: usize>(order: &str) -> [u64; N] {
    let words: Vec<u64> = order
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    words.try_into().expect("so many numbers")
}

const PUBLISH: &str =
    "a_subscriber_that_never_reads_costs_the_publisher_little_memory_and_no_other_a_message";

/// The publisher: says where it listens, and publishes `count` messages of `bytes` to `peers`.
async fn publisher() {
    let builder = Socket::builder().send_mode(SendMode::Publish);
    let socket = builder.start().unwrap();
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    eprintln!("port {}", endpoint.port().unwrap());
    let order = again::order().await.expect("an order");
    let [peers, count, bytes] = numbers(&order);
    socket.wait_for_peers(peers as usize).await.unwrap();
    eprintln!("ready");
    again::order().await.expect("the word");
    for number in 0..count {
        let message = numbered(number, bytes as usize);
        socket.send(message).await.unwrap();
    }
    eprintln!("published {}", socket.stats().dead_letters);
    while again::order().await.is_some() {}
}

/// Publishes to nine who read, and to one who never does if `silent`. Yields the rate in MiB/s, and
/// by how much the publisher's memory grew.
async fn publish(silent: bool) -> (f64, u64) {
    let bytes = 8 * 1024;
    let count = scale::of(1024 * MIB) / bytes;
    let mut publisher = again::start(PUBLISH, "publisher");
    let port = again::told_number(&mut publisher, "port ").await;
    let port = u16::try_from(port).unwrap();
    let mut readers = Vec::new();
    for _ in 0..9 {
        let reader = Socket::start().unwrap();
        let next = count_in_order(&reader);
        reader.connect(("127.0.0.1", port)).await.unwrap();
        readers.push((reader, next));
    }
    let over = Arc::new(AtomicBool::new(false));
    let frozen = silent.then(|| never_reads(port, &over));
    let peers = 9 + u64::from(silent);
    publisher.say(&format!("{peers} {count} {bytes}"));
    again::told(&mut publisher, "ready").await;
    let before = memory::resident(publisher.id());
    let start = Instant::now();
    publisher.say("go");
    let slowest = || {
        let next = |(_, next): &(Socket, Arc<AtomicU64>)| next.load(Ordering::Relaxed);
        readers.iter().map(next).min().unwrap()
    };
    scale::reaches("the others to get everything", count, slowest).await;
    let seconds = start.elapsed().as_secs_f64();
    let lost = again::told_number(&mut publisher, "published ").await;
    let grown = memory::peak(publisher.id()).saturating_sub(before);
    for (_, next) in &readers {
        assert_eq!(next.load(Ordering::Relaxed), count);
    }
    assert_eq!(lost > 0, silent, "only the silent one loses any");
    over.store(true, Ordering::Relaxed);
    if let Some(frozen) = frozen {
        frozen.join().unwrap();
    }
    ((count * bytes) as f64 / MIB as f64 / seconds, grown)
}

/// A subscriber that shows that it lives and never reads.
fn never_reads(port: u16, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            peer.frame(HEARTBEAT, &[]);
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}

#[actix::test]
async fn a_subscriber_that_never_reads_costs_the_publisher_little_memory_and_no_other_a_message() {
    if again::part().is_some() {
        return publisher().await;
    }
    let (without, grown_without) = publish(false).await;
    let (with, grown) = publish(true).await;
    println!(
        "{} MiB to nine: {without:.0} MiB/s each without the silent one, {with:.0} with it ({:.0} %); memory grew by {:.1} and {:.1} MiB",
        scale::of(1024),
        100.0 * with / without,
        grown_without as f64 / MIB as f64,
        grown as f64 / MIB as f64
    );
    assert!(grown < 16 * MIB, "{grown} bytes");
}

const SLOW: &str = "a_handler_that_takes_its_time_bounds_both_sides_and_loses_nothing";

/// Both ends judge each other by their heartbeats.
fn attentive(guarantee: DeliveryGuarantee) -> SocketBuilder {
    Socket::builder()
        .delivery_guarantee(guarantee)
        .heartbeat_interval(Duration::from_millis(200))
        .heartbeat_timeout(Duration::from_secs(2))
}

/// Handles each message in a millisecond, the thread's or its own, and says how many when it is asked.
async fn slow_side(blocking: bool) {
    let socket = attentive(DeliveryGuarantee::AtMostOnce).start().unwrap();
    let next = Rc::<Cell<u64>>::default();
    let count = Rc::clone(&next);
    each(&socket, move |message| -> ResponseFuture<()> {
        assert_eq!(message.payload()[..8], count.get().to_be_bytes());
        count.set(count.get() + 1);
        let millisecond = Duration::from_millis(1);
        if blocking {
            std::thread::sleep(millisecond);
            return Box::pin(async {});
        }
        Box::pin(tokio::time::sleep(millisecond))
    });
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    eprintln!("port {}", endpoint.port().unwrap());
    while again::order().await.is_some() {
        eprintln!("handled {} {}", next.get(), socket.stats().joins);
    }
}

/// Sends as fast as it is let.
async fn fast_side(guarantee: DeliveryGuarantee) {
    let socket = attentive(guarantee).start().unwrap();
    let order = again::order().await.expect("an order");
    let [port, count, bytes] = numbers(&order);
    let port = u16::try_from(port).unwrap();
    socket.connect(("127.0.0.1", port)).await.unwrap();
    socket.wait_for_peers(1).await.unwrap();
    eprintln!("ready");
    again::order().await.expect("the word");
    for number in 0..count {
        let message = numbered(number, bytes as usize);
        socket.send(message).await.unwrap();
    }
    socket.flush().await.unwrap();
    eventually("acknowledgements", || socket.stats().unacknowledged == 0).await;
    let stats = socket.stats();
    eprintln!("sent {} {} {}", stats.sent, stats.joins, stats.resent);
    while again::order().await.is_some() {}
}

async fn slow_and_fast(slow: &str, fast: &str) {
    let (count, bytes) = (scale::of(40_000), 16 * 1024);
    let mut slow = again::start(SLOW, slow);
    let port = again::told_number(&mut slow, "port ").await;
    let mut fast = again::start(SLOW, fast);
    fast.say(&format!("{port} {count} {bytes}"));
    again::told(&mut fast, "ready").await;
    let before = [&slow, &fast].map(|side| memory::resident(side.id()));
    fast.say("go");
    let start = Instant::now();
    let mut handled = 0;
    let mut stuck = Instant::now();
    while handled < count {
        slow.say("how many");
        let [now, joins] = numbers(&again::told(&mut slow, "handled ").await);
        assert_eq!(joins, 1, "the connection stands");
        if now != handled {
            (handled, stuck) = (now, Instant::now());
        }
        assert!(stuck.elapsed() < support::PATIENCE, "stuck at {handled}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = start.elapsed();
    assert_eq!(handled, count);
    let [sent, joins, resent] = numbers(&again::told(&mut fast, "sent ").await);
    assert_eq!((sent - resent, joins), (count, 1));
    let peaks = [&slow, &fast].map(|side| memory::peak(side.id()));
    let grown = [0, 1].map(|side: usize| peaks[side].saturating_sub(before[side]));
    println!(
        "{count} messages of {bytes} bytes in {took:?}, {resent} resent: memory grew by {:.1} MiB at the slow side and {:.1} at the fast one",
        grown[0] as f64 / MIB as f64,
        grown[1] as f64 / MIB as f64
    );
    assert!(grown.iter().all(|grown| *grown < 12 * MIB), "{grown:?}");
}

#[actix::test]
async fn a_handler_that_takes_its_time_bounds_both_sides_and_loses_nothing() {
    match again::part().as_deref() {
        Some("blocking") => return slow_side(true).await,
        Some("waiting") => return slow_side(false).await,
        Some("at most once") => return fast_side(DeliveryGuarantee::AtMostOnce).await,
        Some("at least once") => return fast_side(DeliveryGuarantee::AtLeastOnce).await,
        part => assert_eq!(part, None),
    }
    slow_and_fast("blocking", "at most once").await;
    slow_and_fast("waiting", "at least once").await;
}
