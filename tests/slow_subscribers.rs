//! A slower subscriber loses nothing, and a stalled one stops nobody, with the default patience.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::event::DeadLetterReason;
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Probe;
use actix_aiomsg::{Identity, SocketBuilder};
use bytes::Bytes;
use support::each::each;
use support::events::peer_events;
use support::raw_peer::{DATA, Frame, HEARTBEAT, RawPeer, frame};
use support::{PATIENCE, aside, eventually, scale, within_patience};

struct Publisher {
    socket: Socket,
    address: SocketAddr,
    peers: Probe<PeerEvent>,
    lost: Probe<DeadLetter>,
}

impl Publisher {
    async fn start(builder: SocketBuilder) -> Self {
        let (letters, lost) = Probe::recipient();
        let socket = builder
            .send_mode(SendMode::Publish)
            .on_dead_letter(letters)
            .start()
            .unwrap();
        let peers = peer_events(&socket);
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port().unwrap()));
        Self {
            socket,
            address,
            peers,
            lost,
        }
    }

    /// Publishes messages of so many bytes that begin with their number.
    async fn publish(&self, count: u64, bytes: usize) {
        for number in 0..count {
            let mut payload = vec![0; bytes];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            self.socket.send(payload).await.unwrap();
        }
    }
}

/// Who handles messages on a thread of its own.
struct Subscriber {
    identity: Identity,
    next: Arc<AtomicU64>,
}

impl Subscriber {
    /// Each message blocks its handler, or is awaited, for so long. They come in their order.
    fn start(
        builder: SocketBuilder,
        address: SocketAddr,
        blocks: Duration,
        waits: Duration,
    ) -> Self {
        let next = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&next);
        let (say, said) = mpsc::channel();
        thread::spawn(move || {
            System::new().block_on(async move {
                let socket = builder.start().unwrap();
                say.send(socket.identity()).unwrap();
                each(&socket, move |message: Received| {
                    let number = number_of(message.payload());
                    assert_eq!(
                        number,
                        counter.load(Ordering::Relaxed),
                        "nothing is missing"
                    );
                    thread::sleep(blocks);
                    let counter = Arc::clone(&counter);
                    let handled: ResponseFuture<()> = Box::pin(async move {
                        if !waits.is_zero() {
                            tokio::time::sleep(waits).await;
                        }
                        counter.store(number + 1, Ordering::Relaxed);
                    });
                    handled
                });
                socket.connect(address).await.unwrap();
                std::future::pending::<()>().await;
            });
        });
        let identity = said.recv().unwrap();
        Self { identity, next }
    }

    async fn has_all(&self, count: u64) {
        let next = || self.next.load(Ordering::Relaxed);
        scale::reaches("the subscriber to handle everything", count, next).await;
    }
}

fn number_of(payload: &Bytes) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().unwrap())
}

#[actix::test]
async fn subscribers_that_handle_less_than_is_published_lose_nothing() {
    let mut publisher = Publisher::start(Socket::builder()).await;
    let start = |micros| {
        let blocks = Duration::from_micros(micros);
        Subscriber::start(Socket::builder(), publisher.address, blocks, Duration::ZERO)
    };
    let (slow, other) = (start(400), start(0));
    publisher.socket.wait_for_peers(2).await.unwrap();
    // They could be published in a fraction of the time, and are more than the kernel holds.
    let count = scale::of(240_000);
    publisher.publish(count, 2048).await;
    slow.has_all(count).await;
    other.has_all(count).await;
    let stats = publisher.socket.stats();
    assert_eq!(stats.dead_letters, 0);
    assert_eq!(stats.slowest_subscriber, Some(slow.identity));
    let named = publisher.peers.find(|event| match event {
        PeerEvent::Slow { peer, gave_up, .. } => Some((peer, gave_up)),
        _ => None,
    });
    assert_eq!(
        named.await.expect("who is slow to be named"),
        (slow.identity, false)
    );
    let peers = publisher.socket.peers();
    let slowest = peers.iter().max_by_key(|peer| peer.waited_for).unwrap();
    assert_eq!(slowest.peer, slow.identity);
}

#[actix::test]
async fn a_subscriber_that_reads_less_often_than_the_patience_is_long_loses_nothing() {
    let builder = Socket::builder().link_capacity(8, 64 * 1024);
    let publisher = Publisher::start(builder).await;
    // It reads when sixteen messages are handled, which takes 1.6 s.
    let builder = Socket::builder().inbox_capacity(4096, 64 * 1024);
    let waits = Duration::from_millis(100);
    let slow = Subscriber::start(builder, publisher.address, Duration::ZERO, waits);
    publisher.socket.wait_for_peers(1).await.unwrap();
    publisher.publish(130, 4 * 1024).await;
    slow.has_all(130).await;
    assert_eq!(publisher.socket.stats().dead_letters, 0);
}

#[actix::test]
async fn a_foreign_subscriber_above_one_window_update_in_the_patience_loses_nothing() {
    let publisher = Publisher::start(Socket::builder()).await;
    let address = publisher.address;
    let count = 1500;
    let reading = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        let begun = Instant::now();
        for number in 0..count {
            let payload = Bytes::from(peer.expect_data());
            assert_eq!(number_of(&payload), number);
            // 256 KiB a second.
            let due = Duration::from_millis(4) * u32::try_from(number).unwrap();
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    });
    let publishing = async {
        publisher.socket.wait_for_peers(1).await.unwrap();
        publisher.publish(count, 1024).await;
    };
    tokio::join!(publishing, reading);
    assert_eq!(publisher.socket.stats().dead_letters, 0);
}

#[actix::test]
async fn a_stalled_subscriber_stops_nobody_and_is_named() {
    let mut publisher = Publisher::start(Socket::builder()).await;
    let address = publisher.address;
    let stalled = aside(move || RawPeer::introduced(address, [7; 16])).await;
    let start = || Subscriber::start(Socket::builder(), address, Duration::ZERO, Duration::ZERO);
    let healthy = [start(), start(), start()];
    publisher.socket.wait_for_peers(4).await.unwrap();
    let begun = Instant::now();
    let count = 4000;
    publisher.publish(count, 1024).await;
    for subscriber in &healthy {
        subscriber.has_all(count).await;
    }
    // It is waited for once, and not for each message.
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let letter = publisher.lost.next().await.unwrap();
    assert_eq!(letter.reason, DeadLetterReason::Overflow);
    assert_eq!(letter.peer, Some(Identity::from_bytes([7; 16])));
    let given_up = publisher.peers.find(|event| match event {
        PeerEvent::Slow { peer, gave_up, .. } => gave_up.then_some(peer),
        _ => None,
    });
    assert_eq!(
        given_up.await.expect("who is stalled to be named"),
        Identity::from_bytes([7; 16])
    );
    drop(stalled);
}

#[actix::test]
async fn a_hostile_subscriber_that_only_says_that_it_goes_on_is_not_waited_for_below_the_least_rate()
 {
    let builder = Socket::builder().min_subscriber_rate(100_000);
    let publisher = Publisher::start(builder).await;
    let address = publisher.address;
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let hostile = thread::spawn(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        for handled in 1_u64.. {
            if is_over.load(Ordering::Relaxed) || !peer.try_say(&frame(HEARTBEAT, &[])) {
                return;
            }
            let taken = [&[1][..], &handled.to_be_bytes()].concat();
            peer.try_say(&frame(0xC5, &taken));
            thread::sleep(Duration::from_millis(100));
        }
    });
    let healthy = Subscriber::start(Socket::builder(), address, Duration::ZERO, Duration::ZERO);
    publisher.socket.wait_for_peers(2).await.unwrap();
    let count = 2000;
    within_patience("the others", publisher.publish(count, 1024)).await;
    healthy.has_all(count).await;
    let stats = publisher.socket.stats();
    assert_eq!(stats.dead_letters, stats.losses.overflow);
    assert!(stats.losses.overflow > 0);
    over.store(true, Ordering::Relaxed);
    hostile.join().unwrap();
}

#[actix::test]
async fn a_socket_without_room_says_how_many_messages_its_handlers_were_through_with() {
    const TAKEN: u8 = 0xC5;
    let socket = Socket::builder()
        .inbox_capacity(8, 1 << 20)
        .heartbeat_interval(Duration::from_secs(60))
        .start()
        .unwrap();
    each(&socket, |_| -> ResponseFuture<()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(10)))
    });
    let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
    let port = endpoint.port().unwrap();
    let taken = aside(move || {
        let mut peer = RawPeer::introduced(([127, 0, 0, 1], port), [7; 16]);
        // More than is read at a time: then it has to wait for handlers.
        peer.say(&frame(DATA, &[0; 1019]).repeat(200));
        let begun = Instant::now();
        let taken: Vec<u64> = std::iter::from_fn(|| {
            loop {
                let Frame { kind, body } = peer.read().unwrap().expect("it goes on");
                if kind == TAKEN {
                    assert_eq!(body[0], 1, "the version");
                    break Some(u64::from_be_bytes(body[1..].try_into().unwrap()));
                }
            }
        })
        .take(4)
        .collect();
        (taken, begun.elapsed())
    });
    let (taken, time) = taken.await;
    assert!(
        taken.is_sorted_by(|before, after| before < after),
        "{taken:?}"
    );
    assert!(
        taken.iter().all(|&handled| (1..=200).contains(&handled)),
        "{taken:?}"
    );
    assert!(time >= Duration::from_millis(300), "{time:?}");
    let quiet = || socket.stats().inbox_messages == 0;
    eventually("everything to be handled", quiet).await;
}

#[actix::test]
async fn who_works_on_what_recv_hands_out_without_an_await_makes_way_for_the_rest_of_its_thread() {
    const MESSAGES: usize = 64;
    let server = Socket::start().unwrap();
    let client = Socket::start().unwrap();
    let mut messages = server.messages();
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    for _ in 0..MESSAGES {
        client.send("work").await.unwrap();
    }
    let arrived = || server.stats().inbox_messages == MESSAGES;
    eventually("all messages in the inbox", arrived).await;
    let turns = Arc::new(AtomicU64::new(0));
    let others = Arc::clone(&turns);
    let other = actix::spawn(async move {
        loop {
            others.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    for number in 0..MESSAGES {
        match number % 2 {
            0 => drop(server.recv().await.unwrap()),
            _ => drop(messages.next().await.unwrap()),
        }
        thread::sleep(Duration::from_millis(1));
    }
    other.abort();
    assert!(turns.load(Ordering::Relaxed) >= 5, "{turns:?}");
}
